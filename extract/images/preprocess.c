/* The geometry of a resolved recipe, and images through it. */
#include "extract/images/preprocess.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

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

int prep_plan(const prep_wanted *k, int w, int h, resize_plan **plan, resize_shape *shape, int *x,
              int *y)
{
    int rc = 0;
    TRY(prep_window(k->p, w, h, shape, x, y));
    if (k->passes_only) shape->path = RESIZE_PORTABLE;
    TRY(find_plan(k->s, shape, plan));
done:
    return rc;
}

int prep_apply(const prep *p, prep_scratch *s, const image *im, uint8_t *dst)
{
    int rc = 0, x, y;
    size_t stride = (size_t)p->out_w * 3;
    resize_shape shape;
    resize_plan *plan;
    const prep_wanted k = {.p = p, .s = s};
    TRY(prep_plan(&k, im->w, im->h, &plan, &shape, &x, &y));
    if (shape.cw < p->out_w || shape.ch < p->out_h) memset(dst, 0, stride * (size_t)p->out_h);
    resize_plan_run(plan, im->rgb, dst + (size_t)y * stride + (size_t)x * 3, stride);
done:
    return rc;
}

/* Where there is no plan, prep_apply says why. */
void prep_window_of(void *ctx, int w, int h, image_window *out)
{
    resize_shape shape;
    resize_plan *plan;
    int x, y;
    if (prep_plan(ctx, w, h, &plan, &shape, &x, &y) < 0) return;
    resize_plan_columns(plan, &out->x0, &out->x1);
    resize_plan_rows(plan, &out->y0, &out->y1);
}

int prep_decode(const prep *p, prep_scratch *s, image *im, const uint8_t *bytes, size_t n,
                const char *name, uint8_t *dst)
{
    int rc = 0;
    prep_wanted k = {.p = p, .s = s};
    image_wish wish = {prep_window_of, &k};
    TRY(image_decode_part(im, bytes, n, name, &wish));
    TRY(prep_apply(p, s, im, dst));
done:
    return rc;
}
