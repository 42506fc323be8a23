/* Decoder and resizer, file by file, for comparison with Pillow from outside.
 *   decode_check hostile DIR          every jpeg/ and png/ row of DIR/pillow_rgb.tsv; exit 1 on a
 *                                     pixel difference or a verdict difference not listed in
 *     [--differences TSV]             a table of known ones
 *   decode_check rgb LIST             per file of LIST: sha256 of w, h and RGB, or the refusal
 *   decode_check prep LIST SIDE FILTER CROP   per file: sha256 after resizing (SIDE "256" or
 * "224x224",
 *                                     FILTER as of --prep, CROP a side or none)
 *   decode_check same LIST            our JPEG decoder against libjpeg-turbo alone: every file of
 *                                     LIST, whole and through three windows
 *   decode_check same-png LIST [SHARE]  libpng's rows against our own: every PNG file of LIST; exit
 *                                     1 on a difference, or when libpng read less than SHARE of
 *                                     the files that decode
 *   decode_check bench LIST ROUNDS WHAT   images per second of one core; WHAT libjpeg, decode,
 *                                     resize (libjpeg + resize 256, crop 224) or all (what
 * extract does) */
#include "common/err.h"
#include "extract/images/image.h"
#include "extract/images/image_parts.h"
#include "extract/images/jpeg_fast.h"
#include "extract/images/preprocess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/evp.h>

