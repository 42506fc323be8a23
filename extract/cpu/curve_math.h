/* The curves on one vector, for the files that define vec, its macros (conv_tile.h) and
 *   ROUND(v)                to the nearest integer, ties to even
 *   EXPONENT(p, n, u)       p 2^n for integers -125 <= n <= 126; 0 where u < -125; p where u is NaN
 *   BY_SIGN(x, minus, plus) minus where the sign bit of x is set
 *   ABOVE(x, low, v)        v, 0 where x <= low;  BELOW(x, high, v) 0 where x >= high
 * The operations and their order are the same everywhere: what fuses multiply-add gives the same
 * bits.  The polynomials are minimax; tests/golden/make_curves.py makes them. */

/* a + b x */
#define LINE(a, b, x) MADD(SET1(b), x, SET1(a))

/* 2^u for u <= 0, 0 below 2^-125: 2^n 2^r with |r| <= 1/2.  The polynomial errs by 9.4e-8, relative. */
ALWAYS vec power_of_2(vec u)
{
    const vec n = ROUND(u), r = u - n, r2 = r * r;
    vec p = LINE(0.00967129134f, 0.00132695213f, r);
    p = MADD(p, r2, LINE(0.240222469f, 0.0555071086f, r));
    p = MADD(p, r2, LINE(1.0f, 0.693147004f, r));
    return EXPONENT(p, n, u);
}

/* e^x for x <= 87, 0 below 2^-125; ln 2 in two parts.  The polynomial errs by 3.2e-9, relative. */
ALWAYS vec exponential(vec x)
{
    const vec u = x * SET1(1.44269504f), n = ROUND(u);
    const vec r = MADD(n, SET1(-1.42860677e-6f), MADD(n, SET1(-0.693145752f), x)), r2 = r * r;
    vec p = MADD(SET1(0.0013818302f), r2, LINE(0.0416682921f, 0.00836853217f, r));
    p = MADD(p, r2, LINE(0.49999994f, 0.166665226f, r));
    p = MADD(p, r2, r) + SET1(1.0f);
    return EXPONENT(p, n, u);
}

/* x Phi(x).  With a = |x|, log2 Phi(-a) is a polynomial that makes a Phi(-a) right to 6.8e-8; beyond
 * a = 12.9 Phi(-a) is 0.  Of all floats the worst is off by 1.8e-7 max(1,|x|). */
ALWAYS vec gelu(vec x)
{
    const vec a = MIN(MAX(x, -x), SET1(13.0f)), a2 = a * a, a4 = a2 * a2;
    const vec high = LINE(-6.95405163e-7f, 1.80268547e-8f, a);
    const vec upper = MADD(LINE(-2.47893549e-5f, 9.08130914e-6f, a), a2,
                           LINE(0.00767455017f, -0.000566387142f, a));
    const vec lower = MADD(LINE(-0.459049672f, -0.0529516153f, a), a2, LINE(-1.0f, -1.15112364f, a));
    const vec below = power_of_2(MADD(MADD(high, a4, upper), a4, lower));
    return x * BY_SIGN(x, below, SET1(1.0f) - below);
}

/* 1 / (1 + e^-x), by e^-|x|, which cannot overflow. */
ALWAYS vec sigmoid(vec x)
{
    const vec e = exponential(MIN(x, -x));
    return BY_SIGN(x, e, SET1(1.0f)) / (SET1(1.0f) + e);
}

ALWAYS vec curved(vec x, const activation act)
{
    if (act == ACT_GELU) return gelu(x);
    if (act == ACT_SIGMOID) return sigmoid(x);
    return x * sigmoid(x);
}

