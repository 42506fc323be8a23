#include "extract/cpu/attention_pack.h"

#include <string.h>

static size_t element_of(const pack_shape *s)
{
    return s->kernel->is_bf16 ? sizeof(bf16) : sizeof(float);
}

static size_t words_of(const pack_shape *s)
{
    return (s->d * element_of(s) + CONV_WORD - 1) / CONV_WORD;
}

/* The last element of an odd row of bf16, and a zero beside it. */
static void end_word(char *to, const char *x, size_t k)
{
    const bf16 zero = 0;
    memcpy(to, x + CONV_WORD * k, sizeof(bf16));
    memcpy(to + sizeof zero, &zero, sizeof zero);
}

/* `side` tokens to columns of a panel. */
static void columns(const pack_shape *s, char *to, size_t width, const char *const *x)
{
    const size_t side = (size_t)s->kernel->turn_side, whole = s->d * element_of(s) / CONV_WORD;
    size_t k = 0;
    for (; k + side <= whole; k += side)
        s->kernel->turn(x, k, to + CONV_WORD * k * width, width);
    for (; k < words_of(s); k++)
        for (size_t i = 0; i < side; i++) {
            char *at = to + CONV_WORD * (k * width + i);
            if (k < whole) memcpy(at, x[i] + CONV_WORD * k, CONV_WORD);
            else end_word(at, x[i], k);
        }
}

void pack_keys(const pack_shape *s, char *to, const char *x, const size_t *at)
{
    const size_t lanes = (size_t)s->kernel->lanes, side = (size_t)s->kernel->turn_side;
    size_t left = (s->n + lanes - 1) / lanes, token = 0;
    for (size_t panel; left > 0; left -= panel) {
        const size_t width = (panel = panel_vectors(left)) * lanes;
        for (size_t j = 0; j < width; j += side) {
            const char *of[CONV_TURN_MAX];
            for (size_t i = 0; i < side; i++, token++)
                of[i] = x + at[token < s->n ? token : s->n - 1];
            columns(s, to + CONV_WORD * j, width, of);
        }
        to += CONV_WORD * words_of(s) * width;
    }
}

/* Elements of two tokens in turn; the second may be missing. */
static void pair(bf16 *restrict to, const char *a, const char *b, size_t n)
{
    const bf16 *restrict p = (const void *)a, *restrict q = (const void *)b;
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
    const size_t lanes = (size_t)s->kernel->lanes, unit = (size_t)s->kernel->unit;
    size_t left = (s->d + lanes - 1) / lanes, first = 0;
    for (size_t panel; left > 0; left -= panel, first += panel * lanes) {
        const size_t width = (panel = panel_vectors(left)) * lanes, steps = (s->n + unit - 1) / unit;
        const size_t count = s->d - first < width ? s->d - first : width;
        const char *from = x + first * element_of(s);
        if (unit == 1) s->kernel->gather(from, at, s->n, count, to, width);
        for (size_t i = 0; i < s->n && unit == 2; i += 2)
            pair((bf16 *)(void *)(to + CONV_WORD * (i / 2) * width), from + at[i],
                 i + 1 < s->n ? from + at[i + 1] : NULL, count);
        for (size_t i = 0; i < steps && count < width; i++)
            memset(to + CONV_WORD * (i * width + count), 0, CONV_WORD * (width - count));
        to += CONV_WORD * steps * width;
    }
}

void pack_rows(const pack_shape *s, char *to, const char *x, const size_t *at, size_t count)
{
    const size_t words = words_of(s), whole = s->d * element_of(s) / CONV_WORD;
    s->kernel->gather(x, at, count, whole, to, words);
    for (size_t i = 0; i < count && whole < words; i++)
        end_word(to + CONV_WORD * (i * words + whole), x + at[i], whole);
}
