/* cv2's filters on made images, for comparison with OpenCV from outside.
 *   resize_check < CASES   per line "SEED KIND W H OW OH X Y CW CH": the CRC-32 of the whole result,
 *                          linear and cubic, and whether every path of this processor gives the
 *                          same bytes in the window X Y CW CH ("same" or "differs")
 * Value k of the source is n = the top byte of Z("SEED", k) (models.md 14.1); of KIND 0 as it is,
 * of KIND 1 black or white by its lowest bit, of KIND 2 a slope with little noise,
 * 3 x + 5 y + 80 c + n / 32 modulo 256. */
#include "common/err.h"
#include "extract/images/resize.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

static uint8_t z_top(const char *s, uint64_t i)
{
    uint64_t h = 14695981039346656037u;
    for (; *s != '\0'; s++)
        h = (h ^ (uint8_t)*s) * 1099511628211u;
    h += (i + 1) * 0x9e3779b97f4a7c15u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return (uint8_t)((h ^ (h >> 31)) >> 56);
}

static uint8_t *source(const char *seed, int kind, int w, int h)
{
    size_t n = (size_t)w * (size_t)h * 3;
    uint8_t *p = malloc(n + RESIZE_SLACK);
    if (p == NULL) abort();
    memset(p + n, 0xa5, RESIZE_SLACK);
    for (size_t k = 0; k < n; k++) {
        size_t c = k % 3, x = k / 3 % (size_t)w, y = k / 3 / (size_t)w;
        p[k] = z_top(seed, k);
        if (kind == 1) p[k] = p[k] & 1 ? 255 : 0;
        if (kind == 2) p[k] = (uint8_t)(3 * x + 5 * y + 80 * c + p[k] / 32);
    }
    return p;
}

static int window_same(const uint8_t *src, const uint8_t *whole, const resize_shape *s)
{
    size_t line = (size_t)s->cw * 3;
    uint8_t *dst = malloc(line * (size_t)s->ch);
    resize_plan *p = NULL;
    int same = dst != NULL && resize_plan_new(&p, s) == 0;
    if (same) resize_plan_run(p, src, dst, line);
    for (int y = 0; same && y < s->ch; y++)
        same = memcmp(dst + (size_t)y * line,
                      whole + ((size_t)(s->y + y) * (size_t)s->ow + (size_t)s->x) * 3, line) == 0;
    resize_plan_free(&p);
    free(dst);
    return same;
}

static int check(const char *seed, int kind, resize_shape s)
{
    static const resize_filter filters[] = {RESIZE_CV2_BILINEAR, RESIZE_CV2_BICUBIC};
    uint8_t *src = source(seed, kind, s.w, s.h), *whole;
    size_t size = (size_t)s.ow * (size_t)s.oh * 3;
    int same = 1;
    whole = malloc(size);
    if (whole == NULL) abort();
    for (int f = 0; f < 2; f++) {
        s.filter = filters[f];
        if (resize_plain(src, s.w, s.h, whole, s.ow, s.oh, s.filter) < 0) return -1;
        printf("%08lx ", crc32(0, whole, (uInt)size));
        for (int path = RESIZE_PORTABLE; path <= (int)resize_path_best(); path++) {
            s.path = (resize_path)path;
            same = same && window_same(src, whole, &s);
        }
    }
    puts(same ? "same" : "differs");
    free(src);
    free(whole);
    return 0;
}

int main(void)
{
    char line[256], seed[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        resize_shape s = {0};
        int kind;
        if (sscanf(line, "%63s %d %d %d %d %d %d %d %d %d", seed, &kind, &s.w, &s.h, &s.ow, &s.oh,
                   &s.x, &s.y, &s.cw, &s.ch) != 10) {
            fprintf(stderr, "resize_check: not a case: %s", line);
            return 2;
        }
        if (check(seed, kind, s) < 0) {
            fprintf(stderr, "resize_check: %s\n", err_text());
            return 1;
        }
    }
    return 0;
}
