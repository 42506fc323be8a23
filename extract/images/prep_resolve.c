/* --prep: presets, their keys, and the record of what was resolved. */
#include "extract/images/preprocess.h"
#include "common/args.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE_MAX = 4096, KEYS_MAX = 32 };

static const float imagenet_mean[3] = {0.485f, 0.456f, 0.406f};
static const float imagenet_std[3] = {0.229f, 0.224f, 0.225f};
static const float half[3] = {0.5f, 0.5f, 0.5f};

/* ---- presets --------------------------------------------------------------------------------- */

/* Are resize_short and filter those of this recipe?  Numbers that say nothing of whose they are, as
 * those of a network that papers squash, serve torchvision and timm; mmcls has rules of its own. */
static int own_numbers(const prep_native *n, const char *recipe)
{
    static const char *const recipes[] = {"torchvision", "timm", "mmcls"};
    const char *whose = n->recipe != NULL ? n->recipe : n->preset;
    if (n->resize_short == 0) return 0;
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (strcmp(whose, recipes[i]) == 0) return strcmp(whose, recipe) == 0;
    return strcmp(recipe, "mmcls") != 0;
}

/* The short side before a crop of `side`; the fraction is the crop's part of it. */
static int short_for(int side, double fraction)
{
    return (int)floor(side / fraction);
}

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

/* Each preset at the side that `size` asks for, or, when that is 0, at its own or the network's. */
static int side_or(int size, int standard)
{
    return size > 0 ? size : standard;
}

/* GEN and ViM: squash to the network's side. */
static void preset_gen(prep *p, const prep_native *n, int size)
{
    set_exact(p, side_or(size, n->side), n->mean, n->std);
}

/* The network's short side, for another crop: by the usual fraction that gives it, or in
 * proportion. */
static int own_short(const prep_native *n, int side)
{
    static const double usual[] = {0.875, 0.9, 0.95, 1.0};
    if (side == n->side) return n->resize_short;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (short_for(n->side, usual[i]) == n->resize_short) return short_for(side, usual[i]);
    return (int)((int64_t)n->resize_short * side / n->side);
}

static void set_recipe(prep *p, const prep_native *n, const char *recipe, int side, int short_side,
                       resize_filter filter)
{
    int own = own_numbers(n, recipe);
    set_short(p, own ? own_short(n, side) : short_side, side, n->mean, n->std);
    p->filter = own ? n->filter : filter;
}

/* The transform that came with the network's weights. */
static void preset_torchvision(prep *p, const prep_native *n, int size)
{
    int side = side_or(size, n->side);
    set_recipe(p, n, "torchvision", side, short_for(side, 0.875), RESIZE_BILINEAR);
}

/* timm's evaluation; 0.9 and bicubic are what most of its transformers have. */
static void preset_timm(prep *p, const prep_native *n, int size)
{
    int side = side_or(size, n->side);
    set_recipe(p, n, "timm", side, short_for(side, 0.9), RESIZE_BICUBIC);
}

/* mmcls: short side 256 before a crop of 224, no margin at other sides. */
static void preset_mmcls(prep *p, const prep_native *n, int size)
{
    int side = side_or(size, n->side);
    set_recipe(p, n, "mmcls", side, side == 224 ? 256 : side, RESIZE_BILINEAR);
}

static void preset_openood(prep *p, const prep_native *n, int size)
{
    int side = side_or(size, n->side == 32 ? 32 : 224);
    if (n->side == 32) set_short(p, side, side, n->mean, n->std);
    else set_short(p, short_for(side, 0.875), side, imagenet_mean, imagenet_std);
}

static void preset_mos(prep *p, const prep_native *n, int size)
{
    (void)n;
    set_exact(p, side_or(size, 480), half, half);
}

static void preset_cifar(prep *p, const prep_native *n, int size)
{
    set_exact(p, side_or(size, 32), n->mean, n->std);
}

