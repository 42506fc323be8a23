#include "score/stats/draw.h"

#include <math.h>

draw draw_seeded(uint64_t seed)
{
    return (draw){seed};
}

uint64_t draw_bits(draw *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t draw_below(draw *r, uint64_t n)
{
    uint64_t least = (uint64_t)(0 - n) % n, x; /* below it the last, short round would begin */
    do
        x = draw_bits(r);
    while (x < least);
    return x % n;
}

static void normal_pair(draw *r, double *a, double *b)
{
    double x, y, s;
    do {
        x = 2 * ((double)(draw_bits(r) >> 11) + 0.5) / 9007199254740992.0 - 1;
        y = 2 * ((double)(draw_bits(r) >> 11) + 0.5) / 9007199254740992.0 - 1;
        s = x * x + y * y;
    } while (s >= 1 || s == 0);
    s = sqrt(-2 * log(s) / s);
    *a = x * s;
    *b = y * s;
}

double draw_normal(draw *r)
{
    double a, b;
    normal_pair(r, &a, &b);
    return a;
}

void draw_normals(draw *r, double *out, size_t n)
{
    double unused;
    for (size_t i = 0; i < n; i += 2)
        normal_pair(r, &out[i], i + 1 < n ? &out[i + 1] : &unused);
}

/* Knuth's algorithm S: every subset is as likely as any other, and comes out in order. */
void draw_sample(uint64_t seed, size_t n, size_t take, size_t *out)
{
    draw r = draw_seeded(seed);
    size_t at = 0;
    for (size_t i = 0; i < n && at < take; i++)
        if (draw_below(&r, n - i) < take - at) out[at++] = i;
}
