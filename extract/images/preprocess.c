#include "extract/images/preprocess.h"
#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 4096 };

static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
static const float imagenet_std[3] = {0.229f, 0.224f, 0.225f};
static const float half[3] = {0.5f, 0.5f, 0.5f};

/* ---- presets --------------------------------------------------------------------------------- */

static void set_exact(prep *p, int side, const float *mean, const float *std)
{
    p->resize_h = p->resize_w = side;
    memcpy(p->mean, mean, sizeof p->mean);
    memcpy(p->std, std, sizeof p->std);
}

static void set_short(prep *p, int short_side, int crop, const float *mean, const float *std)
{
    p->resize_short = short_side;
    p->crop = crop;
    memcpy(p->mean, mean, sizeof p->mean);
    memcpy(p->std, std, sizeof p->std);
}

/* GEN and ViM: squash to the network's side. */
static void preset_gen(prep *p, const prep_native *n)
{
    set_exact(p, n->side, n->mean, n->std);
}

/* The transform that came with the network's weights. */
static void preset_torchvision(prep *p, const prep_native *n)
{
    set_short(p, n->resize_short > 0 ? n->resize_short : (int)floor(n->side / 0.875), n->side,
              n->mean, n->std);
    p->filter = n->filter;
}

static void preset_openood(prep *p, const prep_native *n)
{
    if (n->side == 32) set_short(p, 32, 32, n->mean, n->std);
    else set_short(p, 256, 224, imagenet_mean, imagenet_std);
}

static void preset_mos(prep *p, const prep_native *n)
{
    (void)n;
    set_exact(p, 480, half, half);
}

static void preset_cifar(prep *p, const prep_native *n)
{
    set_exact(p, 32, n->mean, n->std);
}

static void preset_timm(prep *p, const prep_native *n)
{
    set_short(p, (int)floor(n->side / 0.9), n->side, n->mean, n->std);
    p->filter = RESIZE_BICUBIC;
}

static const struct preset {
    const char *name;
    void (*set)(prep *, const prep_native *);
} presets[] = {{"gen", preset_gen},         {"torchvision", preset_torchvision},
               {"openood", preset_openood}, {"mos", preset_mos},
               {"cifar", preset_cifar},     {"timm", preset_timm}};

enum { PRESETS = sizeof presets / sizeof *presets };

static int unknown(const char *kind, const char *word, const char *const *names, size_t n)
{
    const char *near = args_nearest(word, names, n);
    return err_set(ERR_USAGE, "--prep: no %s '%s'%s%s%s", kind, word,
                   near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                   near != NULL ? "'?" : "");
}

static int apply_preset(prep *p, const char *name, const prep_native *native)
{
    const char *names[PRESETS];
    for (size_t i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, names[i]) != 0) continue;
        snprintf(p->preset, sizeof p->preset, "%s", name);
        presets[i].set(p, native);
        return 0;
    }
    return unknown("preset", name, names, PRESETS);
}

/* ---- overrides ------------------------------------------------------------------------------- */

static int parse_side(int *out, const char *text, const char *what)
{
    int rc = 0;
    long long v;
    TRY(args_parse_int(&v, text, what));
    CHECK(v >= 1 && v <= SIDE_MAX, ERR_USAGE, "%s: %lld is outside 1..%d", what, v, SIDE_MAX);
    *out = (int)v;
done:
    return rc;
}

static int key_resize(prep *p, const char *v)
{
    int rc = 0;
    args_list hw = {0};
    p->resize_short = p->resize_h = p->resize_w = 0;
    if (strchr(v, 'x') == NULL) {
        TRY(parse_side(&p->resize_short, v, "--prep resize"));
    } else {
        TRY(args_split(&hw, v, 'x'));
        CHECK(hw.n == 2, ERR_USAGE, "--prep resize: '%s' is neither N nor HxW", v);
        TRY(parse_side(&p->resize_h, hw.v[0], "--prep resize"));
        TRY(parse_side(&p->resize_w, hw.v[1], "--prep resize"));
        if (p->crop > p->resize_h || p->crop > p->resize_w) p->crop = 0;
    }
done:
    args_list_clear(&hw);
    return rc;
}

static int key_crop(prep *p, const char *v)
{
    p->crop = 0;
    return strcmp(v, "none") == 0 ? 0 : parse_side(&p->crop, v, "--prep crop");
}

static int key_filter(prep *p, const char *v)
{
    static const char *const names[] = {"bilinear", "bicubic"};
    for (size_t i = 0; i < 2; i++)
        if (strcmp(v, names[i]) == 0) {
            p->filter = i == 0 ? RESIZE_BILINEAR : RESIZE_BICUBIC;
            return 0;
        }
    return unknown("filter", v, names, 2);
}

