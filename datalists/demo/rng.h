/* Reproducible numbers for the demo images.
 * splitmix64 (Steele, Lea and Flood, OOPSLA 2014) and a few functions that libm has too, written out
 * so that no result depends on which variant of sin() a machine picks: the pixels are the same
 * everywhere that doubles are IEEE.  For the same reason no expression draws twice: C leaves open in
 * which order arguments are evaluated.  Angles are in turns: 1.0 is a full circle. */
#ifndef OUTPOST_DEMO_RNG_H
#define OUTPOST_DEMO_RNG_H

#include <math.h> /* floor, fabs and sqrt only: these are exact */
#include <stdint.h>

typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t rng_next(rng *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    return rng_mix(r->state);
}

/* One stream per image: what an image looks like does not depend on any other image. */
static inline rng rng_for(uint64_t seed, uint64_t set, uint64_t cls, uint64_t index)
{
    uint64_t s = rng_mix(seed + 0x9e3779b97f4a7c15u);
    s = rng_mix(s ^ (set + 0x632be59bd9b4e019u));
    s = rng_mix(s ^ (cls + 0xd1342543de82ef95u));
    return (rng){ rng_mix(s ^ (index + 0xaf251af3b0f025b5u)) };
}

/* Uniform in [0,1). */
static inline double rng_unit(rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}

static inline double rng_range(rng *r, double lo, double hi)
{
    return lo + (hi - lo) * rng_unit(r);
}

/* lo..hi, both included; the span is tiny, so the bias of the product is below 2^-20. */
static inline int rng_int(rng *r, int lo, int hi)
{
    return lo + (int)(((rng_next(r) >> 32) * (uint64_t)(hi - lo + 1)) >> 32);
}

static inline int rng_chance(rng *r, double p)
{
    return rng_unit(r) < p;
}

/* Mean 0, variance 1, in [-3.5,3.5]: four uniforms summed, near enough to a normal for sensor noise. */
static inline double rng_bell(rng *r)
{
    double s = rng_unit(r);
    for (int i = 1; i < 4; i++)
        s += rng_unit(r);
    return (s - 2.0) * 1.7320508075688772;
}

static inline double clamp01(double v)
{
    return v < 0.0 ? 0.0 : v > 1.0 ? 1.0 : v;
}

static inline double lerp(double a, double b, double t)
{
    return a + (b - a) * t;
}

/* sin of t turns; Taylor to x^11 on a quarter turn, error below 6e-8. */
static inline double sin_turn(double t)
{
    double x, x2;
    t -= floor(t + 0.5);
    if (t > 0.25) t = 0.5 - t;
    if (t < -0.25) t = -0.5 - t;
    x = t * 6.283185307179586;
    x2 = x * x;
    return x * (1.0 - x2 / 6.0 *
                          (1.0 - x2 / 20.0 *
                                     (1.0 - x2 / 42.0 * (1.0 - x2 / 72.0 * (1.0 - x2 / 110.0)))));
}

static inline double cos_turn(double t)
{
    return sin_turn(t + 0.25);
}

/* The angle of (x,y) in turns, -0.5..0.5; atan(q) near q (pi/4 + 0.273 (1-q)), error below 4e-3 rad,
 * which bends a spiral by less than a tenth of a pixel. */
static inline double angle_turn(double y, double x)
{
    double ax = fabs(x), ay = fabs(y), q, a;
    if (ax + ay == 0.0) return 0.0;
    q = ax > ay ? ay / ax : ax / ay;
    a = q * (0.7853981633974483 + 0.273 * (1.0 - q)) / 6.283185307179586;
    if (ay > ax) a = 0.25 - a;
    if (x < 0.0) a = 0.5 - a;
    return y < 0.0 ? -a : a;
}

#endif
