/* The rows between the two products of attention (attention.c); included by conv_tile.h.  A row has
 * `vectors` whole vectors; what lies beyond the last key is -inf and becomes 0.
 * Sums: one for each key modulo 16 (base: 4), in order, then halves are added; so 8 and 16 lanes give
 * the same bits. */

enum { GROUP = LANES < 8 ? 1 : 16 / LANES };

/* Turns `rows` rows of scores s into 2^(factor s + bias + mask - most) as elements, in place.  rows, and
 * whether there are bias and mask, are constants at every call. */
ALWAYS void softmax_rows(const int rows, const softmax_args *a, float *s, const float *bias,
                         const float *mask, float *sums)
{
    const vec f = SET1(a->factor);
    const size_t step = a->step, end = a->vectors * LANES;
    vec most[2][GROUP], sum[2][GROUP], top[2];
    for (int i = 0; i < rows; i++)
        for (size_t g = 0; g < GROUP; g++) {
            most[i][g] = SET1(-INFINITY);
            sum[i][g] = SET1(0.0f);
        }
    for (size_t v = 0; v < end; v += LANES)
        for (int i = 0; i < rows; i++) {
            vec *m = &most[i][v / LANES % GROUP];
            vec u = LOAD(s + (size_t)i * step + v);
            if (bias != NULL) {
                u = MADD(u, f, LOAD(bias + (size_t)i * step + v));
                if (mask != NULL) u = ADD(u, LOAD(mask + (size_t)i * step + v));
                STORE(s + (size_t)i * step + v, u);
            }
            *m = MAX(*m, u);
        }
    for (int i = 0; i < rows; i++) {
        for (size_t g = 1; g < GROUP; g++)
            most[i][0] = MAX(most[i][0], most[i][g]);
        top[i] = SET1(HIGHEST(most[i][0]));
        if (bias == NULL) top[i] = top[i] * f;
    }
    for (size_t v = 0; v < end; v += LANES)
        for (int i = 0; i < rows; i++) {
            vec *t = &sum[i][v / LANES % GROUP];
            vec u = LOAD(s + (size_t)i * step + v);
            if (bias != NULL) u = u - top[i];
            else u = MADD(u, f, -top[i]);
            u = power_of_2(u);
            *t = ADD(*t, u);
            TO_ELEMENTS((void *)((ELEMENT *)(void *)(s + (size_t)i * step) + v), u);
        }
    for (int i = 0; i < rows; i++) {
        for (size_t g = 1; g < GROUP; g++)
            sum[i][0] = ADD(sum[i][0], sum[i][g]);
        sums[i] = TOTAL(sum[i][0]);
    }
}

ALWAYS void softmax_of(const int rows, const softmax_args *a, float *s, const float *bias,
                       const float *mask, float *sums)
{
    if (bias == NULL) softmax_rows(rows, a, s, NULL, NULL, sums);
    else if (mask == NULL) softmax_rows(rows, a, s, bias, NULL, sums);
    else softmax_rows(rows, a, s, bias, mask, sums);
}

/* Two rows at a time hide each other's latency. */
static void softmax(const softmax_args *a, float *s, const float *bias, const float *mask, size_t rows,
                    float *sums)
{
    size_t i = 0;
    for (; i + 2 <= rows; i += 2) {
        softmax_of(2, a, s + i * a->step, bias, mask, sums + i);
        if (bias != NULL) bias += 2 * a->step;
        if (mask != NULL) mask += 2 * a->step;
    }
    if (i < rows) softmax_of(1, a, s + i * a->step, bias, mask, sums + i);
}

/* y[at[i]] = v[i] / by[i] for rows of n values. */
static void quotients(const float *v, size_t step, const float *by, size_t rows, size_t n, char *y,
                      const size_t *at)
{
    for (size_t i = 0; i < rows; i++, v += step) {
        const vec f = SET1(1.0f / by[i]);
        char *to = y + at[i];
        for (size_t k = 0; k < n; k += LANES, to += LANES * sizeof(ELEMENT)) {
            if (n - k >= LANES) TO_ELEMENTS((void *)to, LOAD(v + k) * f);
            else store_part(to, LOAD(v + k) * f, (int)(n - k));
        }
    }
}

/* Row i of `words` words of 4 bytes from x + at[i] to to + i * step words. */
static void gather(const char *x, const size_t *at, size_t rows, size_t words, char *to, size_t step)
{
    for (size_t i = 0; i < rows; i++, to += 4 * step) {
        const char *from = x + at[i];
        size_t k = 0;
        for (; k + LANES <= words; k += LANES)
            STORE((void *)(to + 4 * k), LOAD((const void *)(from + 4 * k)));
        if (k < words) memcpy(to + 4 * k, from + 4 * k, 4 * (words - k));
    }
}

/* v = factor e^v on n floats, a multiple of LANES; e^87 at most. */
static void powers(float *v, float factor, size_t n)
{
    const vec f = SET1(factor), most = SET1(87.0f);
    for (size_t i = 0; i < n; i += LANES)
        STORE(v + i, exponential(MIN(LOAD(v + i), most)) * f);
}
