#include "extract/cpu/attention_pack.h"

#include <stdint.h>

typedef uint32_t four __attribute__((vector_size(16), aligned(2), may_alias));
typedef uint32_t word __attribute__((may_alias, aligned(2)));

static size_t panel_of(size_t vectors)
{
    return vectors >= 2 ? 2 : 1;
}

/* Step k of a token: 4 bytes, or the last 2 and zeros. */
static uint32_t step_of(const pack_shape *s, const char *x, size_t k)
{
    uint32_t v = 0;
    size_t left = s->d * s->element - 4 * k;
    if (left >= 4) memcpy(&v, x + 4 * k, 4);
    else memcpy(&v, x + 4 * k, 2);
    return v;
}

/* Four steps of four tokens, turned over. */
static inline void turn(char *to, size_t width, const char *const x[4], size_t k)
{
    typedef uint32_t index __attribute__((vector_size(16)));
    four a = *(const four *)(const void *)(x[0] + 4 * k), b = *(const four *)(const void *)(x[1] + 4 * k);
    four c = *(const four *)(const void *)(x[2] + 4 * k), d = *(const four *)(const void *)(x[3] + 4 * k);
    four ab = __builtin_shuffle(a, b, (index){ 0, 4, 1, 5 }), cd = __builtin_shuffle(c, d, (index){ 0, 4, 1, 5 });
    four ef = __builtin_shuffle(a, b, (index){ 2, 6, 3, 7 }), gh = __builtin_shuffle(c, d, (index){ 2, 6, 3, 7 });
    *(four *)(void *)to = __builtin_shuffle(ab, cd, (index){ 0, 1, 4, 5 });
    *(four *)(void *)(to + 4 * width) = __builtin_shuffle(ab, cd, (index){ 2, 3, 6, 7 });
    *(four *)(void *)(to + 8 * width) = __builtin_shuffle(ef, gh, (index){ 0, 1, 4, 5 });
    *(four *)(void *)(to + 12 * width) = __builtin_shuffle(ef, gh, (index){ 2, 3, 6, 7 });
}

void pack_keys(const pack_shape *s, char *to, const char *x, const size_t *at)
{
    const size_t steps = (s->d * s->element + 3) / 4, whole = s->d * s->element / 4;
    size_t vectors = (s->n + s->lanes - 1) / s->lanes, first = 0;
    for (size_t panel; vectors > 0; vectors -= panel, first += panel * s->lanes) {
        const size_t width = (panel = panel_of(vectors)) * s->lanes;
        const size_t left = s->n - first, columns = left < width ? left : width;
        size_t j = 0;
        for (; j + 4 <= columns; j += 4) {
            const char *const of[4] = { x + at[first + j], x + at[first + j + 1],
                                        x + at[first + j + 2], x + at[first + j + 3] };
            size_t k = 0;
            for (; k + 4 <= whole; k += 4)
                turn(to + 4 * (k * width + j), width, of, k);
            for (; k < steps; k++)
                for (size_t i = 0; i < 4; i++)
                    *(word *)(void *)(to + 4 * (k * width + j + i)) = step_of(s, of[i], k);
        }
        for (; j < width; j++)
            for (size_t k = 0; k < steps; k++)
                *(word *)(void *)(to + 4 * (k * width + j)) =
                    j < columns ? step_of(s, x + at[first + j], k) : 0;
        to += 4 * steps * width;
    }
}

/* Elements of two tokens in turn; the second may be missing. */
static void pair(uint16_t *restrict to, const char *a, const char *b, size_t n)
{
    const uint16_t *restrict p = (const void *)a, *restrict q = (const void *)b;
    if (b == NULL)
        for (size_t i = 0; i < n; i++) {
            to[2 * i] = p[i];
            to[2 * i + 1] = 0;
        }
    else
        for (size_t i = 0; i < n; i++) {
            to[2 * i] = p[i];
            to[2 * i + 1] = q[i];
        }
}

void pack_values(const pack_shape *s, char *to, const char *x, const size_t *at)
{
    const size_t unit = 4 / s->element;
    size_t vectors = (s->d + s->lanes - 1) / s->lanes, first = 0;
    for (size_t panel; vectors > 0; vectors -= panel, first += panel * s->lanes) {
        const size_t width = (panel = panel_of(vectors)) * s->lanes;
        const size_t left = s->d - first, columns = left < width ? left : width;
        const char *from = x + first * s->element;
        for (size_t i = 0; i < s->n; i += unit, to += 4 * width) {
            const char *second = i + 1 < s->n ? from + at[i + 1 < s->n ? i + 1 : i] : NULL;
            if (unit == 1) memcpy(to, from + at[i], 4 * columns);
            else pair((uint16_t *)(void *)to, from + at[i], second, columns);
            if (columns < width) memset(to + 4 * columns, 0, 4 * (width - columns));
        }
    }
}
