/* The inverse DCT of models.md 11.1 ("islow") on vectors of 16-bit values, one block per 128 bits.
 * Included by the AVX2 and the AVX-512 file, which define the vector type v, V(name) for the
 * intrinsic of their width, and ZERO. */

static inline v pair(int a, int b)
{
    return V(set1_epi32)((int)((uint32_t)(uint16_t)a | (uint32_t)b << 16));
}

/* 32-bit values of 8 columns: low four, high four, of each block. */
typedef struct wide {
    v lo, hi;
} wide;

/* a * ka + b * kb per column */
static inline wide mul2(v a, v b, v k)
{
    wide r = {V(madd_epi16)(V(unpacklo_epi16)(a, b), k), V(madd_epi16)(V(unpackhi_epi16)(a, b), k)};
    return r;
}
static inline wide add(wide a, wide b)
{
    wide r = {V(add_epi32)(a.lo, b.lo), V(add_epi32)(a.hi, b.hi)};
    return r;
}
static inline wide sub(wide a, wide b)
{
    wide r = {V(sub_epi32)(a.lo, b.lo), V(sub_epi32)(a.hi, b.hi)};
    return r;
}
/* a * 2^13 */
static inline wide scaled(v a)
{
    wide r = {V(srai_epi32)(V(unpacklo_epi16)(ZERO, a), 3),
              V(srai_epi32)(V(unpackhi_epi16)(ZERO, a), 3)};
    return r;
}

#define DESCALE(w, bits)                                                                           \
    V(packs_epi32)                                                                                 \
    (V(srai_epi32)(V(add_epi32)((w).lo, half), bits),                                              \
     V(srai_epi32)(V(add_epi32)((w).hi, half), bits))

/* One pass over x[0..7]; the constants are those of models.md 11.1 combined for multiply-add
 * pairs. */
#define PASS(x, bits)                                                                              \
    do {                                                                                           \
        const v half = V(set1_epi32)(1 << ((bits)-1));                                             \
        wide e3 = mul2(x[2], x[6], pair(4433 + 6270, 4433));                                       \
        wide e2 = mul2(x[2], x[6], pair(4433, 4433 - 15137));                                      \
        wide e0 = scaled(V(add_epi16)(x[0], x[4])), e1 = scaled(V(sub_epi16)(x[0], x[4]));         \
        wide u0 = add(e0, e3), u3 = sub(e0, e3), u1 = add(e1, e2), u2 = sub(e1, e2);               \
        v z3 = V(add_epi16)(x[7], x[3]), z4 = V(add_epi16)(x[5], x[1]);                            \
        wide w3 = mul2(z3, z4, pair(9633 - 16069, 9633));                                          \
        wide w4 = mul2(z3, z4, pair(9633, 9633 - 3196));                                           \
        wide t0 = add(mul2(x[7], x[1], pair(2446 - 7373, -7373)), w3);                             \
        wide t3 = add(mul2(x[7], x[1], pair(-7373, 12299 - 7373)), w4);                            \
        wide t1 = add(mul2(x[5], x[3], pair(16819 - 20995, -20995)), w4);                          \
        wide t2 = add(mul2(x[5], x[3], pair(-20995, 25172 - 20995)), w3);                          \
        x[0] = DESCALE(add(u0, t3), bits);                                                         \
        x[7] = DESCALE(sub(u0, t3), bits);                                                         \
        x[1] = DESCALE(add(u1, t2), bits);                                                         \
        x[6] = DESCALE(sub(u1, t2), bits);                                                         \
        x[2] = DESCALE(add(u2, t1), bits);                                                         \
        x[5] = DESCALE(sub(u2, t1), bits);                                                         \
        x[3] = DESCALE(add(u3, t0), bits);                                                         \
        x[4] = DESCALE(sub(u3, t0), bits);                                                         \
    } while (0)

static inline __attribute__((always_inline)) void transpose(v x[8])
{
    v a[8], b[8];
    for (int i = 0; i < 4; i++) {
        a[2 * i] = V(unpacklo_epi16)(x[2 * i], x[2 * i + 1]);
        a[2 * i + 1] = V(unpackhi_epi16)(x[2 * i], x[2 * i + 1]);
    }
    for (int i = 0; i < 2; i++) {
        b[4 * i] = V(unpacklo_epi32)(a[4 * i], a[4 * i + 2]);
        b[4 * i + 1] = V(unpackhi_epi32)(a[4 * i], a[4 * i + 2]);
        b[4 * i + 2] = V(unpacklo_epi32)(a[4 * i + 1], a[4 * i + 3]);
        b[4 * i + 3] = V(unpackhi_epi32)(a[4 * i + 1], a[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        x[2 * i] = V(unpacklo_epi64)(b[i], b[4 + i]);
        x[2 * i + 1] = V(unpackhi_epi64)(b[i], b[4 + i]);
    }
}

/* Dequantised coefficients in x, a row each -> rows of samples minus 128, not yet clamped to
 * bytes. */
static inline __attribute__((always_inline)) void idct(v x[8])
{
    PASS(x, 11);
    transpose(x);
    PASS(x, 18);
    transpose(x);
}
