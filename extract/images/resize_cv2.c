/* cv2.resize: the weights, and the plain twin that follows models.md 10.3 line by line. */
#include "extract/images/resize_cv2.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/images/resize_cv2_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Halves to even; the default rounding mode is never changed. */
static int16_t fixed(float c)
{
    return (int16_t)lrintf(c * (float)CV2_ONE);
}

int cv2_weights(resize_filter f, int in, int out, int d, int across, int16_t q[CV2_TAPS])
{
    const float a = -0.75f;
    double scale = 1.0 / ((double)out / in); /* two roundings, as there */
    float x = (float)((d + 0.5) * scale - 0.5), c[3];
    int s = (int)floorf(x);
    x -= (float)s;
    if (f == RESIZE_CV2_BILINEAR) {
        if (across && (s < 0 || s >= in - 1)) {
            s = s < 0 ? 0 : in - 1;
            x = 0.0f;
        }
        q[0] = fixed(1.0f - x);
        q[1] = fixed(x);
        q[2] = q[3] = 0;
        return s;
    }
    c[0] = ((a * (x + 1.0f) - 5.0f * a) * (x + 1.0f) + 8.0f * a) * (x + 1.0f) - 4.0f * a;
    c[1] = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
    c[2] = ((a + 2.0f) * (1.0f - x) - (a + 3.0f)) * (1.0f - x) * (1.0f - x) + 1.0f;
    for (int k = 0; k < 3; k++)
        q[k] = fixed(c[k]);
    q[3] = fixed(1.0f - c[0] - c[1] - c[2]);
    return s;
}

/* ---- the plain twin -------------------------------------------------------------------------- */

/* src [h,w,3] -> mid [h,ow,3], sums in units of 1/2048. */
static void plain_across(const uint8_t *src, int w, int h, int32_t *mid, int ow, resize_filter f)
{
    int taps = f == RESIZE_CV2_BILINEAR ? 2 : 4, before = taps == 4;
    int16_t q[CV2_TAPS];
    for (int xx = 0; xx < ow; xx++) {
        int s = cv2_weights(f, w, ow, xx, 1, q);
        for (int y = 0; y < h; y++) {
            const uint8_t *line = src + (size_t)y * (size_t)w * 3;
            int32_t *to = mid + ((size_t)y * (size_t)ow + (size_t)xx) * 3;
            for (int c = 0; c < 3; c++) {
                to[c] = 0;
                for (int k = 0; k < taps; k++)
                    to[c] += line[cv2_inside(s - before + k, w) * 3 + c] * q[k];
            }
        }
    }
}

static void plain_down(const int32_t *mid, int h, uint8_t *dst, int oh, size_t line,
                       resize_filter f)
{
    size_t blocks = line / CV2_BLOCK * CV2_BLOCK;
    cv2_rows r;
    for (int y = 0; y < oh; y++, dst += line) {
        int s = cv2_weights(f, h, oh, y, 0, r.b), before = f == RESIZE_CV2_BICUBIC;
        for (int k = 0; k < CV2_TAPS; k++) {
            r.h[k] = mid + (size_t)cv2_inside(s - before + k, h) * line;
            r.beta[k] = (float)r.b[k] * (1.0f / (1 << 22));
        }
        for (size_t i = 0; i < line; i++) {
            int32_t v[CV2_TAPS];
            for (int k = 0; k < CV2_TAPS; k++)
                v[k] = ((const int32_t *)r.h[k])[i];
            if (f == RESIZE_CV2_BILINEAR) dst[i] = cv2_linear(v[0], v[1], r.b[0], r.b[1]);
            else dst[i] = i < blocks ? cv2_cubic_float(v, &r) : cv2_cubic_whole(v, &r);
        }
    }
}

static void plain_half(const uint8_t *src, uint8_t *dst, int ow, int oh)
{
    size_t line = (size_t)ow * 6;
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++, dst += 3) {
            const uint8_t *p = src + (size_t)(2 * y) * line + (size_t)x * 6;
            for (int c = 0; c < 3; c++)
                dst[c] = (uint8_t)((p[c] + p[c + 3] + p[line + (size_t)c] +
                                    p[line + (size_t)c + 3] + 2) >>
                                   2);
        }
}

int resize_cv2_plain(const uint8_t *src, int w, int h, uint8_t *dst, int ow, int oh,
                     resize_filter f)
{
    int rc = 0;
    resize_shape s = {.w = w, .h = h, .ow = ow, .oh = oh, .filter = f};
    int32_t *mid = NULL;
    size_t line = (size_t)ow * 3, size;
    TRY(mem_product(&size, (size_t)h, line, "resize"));
    if (w == ow && h == oh) {
        memcpy(dst, src, size);
    } else if (cv2_is_half(&s)) {
        plain_half(src, dst, ow, oh);
    } else {
        TRY(mem_new(&mid, size, sizeof *mid, "resize"));
        plain_across(src, w, h, mid, ow, f);
        plain_down(mid, h, dst, oh, line, f);
    }
done:
    free(mid);
    return rc;
}