static const struct preset {
    const char *name;
    void (*set)(prep *, const prep_native *, int size);
} presets[] = {{"gen", preset_gen},         {"torchvision", preset_torchvision},
               {"openood", preset_openood}, {"mos", preset_mos},
               {"cifar", preset_cifar},     {"timm", preset_timm},
               {"mmcls", preset_mmcls}};

enum { PRESETS = sizeof presets / sizeof *presets };

const char *prep_preset_name(size_t i)
{
    return i < PRESETS ? presets[i].name : NULL;
}

static int unknown(const char *kind, const char *word, const char *const *names, size_t n)
{
    const char *near = args_nearest(word, names, n);
    return err_set(ERR_USAGE, "--prep: no %s '%s'%s%s%s", kind, word,
                   near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                   near != NULL ? "'?" : "");
}

static int apply_preset(prep *p, const char *name, const prep_native *native, int size)
{
    const char *names[PRESETS];
    for (size_t i = 0; i < PRESETS; i++) {
        names[i] = presets[i].name;
        if (strcmp(name, names[i]) != 0) continue;
        snprintf(p->preset, sizeof p->preset, "%s", name);
        presets[i].set(p, native, size);
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

/* Before the preset is applied, by read_size. */
static int key_size(prep *p, const char *v)
{
    (void)p;
    (void)v;
    return 0;
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
    const char *names[RESIZE_FILTERS];
    for (int i = 0; i < RESIZE_FILTERS; i++) {
        names[i] = resize_filter_name((resize_filter)i);
        if (strcmp(v, names[i]) != 0) continue;
        p->filter = (resize_filter)i;
        return 0;
    }
    return unknown("filter", v, names, RESIZE_FILTERS);
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
} keys[] = {{"size", key_size},     {"resize", key_resize}, {"crop", key_crop},
            {"filter", key_filter}, {"mean", key_mean},     {"std", key_std}};

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

/* The side that the words ask for, wherever among them; 0 when none does. */
static int read_size(int *size, char *const *word, size_t n)
{
    int rc = 0;
    *size = 0;
    for (size_t i = 0; i < n; i++)
        if (strncmp(word[i], "size=", 5) == 0) TRY(parse_side(size, word[i] + 5, "--prep size"));
done:
    return rc;
}

/* What comes out, and whether it is what was asked for. */
static int check_out(prep *p, int size)
{
    int rc = 0;
    CHECK(p->crop > 0 || p->resize_short == 0, ERR_USAGE,
          "--prep: a short side of %d needs a crop, or images come out in different sizes",
          p->resize_short);
    p->out_h = p->crop > 0 ? p->crop : p->resize_h;
    p->out_w = p->crop > 0 ? p->crop : p->resize_w;
    CHECK(size == 0 || (p->out_h == size && p->out_w == size), ERR_USAGE,
          "--prep: size=%d contradicts resize and crop, which give %d x %d", size, p->out_h,
          p->out_w);
done:
    return rc;
}

int prep_resolve(prep *out, const char *text, const prep_native *native)
{
    int rc = 0, size;
    char *copy = NULL, *rest, *word[KEYS_MAX];
    size_t n = 0;
    prep p = {.filter = RESIZE_BILINEAR};
    TRY(mem_strdup(&copy, text != NULL ? text : native->preset));
    rest = strchr(copy, ':');
    if (rest != NULL) *rest++ = '\0';
    while (rest != NULL) {
        CHECK(n < KEYS_MAX, ERR_USAGE, "--prep: more than %d keys", (int)KEYS_MAX);
        word[n++] = strsep(&rest, ",");
    }
    TRY(read_size(&size, word, n));
    TRY(apply_preset(&p, copy[0] != '\0' ? copy : native->preset, native, size));
    for (size_t i = 0; i < n; i++)
        TRY(apply_key(&p, word[i]));
    TRY(check_out(&p, size));
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
    fprintf(f, ",\"filter\":\"%s\",\"crop\":", resize_filter_name(p->filter));
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