/* In place on n floats. */
static void curve_line(activation act, float *v, size_t n)
{
#define EACH_VECTOR(act)                                                                           \
    do {                                                                                           \
        for (; i + LANES <= n; i += LANES)                                                         \
            STORE(v + i, curved(LOAD(v + i), act));                                                \
        if (i < n) {                                                                               \
            float rest[LANES] = { 0 };                                                             \
            memcpy(rest, v + i, (n - i) * sizeof *rest);                                           \
            STORE(rest, curved(LOAD(rest), act));                                                  \
            memcpy(v + i, rest, (n - i) * sizeof *rest);                                           \
        }                                                                                          \
    } while (0)
    size_t i = 0;
    if (act == ACT_GELU) EACH_VECTOR(ACT_GELU);
    else if (act == ACT_SIGMOID) EACH_VECTOR(ACT_SIGMOID);
    else if (act == ACT_SILU) EACH_VECTOR(ACT_SILU);
#undef EACH_VECTOR
}

/* ---- derivatives -------------------------------------------------------------------------------- */

/* Phi(x) + x phi(x), Phi by the polynomial of gelu(). */
ALWAYS vec gelu_slope(vec x)
{
    const vec a = MIN(MAX(x, -x), SET1(13.0f)), a2 = a * a, a4 = a2 * a2;
    const vec high = LINE(-6.95405163e-7f, 1.80268547e-8f, a);
    const vec upper = MADD(LINE(-2.47893549e-5f, 9.08130914e-6f, a), a2,
                           LINE(0.00767455017f, -0.000566387142f, a));
    const vec lower = MADD(LINE(-0.459049672f, -0.0529516153f, a), a2, LINE(-1.0f, -1.15112364f, a));
    const vec below = power_of_2(MADD(MADD(high, a4, upper), a4, lower));
    const vec density = power_of_2(a2 * SET1(-0.72134752f)) * SET1(0.39894228f);
    return MADD(x, density, BY_SIGN(x, below, SET1(1.0f) - below));
}

ALWAYS vec silu_slope(vec x)
{
    const vec s = sigmoid(x);
    return s * MADD(x, SET1(1.0f) - s, SET1(1.0f));
}

/* v times the derivative; at: y of ReLU, ReLU6 and the logistic function, x of the others (extract/adjoint.c). */
ALWAYS vec sloped(vec v, vec at, const graph_op gate)
{
    if (gate == OP_relu_back) return ABOVE(at, SET1(0.0f), v);
    if (gate == OP_relu6_back) return BELOW(at, SET1(6.0f), ABOVE(at, SET1(0.0f), v));
    if (gate == OP_gelu_back) return v * gelu_slope(at);
    if (gate == OP_silu_back) return v * silu_slope(at);
    return v * (at * (SET1(1.0f) - at));
}

/* v *= derivative at `at`, n floats. */
static void slope_line(graph_op gate, float *v, const float *at, size_t n)
{
#define EACH_VECTOR(gate)                                                                          \
    do {                                                                                           \
        for (; i + LANES <= n; i += LANES)                                                         \
            STORE(v + i, sloped(LOAD(v + i), LOAD(at + i), gate));                                 \
        if (i < n) {                                                                               \
            float rest[LANES] = { 0 }, place[LANES] = { 0 };                                       \
            memcpy(rest, v + i, (n - i) * sizeof *rest);                                           \
            memcpy(place, at + i, (n - i) * sizeof *place);                                        \
            STORE(rest, sloped(LOAD(rest), LOAD(place), gate));                                    \
            memcpy(v + i, rest, (n - i) * sizeof *rest);                                           \
        }                                                                                          \
    } while (0)
    size_t i = 0;
    if (gate == OP_relu_back) EACH_VECTOR(OP_relu_back);
    else if (gate == OP_relu6_back) EACH_VECTOR(OP_relu6_back);
    else if (gate == OP_gelu_back) EACH_VECTOR(OP_gelu_back);
    else if (gate == OP_silu_back) EACH_VECTOR(OP_silu_back);
    else if (gate == OP_sigmoid_back) EACH_VECTOR(OP_sigmoid_back);
#undef EACH_VECTOR
}