static void hex_of(const uint8_t *p, size_t n, char hex[65])
{
    unsigned char d[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(p, n, d, &size, EVP_sha256(), NULL);
    for (unsigned i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", d[i]);
}

static int read_file(const char *path, uint8_t **bytes, size_t *n)
{
    FILE *f = fopen(path, "rb");
    long size;
    *bytes = NULL;
    if (f == NULL) return -1;
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    *bytes = malloc(size > 0 ? (size_t)size : 1);
    *n = *bytes != NULL ? fread(*bytes, 1, (size_t)size, f) : 0;
    fclose(f);
    return *bytes != NULL && *n == (size_t)size ? 0 : -1;
}

/* Decodes a file; with p also through prep_decode, into out. */
static int decode_file(image *im, const char *path, const prep *p, prep_scratch *s, uint8_t *out)
{
    uint8_t *bytes;
    size_t n;
    int rc;
    err_clear();
    if (read_file(path, &bytes, &n) != 0) {
        free(bytes);
        return err_set(ERR_INPUT, "%s: cannot be read", path);
    }
    rc = p != NULL ? prep_decode(p, s, im, bytes, n, path, out) : image_decode(im, bytes, n, path);
    free(bytes);
    return rc;
}

/* ---- hostile --------------------------------------------------------------------------------- */

typedef struct tally {
    int files, both_decode, both_refuse, only_pillow, only_ours, pixels_differ, unlisted;
} tally;

static int listed(const char *table, const char *file)
{
    char line[4096];
    size_t n = strlen(file);
    FILE *f = table != NULL ? fopen(table, "r") : NULL;
    int found = 0;
    if (f == NULL) return 0;
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = strncmp(line, file, n) == 0 && line[n] == '\t';
    fclose(f);
    return found;
}

static void check_row(tally *t, image *im, const char *dir, char *const *col, const char *table)
{
    char path[4096], hex[65];
    int rc, want = strcmp(col[5], "ok") == 0;
    snprintf(path, sizeof path, "%s/%s", dir, col[0]);
    rc = decode_file(im, path, NULL, NULL, NULL);
    t->files++;
    if (rc == 0 && want) {
        t->both_decode++;
        hex_of(im->rgb, (size_t)im->w * (size_t)im->h * 3, hex);
        if (strcmp(hex, col[6]) == 0) return;
        t->pixels_differ++;
        printf("pixels\t%s\t%s\n", col[0], col[1]);
    } else if (rc < 0 && !want) {
        t->both_refuse++;
    } else {
        int known = listed(table, col[0]);
        if (want) t->only_pillow++;
        else t->only_ours++;
        t->unlisted += !known;
        printf("verdict\t%s\t%s\t%s\n", known ? "listed" : "NEW", col[0],
               rc < 0 ? err_text() : col[6]);
    }
}

static int hostile(const char *dir, const char *table)
{
    char path[4096], line[8192], *col[11];
    image im = {0};
    tally t = {0};
    FILE *f;
    snprintf(path, sizeof path, "%s/pillow_rgb.tsv", dir);
    f = fopen(path, "r");
    if (f == NULL) return 2;
    while (fgets(line, sizeof line, f) != NULL) {
        char *s = line;
        int n = 0;
        while (n < 11 && s != NULL)
            col[n++] = strsep(&s, "\t\n");
        if (n < 7 || (strncmp(line, "jpeg/", 5) != 0 && strncmp(line, "png/", 4) != 0)) continue;
        check_row(&t, &im, dir, col, table);
    }
    fclose(f);
    image_clear(&im);
    printf(
        "files %d: both decode %d (pixels differ %d), both refuse %d, only Pillow decodes %d, only "
        "we decode %d; verdict differences not listed %d\n",
        t.files, t.both_decode, t.pixels_differ, t.both_refuse, t.only_pillow, t.only_ours,
        t.unlisted);
    return t.files == 0 || t.pixels_differ != 0 || t.unlisted != 0 ||
           t.only_pillow + t.only_ours > 20;
}

/* ---- rgb, prep ------------------------------------------------------------------------------- */

static void print_image(const char *path, int rc, int w, int h, const uint8_t *rgb)
{
    char hex[65];
    if (rc < 0) {
        printf("%s\trefused\t%s\n", path, err_text());
        return;
    }
    hex_of(rgb, (size_t)w * (size_t)h * 3, hex);
    printf("%s\t%d\t%d\t%s\n", path, w, h, hex);
}

static int each(const char *list, const prep *p)
{
    char line[4096];
    image im = {0};
    prep_scratch *s = NULL;
    uint8_t *out = NULL;
    FILE *f = fopen(list, "r");
    if (f == NULL) return 2;
    if (p != NULL) {
        out = malloc((size_t)p->out_w * (size_t)p->out_h * 3);
        if (out == NULL || prep_scratch_new(&s) < 0) return 1;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        int rc;
        line[strcspn(line, "\n")] = '\0';
        rc = decode_file(&im, line, p, s, out);
        if (p != NULL) print_image(line, rc, p->out_w, p->out_h, out);
        else print_image(line, rc, im.w, im.h, im.rgb);
    }
    fclose(f);
    free(out);
    prep_scratch_free(&s);
    image_clear(&im);
    return 0;
}

static int prep_list(char **argv)
{
    prep_native native = {.side = 224, .preset = "gen", .std = {1, 1, 1}};
    char text[256];
    prep p;
    snprintf(text, sizeof text, "gen:resize=%s,filter=%s,crop=%s", argv[3], argv[4], argv[5]);
    if (prep_resolve(&p, text, &native) < 0) {
        fprintf(stderr, "decode_check: %s\n", err_text());
        return 2;
    }
    return each(argv[2], &p);
}

/* ---- our JPEG decoder against libjpeg-turbo -------------------------------------------------- */

typedef struct fixed_wish {
    int part; /* 0: all, 1..3 */
    image_window w;
} fixed_wish;

static void fixed_window(void *ctx, int w, int h, image_window *out)
{
    fixed_wish *k = ctx;
    if (k->part == 1) *out = (image_window){w / 5, w - w / 7, h / 4, h - h / 9};
    if (k->part == 2) *out = (image_window){w / 3, w / 3 + 1, h / 2, h / 2 + 1};
    if (k->part == 3) *out = (image_window){w - 1, w, 0, h};
    k->w = *out;
}

typedef struct same_tally {
    int files, ours, refused, differ;
} same_tally;

static void same_file(same_tally *t, const char *path)
{
    uint8_t *bytes;
    size_t n;
    image a = {0}, b = {0};
    int rc_a, rc_b;
    if (read_file(path, &bytes, &n) != 0 || n < 3 || memcmp(bytes, "\xff\xd8\xff", 3) != 0) {
        free(bytes);
        return;
    }
    t->files++;
    err_clear();
    rc_a = jpeg_decode_plain(&a, bytes, n, path);
    t->refused += rc_a < 0;
    for (int part = 0; part < 4; part++) {
        fixed_wish k = {.part = part};
        image_wish wish = {fixed_window, &k};
        jpeg_head head;
        int same;
        err_clear();
        if (part == 0 && jpeg_head_read(&head, bytes, n, path) == 0)
            t->ours += jpeg_fast_decode(&b, bytes, n, &head, NULL, path) == 1;
        err_clear();
        rc_b = image_decode_part(&b, bytes, n, path, &wish);
        same = rc_a == rc_b && (rc_a < 0 || (a.w == b.w && a.h == b.h));
        if (rc_a == 0 && k.w.x1 == 0) k.w = (image_window){0, a.w, 0, a.h};
        for (int y = k.w.y0; same && rc_a == 0 && y < k.w.y1; y++) {
            size_t at = ((size_t)y * (size_t)a.w + (size_t)k.w.x0) * 3;
            same = memcmp(a.rgb + at, b.rgb + at, 3 * (size_t)(k.w.x1 - k.w.x0)) == 0;
        }
        if (!same) {
            t->differ++;
            printf("differs\t%s\tpart %d\n", path, part);
        }
    }
    image_clear(&a);
    image_clear(&b);
    free(bytes);
}

static int same(const char *list)
{
    char line[4096];
    same_tally t = {0};
    FILE *f = fopen(list, "r");
    if (f == NULL) return 2;
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        same_file(&t, line);
    }
    fclose(f);
    printf("JPEG files %d: our decoder took %d, libjpeg-turbo refuses %d, differences %d\n",
           t.files, t.ours, t.refused, t.differ);
    return t.files == 0 || t.differ != 0;
}

/* ---- libpng against our own rows ------------------------------------------------------------- */

typedef struct png_tally {
    int files, by_lib, by_us, refused, differ;
} png_tally;

static void same_png_file(png_tally *t, const char *path)
{
    uint8_t *bytes;
    size_t n;
    image a = {0}, b = {0};
    int rc_a, rc_b, by_lib, never;
    char refusal[512];
    if (read_file(path, &bytes, &n) != 0 || n < 8 || memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) != 0) {
        free(bytes);
        return;
    }
    t->files++;
    err_clear();
    rc_a = png_decode_by(&a, bytes, n, path, 1, &by_lib);
    snprintf(refusal, sizeof refusal, "%s", err_text());
    err_clear();
    rc_b = png_decode_by(&b, bytes, n, path, 0, &never);
    if (rc_a < 0) t->refused++;
    else if (by_lib) t->by_lib++;
    else t->by_us++;
    if (rc_a != rc_b || never || strcmp(refusal, err_text()) != 0 ||
        (rc_a == 0 &&
         (a.w != b.w || a.h != b.h || memcmp(a.rgb, b.rgb, (size_t)a.w * (size_t)a.h * 3) != 0))) {
        t->differ++;
        printf("differs\t%s\t%s\t%s\n", path, refusal, err_text());
    }
    image_clear(&a);
    image_clear(&b);
    free(bytes);
}

