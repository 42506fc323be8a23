#include "datalists/demo/canvas.h"

rgb rgb_random(rng *r)
{
    rgb c;
    for (int i = 0; i < 3; i++)
        c.v[i] = rng_range(r, 0.05, 0.95);
    return c;
}

rgb rgb_against(rng *r, rgb other, double least)
{
    for (;;) {
        rgb c = rgb_random(r);
        double d = 0.0;
        for (int i = 0; i < 3; i++)
            d += fabs(c.v[i] - other.v[i]);
        if (d >= least) return c;
    }
}

rgb rgb_mix(rgb a, rgb b, double t)
{
    for (int i = 0; i < 3; i++)
        a.v[i] = lerp(a.v[i], b.v[i], t);
    return a;
}

void canvas_size(canvas *c, rng *r)
{
    c->w = rng_int(r, SIDE_MIN, SIDE_MAX);
    c->h = c->w;
    if (rng_chance(r, 0.5)) c->h = rng_int(r, c->w * 3 / 4, c->w * 4 / 3);
    if (c->h < SIDE_MIN) c->h = SIDE_MIN;
    if (c->h > SIDE_MAX) c->h = SIDE_MAX;
}

void canvas_fill(canvas *c, rgb a)
{
    for (int i = 0; i < c->w * c->h; i++)
        c->px[i] = a;
}

void canvas_blend(canvas *c, int x, int y, rgb ink, double cover)
{
    rgb *p = &c->px[y * c->w + x];
    *p = rgb_mix(*p, ink, clamp01(cover));
}

void canvas_line(canvas *c, double x0, double y0, double x1, double y1, double width, rgb ink,
                 double alpha)
{
    double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double px = x + 0.5 - x0, py = y + 0.5 - y0;
            double t = length2 > 0.0 ? clamp01((px * dx + py * dy) / length2) : 0.0;
            double ex = px - t * dx, ey = py - t * dy;
            double d = sqrt(ex * ex + ey * ey) - 0.5 * width;
            if (d < 0.5) canvas_blend(c, x, y, ink, alpha * clamp01(0.5 - d));
        }
}

void canvas_disc(canvas *c, double x, double y, double radius, rgb ink, double alpha)
{
    canvas_line(c, x, y, x, y, 2.0 * radius, ink, alpha);
}

static rgb blend3(rgb a, rgb b, rgb c)
{
    for (int i = 0; i < 3; i++)
        b.v[i] = 0.25 * a.v[i] + 0.5 * b.v[i] + 0.25 * c.v[i];
    return b;
}

void canvas_blur(canvas *c)
{
    for (int y = 0; y < c->h; y++) {
        rgb *row = &c->px[y * c->w], before = row[0];
        for (int x = 0; x < c->w; x++) {
            rgb here = row[x];
            row[x] = blend3(before, here, row[x + 1 < c->w ? x + 1 : x]);
            before = here;
        }
    }
    for (int x = 0; x < c->w; x++) {
        rgb before = c->px[x];
        for (int y = 0; y < c->h; y++) {
            rgb here = c->px[y * c->w + x];
            c->px[y * c->w + x] = blend3(before, here, c->px[(y + 1 < c->h ? y + 1 : y) * c->w + x]);
            before = here;
        }
    }
}

void canvas_noise(canvas *c, rng *r, double sigma, double grey)
{
    for (int i = 0; i < c->w * c->h; i++) {
        double common = grey * rng_bell(r);
        for (int k = 0; k < 3; k++)
            c->px[i].v[k] += sigma * (common + (1.0 - grey) * rng_bell(r));
    }
}

static double lattice(uint64_t seed, int64_t x, int64_t y)
{
    uint64_t h = rng_mix(seed ^ rng_mix((uint64_t)x * 0x9e3779b97f4a7c15u ^ (uint64_t)y));
    return (double)(h >> 11) * 0x1p-53;
}

double noise_at(uint64_t seed, double x, double y, double cell, int octaves)
{
    double sum = 0.0, weight = 1.0, total = 0.0;
    for (int o = 0; o < octaves; o++) {
        double u = x / cell, v = y / cell, fu = floor(u), fv = floor(v);
        int64_t i = (int64_t)fu, j = (int64_t)fv;
        double s = u - fu, t = v - fv;
        s = s * s * (3.0 - 2.0 * s);
        t = t * t * (3.0 - 2.0 * t);
        sum += weight * lerp(lerp(lattice(seed, i, j), lattice(seed, i + 1, j), s),
                             lerp(lattice(seed, i, j + 1), lattice(seed, i + 1, j + 1), s), t);
        total += weight;
        weight *= 0.5;
        cell *= 0.5;
        seed = rng_mix(seed + 1);
    }
    return sum / total;
}