static int parse_rgb(float *out, const char *text, const char *what, double least)
{
    int rc = 0;
    args_list l = {0};
    double v;
    TRY(args_split(&l, text, '/'));
    CHECK(l.n == 3, ERR_USAGE, "%s: '%s' is not R/G/B", what, text);
    for (int i = 0; i < 3; i++) {
        TRY(args_parse_double(&v, l.v[i], what));
        CHECK(isfinite(v) && v >= least && fabs(v) <= 1e6, ERR_USAGE, "%s: %s is out of range",
              what, l.v[i]);
        out[i] = (float)v;
    }
done:
    args_list_clear(&l);
    return rc;
}

static int key_mean(prep *p, const char *v)
{
    return parse_rgb(p->mean, v, "--prep mean", -1e6);
}

static int key_std(prep *p, const char *v)
{
    return parse_rgb(p->std, v, "--prep std", 1e-6);
}

static const struct key {
    const char *name;
    int (*set)(prep *, const char *);
} keys[] = {{"resize", key_resize},
            {"crop", key_crop},
            {"filter", key_filter},
            {"mean", key_mean},
            {"std", key_std}};

enum { KEYS = sizeof keys / sizeof *keys };

/* One "key=value"; text is changed. */
static int apply_key(prep *p, char *text)
{
    const char *names[KEYS];
    char *value = strchr(text, '=');
    if (value == NULL) return err_set(ERR_USAGE, "--prep: '%s' is not key=value", text);
    *value++ = '\0';
    for (size_t i = 0; i < KEYS; i++) {
        names[i] = keys[i].name;
        if (strcmp(text, names[i]) == 0) return keys[i].set(p, value);
    }
    return unknown("key", text, names, KEYS);
}

int prep_resolve(prep *out, const char *text, const prep_native *native)
{
    int rc = 0;
    char *copy = NULL, *rest, *one;
    prep p = {.filter = RESIZE_BILINEAR};
    TRY(mem_strdup(&copy, text != NULL ? text : native->preset));
    rest = strchr(copy, ':');
    if (rest != NULL) *rest++ = '\0';
    TRY(apply_preset(&p, copy[0] != '\0' ? copy : native->preset, native));
    while (rest != NULL) {
        one = strsep(&rest, ",");
        TRY(apply_key(&p, one));
    }
    CHECK(p.crop > 0 || p.resize_short == 0, ERR_USAGE,
          "--prep: a short side of %d needs a crop, or images come out in different sizes",
          p.resize_short);
    p.out_h = p.crop > 0 ? p.crop : p.resize_h;
    p.out_w = p.crop > 0 ? p.crop : p.resize_w;
    *out = p;
done:
    free(copy);
    return rc;
}

/* ---- provenance ------------------------------------------------------------------------------ */

/* The shortest decimal that reads back as v. */
static void print_float(FILE *f, float v)
{
    char text[32];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)v);
        if (strtof(text, NULL) == v) break;
    }
    fputs(text, f);
}

static void print_rgb(FILE *f, const char *key, const float *v)
{
    fprintf(f, ",\"%s\":[", key);
    for (int i = 0; i < 3; i++) {
        if (i > 0) fputc(',', f);
        print_float(f, v[i]);
    }
    fputc(']', f);
}

int prep_json(const prep *p, char **out)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL) return err_set(ERR_ENV, "no memory for the preprocessing record");
    fprintf(f, "{\"preset\":\"%s\",\"resize\":", p->preset);
    if (p->resize_short > 0) fprintf(f, "%d", p->resize_short);
    else fprintf(f, "[%d,%d]", p->resize_h, p->resize_w);
    fprintf(f,
            ",\"filter\":\"%s\",\"crop\":", p->filter == RESIZE_BICUBIC ? "bicubic" : "bilinear");
    if (p->crop > 0) fprintf(f, "%d", p->crop);
    else fputs("null", f);
    fprintf(f, ",\"out\":[%d,%d]", p->out_h, p->out_w);
    print_rgb(f, "mean", p->mean);
    print_rgb(f, "std", p->std);
    fputc('}', f);
    if (fclose(f) != 0 || text == NULL) {
        free(text);
        return err_set(ERR_ENV, "no memory for the preprocessing record");
    }
    *out = text;
    return 0;
}

/* ---- geometry -------------------------------------------------------------------------------- */

enum {
    PLANS = 8
}; /* geometries kept; ImageNet needs few, and making one is cheap beside a decode */

struct prep_scratch {
    struct {
        resize_shape shape;
        resize_plan *plan;
        unsigned long used;
    } kept[PLANS];
    unsigned long clock;
};

int prep_scratch_new(prep_scratch **out)
{
    return mem_new(out, 1, sizeof **out, "preprocessing scratch");
}

