#include "extract/images/views.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 (Steele, Lea and Flood 2014). */
static uint64_t mixed(uint64_t z)
{
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static double uniform(uint64_t *state, double low, double high)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return low + (high - low) * ((double)(mixed(*state) >> 11) * 0x1p-53);
}

static int below(uint64_t *state, int n)
{
    int v = (int)uniform(state, 0, n);
    return v < n ? v : n - 1;
}

/* The whole image, or what of it has the nearest ratio that is allowed, in the middle. */
static void centre(view *v, int w, int h)
{
    const double ratio = (double)w / h;
    v->w = w;
    v->h = h;
    if (ratio < 3.0 / 4) v->h = (int)rint(w / (3.0 / 4));
    else if (ratio > 4.0 / 3) v->w = (int)rint(h * (4.0 / 3));
    v->x = (w - v->w) / 2;
    v->y = (h - v->h) / 2;
}

void view_draw(view *v, const view_choice *c, int w, int h)
{
    uint64_t state = mixed(mixed(mixed(c->seed) ^ c->image) ^ c->number);
    int found = 0;
    for (int i = 0; i < 10 && !found; i++) {
        const double area = (double)w * h * uniform(&state, 0.08, 1);
        const double ratio = exp(uniform(&state, log(3.0 / 4), log(4.0 / 3)));
        v->w = (int)rint(sqrt(area * ratio));
        v->h = (int)rint(sqrt(area / ratio));
        found = v->w > 0 && v->w <= w && v->h > 0 && v->h <= h;
    }
    if (found) {
        v->y = below(&state, h - v->h + 1);
        v->x = below(&state, w - v->w + 1);
    } else {
        centre(v, w, h);
    }
    v->flip = uniform(&state, 0, 1) < 0.5;
}

typedef struct drawing {
    const view_choice *c;
    view v;
} drawing;

static void window_of(void *ctx, int w, int h, image_window *out)
{
    drawing *d = ctx;
    view_draw(&d->v, d->c, w, h);
    *out = (image_window){ d->v.x, d->v.x + d->v.w, d->v.y, d->v.y + d->v.h };
}

static void mirror(uint8_t *rgb, int w, int h)
{
    for (size_t y = 0; y < (size_t)h; y++) {
        uint8_t *row = rgb + y * (size_t)w * 3;
        for (size_t a = 0, b = (size_t)w - 1; a < b; a++, b--)
            for (int k = 0; k < 3; k++) {
                uint8_t t = row[3 * a + (size_t)k];
                row[3 * a + (size_t)k] = row[3 * b + (size_t)k];
                row[3 * b + (size_t)k] = t;
            }
    }
}

/* The view as an image of its own, so that its edges are edges. */
static int cut(uint8_t **out, const image *im, const view *v)
{
    int rc = 0;
    const size_t row = 3 * (size_t)v->w;
    TRY(mem_new(out, row * (size_t)v->h + RESIZE_SLACK, 1, "view"));
    for (size_t y = 0; y < (size_t)v->h; y++)
        memcpy(*out + y * row, im->rgb + 3 * ((y + (size_t)v->y) * (size_t)im->w + (size_t)v->x), row);
done:
    return rc;
}

int view_decode(view *made, const prep *p, const view_choice *c, image *im, const uint8_t *bytes, size_t n,
                const char *name, uint8_t *dst)
{
    int rc = 0;
    drawing d = { .c = c };
    const image_wish wish = { window_of, &d };
    resize_plan *plan = NULL;
    resize_shape shape;
    uint8_t *part = NULL;
    TRY(image_decode_part(im, bytes, n, name, &wish));
    view_draw(&d.v, c, im->w, im->h);
    TRY(cut(&part, im, &d.v));
    shape = (resize_shape){ .w = d.v.w, .h = d.v.h, .ow = p->out_w, .oh = p->out_h, .cw = p->out_w, .ch = p->out_h,
                            .filter = p->filter, .path = resize_path_best() };
    TRY(resize_plan_new(&plan, &shape));
    resize_plan_run(plan, part, dst, 3 * (size_t)p->out_w);
    if (d.v.flip) mirror(dst, p->out_w, p->out_h);
    *made = d.v;
done:
    resize_plan_free(&plan);
    free(part);
    return rc;
}