static int same_png(const char *list, double share)
{
    char line[4096];
    png_tally t = {0};
    FILE *f = fopen(list, "r");
    if (f == NULL) return 2;
    while (fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        same_png_file(&t, line);
    }
    fclose(f);
    printf("PNG files %d: libpng read %d, we read %d, refused %d, differences %d\n", t.files,
           t.by_lib, t.by_us, t.refused, t.differ);
    return t.files == 0 || t.differ != 0 || t.by_lib < share * (t.by_lib + t.by_us);
}

/* ---- bench ----------------------------------------------------------------------------------- */

typedef struct loaded {
    uint8_t *bytes;
    size_t n;
} loaded;

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void bench_one(const loaded *k, const char *what, image *im, const prep *p, prep_scratch *s,
                      uint8_t *out)
{
    err_clear();
    if (strcmp(what, "all") == 0) {
        prep_decode(p, s, im, k->bytes, k->n, "bench", out);
        return;
    }
    if (strcmp(what, "decode") == 0) image_decode(im, k->bytes, k->n, "bench");
    else jpeg_decode_plain(im, k->bytes, k->n, "bench");
    if (strcmp(what, "resize") == 0) prep_apply(p, s, im, out);
}

static int bench(const char *list, int rounds, const char *what)
{
    static loaded files[10000];
    static uint8_t out[224 * 224 * 3];
    prep_native native = {.side = 224, .preset = "gen", .std = {1, 1, 1}};
    char line[4096];
    prep p;
    prep_scratch *s = NULL;
    image im = {0};
    int n = 0;
    FILE *f = fopen(list, "r");
    if (f == NULL || prep_resolve(&p, "gen:resize=256,crop=224", &native) < 0 ||
        prep_scratch_new(&s) < 0)
        return 2;
    while (n < 10000 && fgets(line, sizeof line, f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (read_file(line, &files[n].bytes, &files[n].n) == 0) n++;
    }
    fclose(f);
    for (int i = 0; i < n; i++) /* caches, tables, page faults */
        bench_one(&files[i], what, &im, &p, s, out);
    for (int r = 0; r < rounds; r++) {
        double start = cpu_seconds();
        for (int i = 0; i < n; i++)
            bench_one(&files[i], what, &im, &p, s, out);
        printf("%.2f\n", n / (cpu_seconds() - start));
    }
    image_clear(&im);
    prep_scratch_free(&s);
    for (int i = 0; i < n; i++)
        free(files[i].bytes);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "same") == 0) return same(argv[2]);
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "same-png") == 0)
        return same_png(argv[2], argc == 4 ? atof(argv[3]) : 0);
    if (argc == 5 && strcmp(argv[1], "bench") == 0) return bench(argv[2], atoi(argv[3]), argv[4]);
    if (argc >= 3 && strcmp(argv[1], "hostile") == 0)
        return hostile(argv[2],
                       argc >= 5 && strcmp(argv[3], "--differences") == 0 ? argv[4] : NULL);
    if (argc == 3 && strcmp(argv[1], "rgb") == 0) return each(argv[2], NULL);
    if (argc == 6 && strcmp(argv[1], "prep") == 0) return prep_list(argv);
    fputs(
        "usage: decode_check hostile DIR [--differences TSV] | rgb LIST | prep LIST SIDE FILTER "
        "CROP |\n"
        "       same LIST | same-png LIST [SHARE] | bench LIST ROUNDS libjpeg|decode|resize|all\n",
        stderr);
    return 2;
}