void prep_scratch_free(prep_scratch **s)
{
    if (*s == NULL) return;
    for (int i = 0; i < PLANS; i++)
        resize_plan_free(&(*s)->kept[i].plan);
    free(*s);
    *s = NULL;
}

static int same_shape(const resize_shape *a, const resize_shape *b)
{
    return a->w == b->w && a->h == b->h && a->ow == b->ow && a->oh == b->oh && a->x == b->x &&
           a->y == b->y && a->cw == b->cw && a->ch == b->ch && a->filter == b->filter &&
           a->path == b->path;
}

/* The plan for a geometry: a kept one, or a new one in place of the longest unused. */
static int find_plan(prep_scratch *s, const resize_shape *shape, resize_plan **out)
{
    int rc = 0, oldest = 0;
    s->clock++;
    for (int i = 0; i < PLANS; i++) {
        if (s->kept[i].plan != NULL && same_shape(&s->kept[i].shape, shape)) {
            s->kept[i].used = s->clock;
            *out = s->kept[i].plan;
            return 0;
        }
        if (s->kept[i].used < s->kept[oldest].used) oldest = i;
    }
    resize_plan_free(&s->kept[oldest].plan);
    TRY(resize_plan_new(&s->kept[oldest].plan, shape));
    s->kept[oldest].shape = *shape;
    s->kept[oldest].used = s->clock;
    *out = s->kept[oldest].plan;
done:
    return rc;
}

/* Size after torchvision's Resize: an int sets the short side, the long one is truncated. */
static int resized(const prep *p, int w, int h, int *ow, int *oh)
{
    int rc = 0, shorter = w < h ? w : h, longer = w < h ? h : w;
    double longside;
    *ow = p->resize_w;
    *oh = p->resize_h;
    if (p->resize_short == 0) return 0;
    longside = (double)((int64_t)p->resize_short * longer) / shorter;
    CHECK(longside < 1 << 30, ERR_INPUT, "resize: %d x %d with short side %d is too long", w, h,
          p->resize_short);
    *ow = w <= h ? p->resize_short : (int)longside;
    *oh = w <= h ? (int)longside : p->resize_short;
done:
    return rc;
}

/* CenterCrop along one axis of `size`: reads [*from, *from + *count), stores from *to on; what is
 * not stored is padding.  Half pixels round to even, as Python's round. */
static void centre(int size, int crop, int *from, int *to, int *count)
{
    *from = *to = 0;
    *count = size;
    if (crop == 0) return;
    if (size < crop) {
        *to = (crop - size) / 2;
        return;
    }
    *from = (size - crop) / 2;
    if ((size - crop) % 2 != 0 && *from % 2 != 0) ++*from;
    *count = crop;
}

int prep_window(const prep *p, int w, int h, resize_shape *s, int *x, int *y)
{
    int rc = 0;
    *s = (resize_shape){.w = w, .h = h, .filter = p->filter, .path = resize_path_best()};
    TRY(resized(p, w, h, &s->ow, &s->oh));
    centre(s->ow, p->crop, &s->x, x, &s->cw);
    centre(s->oh, p->crop, &s->y, y, &s->ch);
done:
    return rc;
}

int prep_apply(const prep *p, prep_scratch *s, const image *im, uint8_t *dst)
{
    int rc = 0, x, y;
    size_t stride = (size_t)p->out_w * 3;
    resize_shape shape;
    resize_plan *plan;
    TRY(prep_window(p, im->w, im->h, &shape, &x, &y));
    TRY(find_plan(s, &shape, &plan));
    if (shape.cw < p->out_w || shape.ch < p->out_h) memset(dst, 0, stride * (size_t)p->out_h);
    resize_plan_run(plan, im->rgb, dst + (size_t)y * stride + (size_t)x * 3, stride);
done:
    return rc;
}

typedef struct wanted {
    const prep *p;
    prep_scratch *s;
} wanted;

/* The pixels that the plan reads.  Where there is no plan, prep_apply says why. */
static void window_of(void *ctx, int w, int h, image_window *out)
{
    const wanted *k = ctx;
    resize_shape shape;
    resize_plan *plan;
    int x, y;
    if (prep_window(k->p, w, h, &shape, &x, &y) < 0 || find_plan(k->s, &shape, &plan) < 0) return;
    resize_plan_columns(plan, &out->x0, &out->x1);
    resize_plan_rows(plan, &out->y0, &out->y1);
}

int prep_decode(const prep *p, prep_scratch *s, image *im, const uint8_t *bytes, size_t n,
                const char *name, uint8_t *dst)
{
    int rc = 0;
    wanted k = {p, s};
    image_wish wish = {window_of, &k};
    TRY(image_decode_part(im, bytes, n, name, &wish));
    TRY(prep_apply(p, s, im, dst));
done:
    return rc;
}
