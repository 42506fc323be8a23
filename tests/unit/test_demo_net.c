/* The network of the demo against PyTorch, from image files to logits: eight images drawn by
 * demo-images, decoded, resized and run, compared with tests/golden/demo (make_demo_golden.py), on
 * the CPU backend and on the reference. */
#include "common/digest.h"
#include "common/err.h"
#include "common/list.h"
#include "common/mem.h"
#include "extract/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 8, FILE_MAX = 65536 };
#define GOLDEN "tests/golden/demo/"

/* Largest difference relative to the largest value.  PyTorch's own float32 is within 2.8e-7 of the
 * float64 reference; other summation orders and folded batch norms may cost ten times that.  The
 * reference backend computes in double and stores f32. */
static const double TOLERANCE_CPU = 3e-6, TOLERANCE_REF = 2e-7;

static int test_number, failures;

static void check(int ok, const char *what, const char *detail)
{
    test_number++;
    failures += !ok;
    printf("%s %d - demo: %s%s%s\n", ok ? "ok" : "not ok", test_number, what,
           detail[0] != '\0' ? ", " : "", detail);
}

static int read_file(const char *path, uint8_t *bytes, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return err_set(ERR_ENV, "%s: cannot open", path);
    *n = fread(bytes, 1, FILE_MAX, f);
    fclose(f);
    return 0;
}

/* Whether the digest of `bytes` is row i of the golden array; U8 [IMAGES,32]. */
static int same_digest(const array *golden, int i, const void *bytes, size_t n)
{
    unsigned char raw[32] = { 0 };
    digest *d = NULL;
    if (digest_new(&d) == 0 && digest_update(d, bytes, n) == 0) digest_raw(d, raw);
    digest_free(&d);
    return memcmp((const unsigned char *)golden->data + 32 * i, raw, 32) == 0;
}

/* Files below `root` -> x [IMAGES,32,32,3]. */
static int load_images(uint8_t *x, const char *root, const prep *p, const arrays *golden)
{
    int rc;
    list *l = NULL;
    prep_scratch *scratch = NULL;
    image im = { 0 };
    uint8_t *bytes = NULL;
    size_t row = (size_t)p->out_h * (size_t)p->out_w * 3;
    TRY(mem_new(&bytes, FILE_MAX, 1, "file"));
    TRY(list_read(&l, GOLDEN "list.txt", LIST_GEN));
    CHECK(l->n == IMAGES, ERR_INPUT, GOLDEN "list.txt: %zu images", l->n);
    TRY(prep_scratch_new(&scratch));
    for (int i = 0; i < IMAGES; i++) {
        char path[512];
        size_t n = 0;
        snprintf(path, sizeof path, "%s/images/%s", root, l->path[i]);
        TRY(read_file(path, bytes, &n));
        if (!same_digest(arrays_find(golden, "sha256_files"), i, bytes, n))
            printf("# %s: packed into other bytes by these libraries\n", l->path[i]);
        TRY(image_decode(&im, bytes, n, path));
        TRY(prep_apply(p, scratch, &im, x + row * (size_t)i));
        check(same_digest(arrays_find(golden, "sha256_pixels"), i, x + row * (size_t)i, row),
              "pixels after decode and resize are Pillow's", l->path[i]);
    }
done:
    free(bytes);
    image_clear(&im);
    prep_scratch_free(&scratch);
    list_free(&l);
    return rc;
}

static void compare(const plan_output *o, const float *got, const arrays *golden,
                    const char *device, double tolerance)
{
    const array *a = arrays_find(golden, o->name);
    const float *want = a != NULL ? a->data : NULL;
    double worst = 0, scale = 0;
    char text[128];
    if (want == NULL || a->type != ARRAY_F32 || a->count != o->count * IMAGES) {
        check(0, "golden values of the right size", o->name);
        return;
    }
    for (size_t i = 0; i < a->count; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        worst = isnan(d) ? INFINITY : fmax(worst, d);
        scale = fmax(scale, fabs((double)want[i]));
    }
    snprintf(text, sizeof text, "%s, %.1e of %.0e", o->name, worst / scale, tolerance);
    check(worst / scale <= tolerance, device, text);
}

static int test_device(const char *device, double tolerance, const char *root,
                       const arrays *golden)
{
    int rc;
    session s = { 0 };
    uint8_t *x = NULL;
    float *out[2] = { NULL, NULL };
    session_options o = { .model = "demo", .checkpoint = "weights/demo.safetensors",
                          .device = device, .precision = "fp32", .dump = "logits,features",
                          .threads = 2, .batch = IMAGES };
    TRY(session_open(&s, &o));
    CHECK(s.prep.out_h == 32 && s.prep.out_w == 32 && s.p->n_outputs == 2, ERR_INTERNAL,
          "demo: %dx%d, %zu outputs", s.prep.out_h, s.prep.out_w, s.p->n_outputs);
    TRY(mem_new(&x, IMAGES * 32 * 32, 3, "pixels"));
    TRY(load_images(x, root, &s.prep, golden));
    for (size_t i = 0; i < 2; i++)
        TRY(mem_new(&out[i], s.p->outputs[i].count * IMAGES, sizeof *out[i], "outputs"));
    TRY(s.backend->forward(s.net, &(batch_input){ .rgb = x }, IMAGES, out));
    for (size_t i = 0; i < 2; i++)
        compare(&s.p->outputs[i], out[i], golden, device, tolerance);
done:
    free(x);
    free(out[0]);
    free(out[1]);
    session_clear(&s);
    return rc;
}

/* The generator lies beside the folder of this program. */
static int draw_images(const char *self, const char *root)
{
    char command[1024];
    const char *slash = strrchr(self, '/');
    int n = slash != NULL ? (int)(slash - self) : 1;
    snprintf(command, sizeof command, "'%.*s/../demo-images' '%s' --scale 0.3", n,
             slash != NULL ? self : ".", root);
    return system(command) == 0 ? 0 : err_set(ERR_ENV, "%s failed", command);
}

int main(int argc, char **argv)
{
    int rc;
    char root[] = "/tmp/outpost-demo-XXXXXX", clean[64];
    arrays *golden = NULL;
    CHECK(argc > 0 && mkdtemp(root) != NULL, ERR_ENV, "no folder for the images");
    TRY(draw_images(argv[0], root));
    TRY(arrays_open(&golden, GOLDEN "golden.safetensors"));
    TRY(test_device("cpu", TOLERANCE_CPU, root, golden));
    TRY(test_device("ref", TOLERANCE_REF, root, golden));
done:
    if (rc < 0) check(0, "runs", err_text());
    printf("1..%d\n", test_number);
    arrays_close(&golden);
    snprintf(clean, sizeof clean, "rm -rf '%s'", root);
    if (strstr(root, "XXXXXX") == NULL && system(clean) != 0) failures++;
    return failures != 0;
}
