/* The rows between the two products of attention (attention.c); included by conv_tile.h.  A row has
 * `vectors` whole vectors; what lies beyond the last key is -inf and becomes 0.
 * Sums: one for each key modulo 16 (base: 4), in order, then halves are added; so 8 and 16 lanes give
 * the same bits. */

enum { GROUP = LANES < 8 ? 1 : 16 / LANES };

/* Turns a row of scores s into 2^(factor s + bias + mask - most) as elements, in place; returns their sum. */
ALWAYS float softmax_row(float *s, const size_t vectors, const float factor, const float *bias,
                         const float *mask)
{
    const vec f = SET1(factor);
    vec most[GROUP], sum[GROUP], top;
    ELEMENT *p = (ELEMENT *)(void *)s;
    for (size_t g = 0; g < GROUP; g++) {
        most[g] = SET1(-INFINITY);
        sum[g] = SET1(0.0f);
    }
    for (size_t v = 0; v < vectors; v++) {
        vec u = LOAD(s + v * LANES);
        if (bias != NULL) {
            u = MADD(u, f, LOAD(bias + v * LANES));
            if (mask != NULL) u = ADD(u, LOAD(mask + v * LANES));
            STORE(s + v * LANES, u);
        }
        most[v % GROUP] = MAX(most[v % GROUP], u);
    }
    for (size_t g = 1; g < GROUP; g++)
        most[0] = MAX(most[0], most[g]);
    top = SET1(HIGHEST(most[0]));
    if (bias == NULL) top = top * f;
    for (size_t v = 0; v < vectors; v++) {
        vec u = LOAD(s + v * LANES);
        if (bias != NULL) u = u - top;
        else u = MADD(u, f, -top);
        u = power_of_2(u);
        sum[v % GROUP] = ADD(sum[v % GROUP], u);
        TO_ELEMENTS((void *)(p + v * LANES), u);
    }
    for (size_t g = 1; g < GROUP; g++)
        sum[0] = ADD(sum[0], sum[g]);
    return TOTAL(sum[0]);
}

static void softmax(const softmax_args *a, float *s, const float *bias, const float *mask, size_t rows,
                    float *sums)
{
    for (size_t i = 0; i < rows; i++, s += a->step) {
        if (bias == NULL) sums[i] = softmax_row(s, a->vectors, a->factor, NULL, NULL);
        else if (mask == NULL) sums[i] = softmax_row(s, a->vectors, a->factor, bias, NULL);
        else sums[i] = softmax_row(s, a->vectors, a->factor, bias, mask);
        if (bias != NULL) bias += a->step;
        if (mask != NULL) mask += a->step;
    }
}

/* y = v / by, n of them */
static void quotient(const float *v, float by, char *y, size_t n)
{
    const vec f = SET1(1.0f / by);
    for (size_t i = 0; i < n; i += LANES, y += LANES * sizeof(ELEMENT)) {
        if (n - i >= LANES) TO_ELEMENTS((void *)y, LOAD(v + i) * f);
        else store_part(y, LOAD(v + i) * f, (int)(n - i));
    }
}

/* v = factor e^v on n floats, a multiple of LANES; e^87 at most. */
static void powers(float *v, float factor, size_t n)
{
    const vec f = SET1(factor), most = SET1(87.0f);
    for (size_t i = 0; i < n; i += LANES)
        STORE(v + i, exponential(MIN(LOAD(v + i), most)) * f);
}
