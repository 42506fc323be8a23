/* Pillow's resampling (src/libImaging/Resample.c, described in models.md 10.2), bit for bit: the
 * coefficients, and the plain twin that follows the description line by line. */
#include "extract/images/resize.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/resize_cv2.h"
#include "extract/images/resize_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- coefficients ---------------------------------------------------------------------------- */

static double weight(resize_filter f, double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (f == RESIZE_BILINEAR) return x < 1.0 ? 1.0 - x : 0.0;
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

resize_ruler resize_ruler_of(int in, int out, resize_filter f)
{
    resize_ruler r = {.in = in, .scale = (double)in / out, .f = f};
    double fs = r.scale < 1.0 ? 1.0 : r.scale;
    r.support = (f == RESIZE_BILINEAR ? 1.0 : 2.0) * fs;
    r.inv = 1.0 / fs;
    return r;
}

int resize_taps_max(const resize_ruler *r)
{
    return (int)ceil(r->support) * 2 + 1;
}

int resize_taps(const resize_ruler *r, int xx, int *lo, int32_t *q, double *w)
{
    double center = (xx + 0.5) * r->scale, sum = 0.0;
    int first = (int)(center - r->support + 0.5), end = (int)(center + r->support + 0.5), n;
    if (first < 0) first = 0;
    if (end > r->in) end = r->in;
    n = end - first;
    for (int k = 0; k < n; k++) {
        w[k] = weight(r->f, (k + first - center + 0.5) * r->inv);
        sum += w[k];
    }
    for (int k = 0; k < n; k++) {
        double v = sum != 0.0 ? w[k] / sum : w[k];
        q[k] = v < 0 ? (int32_t)(v * (1 << RESIZE_BITS) - 0.5)
                     : (int32_t)(v * (1 << RESIZE_BITS) + 0.5);
    }
    *lo = first;
    return n;
}

/* ---- the plain twin -------------------------------------------------------------------------- */

/* One pass: `lines` lines of `out` pixels from lines of `in`; steps in bytes. */
static int plain_pass(const uint8_t *src, size_t src_line, size_t src_pixel, int in, uint8_t *dst,
                      size_t dst_line, size_t dst_pixel, int out, int lines, resize_filter f)
{
    int rc = 0, lo, n;
    int32_t *q = NULL;
    double *w = NULL;
    resize_ruler r = resize_ruler_of(in, out, f);
    TRY(mem_new(&q, (size_t)resize_taps_max(&r), sizeof *q, "resize"));
    TRY(mem_new(&w, (size_t)resize_taps_max(&r), sizeof *w, "resize"));
    for (int xx = 0; xx < out; xx++) {
        n = resize_taps(&r, xx, &lo, q, w);
        for (int y = 0; y < lines; y++) {
            const uint8_t *s = src + (size_t)y * src_line + (size_t)lo * src_pixel;
            uint8_t *d = dst + (size_t)y * dst_line + (size_t)xx * dst_pixel;
            for (int c = 0; c < 3; c++) {
                int32_t acc = 1 << (RESIZE_BITS - 1);
                for (int k = 0; k < n; k++)
                    acc += s[(size_t)k * src_pixel + (size_t)c] * q[k];
                d[c] = resize_clip(acc);
            }
        }
    }
done:
    free(q);
    free(w);
    return rc;
}

int resize_plain(const uint8_t *src, int w, int h, uint8_t *dst, int ow, int oh, resize_filter f)
{
    int rc = 0;
    uint8_t *mid = NULL;
    const uint8_t *across = src;
    size_t size, line = (size_t)ow * 3;
    CHECK(w > 0 && h > 0 && ow > 0 && oh > 0, ERR_INPUT, "resize: %d x %d to %d x %d", w, h, ow,
          oh);
    if (resize_is_cv2(f)) return resize_cv2_plain(src, w, h, dst, ow, oh, f);
    TRY(mem_product(&size, (size_t)h, line, "resize"));
    if (ow != w) {
        TRY(mem_new(&mid, size, 1, "resize"));
        TRY(plain_pass(src, (size_t)w * 3, 3, w, mid, line, 3, ow, h, f));
        across = mid;
    }
    if (oh != h) TRY(plain_pass(across, 3, line, h, dst, 3, line, oh, ow, f));
    else memcpy(dst, across, size);
done:
    free(mid);
    return rc;
}
