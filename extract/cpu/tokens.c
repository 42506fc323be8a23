#include "extract/cpu/tokens.h"
#include "extract/cpu/lines.h"

#include <string.h>

void token_embed(const view *x, const float *table, const view *y, int n)
{
    size_t c = (size_t)x->c, w = (size_t)x->w;
    for (size_t i = 0; i < (size_t)n; i++) {
        char *to = view_pixel(y, i, 0, 0);
        LINE_OF(y, narrow, table, to, c);
        for (size_t r = 0; r < (size_t)x->h; r++) { /* w is 1: tokens are rows of y */
            to = view_pixel(y, i, 1 + r * w, 0);
            LINE_OF(y, plus, view_pixel(x, i, r, 0), x->ld, to, y->row, w, c, table + (1 + r * w) * c);
        }
    }
}

void token_take(const view *x, int index, const view *y, int n)
{
    size_t c = (size_t)x->c;
    for (size_t i = 0; i < (size_t)n; i++) {
        const char *from = view_pixel(x, i, (size_t)(index / x->w), (size_t)(index % x->w));
        char *to = view_pixel(y, i, 0, 0);
        if (x->is_bf16 == y->is_bf16) memcpy(to, from, c * view_bytes(x));
        else LINE_OF(x, widen, from, (float *)(void *)to, c);
    }
}

void token_unfold(const view *x, int kernel, int stride, int pad, const view *y, int n)
{
    size_t area = (size_t)(kernel * kernel), e = view_bytes(y);
    for (size_t i = 0; i < (size_t)n; i++)
        for (int oy = 0; oy < y->h; oy++)
            for (int ox = 0; ox < y->w; ox++) {
                char *to = view_pixel(y, i, (size_t)oy, (size_t)ox);
                int y0 = oy * stride - pad, x0 = ox * stride - pad;
                int left = x0 < 0 ? -x0 : 0, right = x0 + kernel > x->w ? x->w - x0 : kernel;
                if (left > 0 || right < kernel || y0 < 0 || y0 + kernel > x->h)
                    memset(to, 0, (size_t)y->c * e);
                for (int ky = 0; ky < kernel; ky++)
                    if (y0 + ky >= 0 && y0 + ky < x->h && left < right)
                        LINE_OF(y, deal, view_pixel(x, i, (size_t)(y0 + ky), (size_t)(x0 + left)),
                                x->ld, to + (size_t)(ky * kernel + left) * e, area,
                                (size_t)(right - left), (size_t)x->c);
            }
}

void token_merge(const view *x, const view *y, int n)
{
    size_t bytes = (size_t)x->c * view_bytes(x);
    for (size_t i = 0; i < (size_t)n; i++)
        for (int oy = 0; oy < y->h; oy++)
            for (int ox = 0; ox < y->w; ox++)
                for (int k = 0; k < 4; k++) {
                    int iy = 2 * oy + k % 2, ix = 2 * ox + k / 2;
                    char *to = view_pixel(y, i, (size_t)oy, (size_t)ox) + (size_t)k * bytes;
                    if (iy < x->h && ix < x->w)
                        memcpy(to, view_pixel(x, i, (size_t)iy, (size_t)ix), bytes);
                    else memset(to, 0, bytes);
                }
}
