/* Pictures without an object: the far out-of-distribution sets. */
#include "datalists/demo/canvas.h"

void paint_plasma(canvas *c, rng *r, const shape *unused)
{
    rgb a = rgb_random(r), b = rgb_against(r, a, 0.6), d = rgb_random(r);
    double cell = rng_range(r, 10.0, 30.0);
    int octaves = rng_int(r, 2, 5);
    uint64_t seed = rng_next(r), other = rng_next(r);
    (void)unused;
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double s = noise_at(seed, x, y, cell, octaves), t = noise_at(other, x, y, cell, octaves);
            c->px[y * c->w + x] = rgb_mix(rgb_mix(a, b, s), d, t * t);
        }
}

/* A Voronoi diagram with joints, like stone or leather. */
void paint_cells(canvas *c, rng *r, const shape *unused)
{
    enum { MOST = 40 };
    int n = rng_int(r, 12, MOST);
    double px[MOST], py[MOST], spread = rng_range(r, 0.2, 0.8), joint = rng_range(r, 0.5, 2.0);
    rgb base = rgb_random(r), dark = rgb_against(r, base, 0.5), ink[MOST];
    (void)unused;
    for (int i = 0; i < n; i++) {
        px[i] = rng_unit(r) * c->w;
        py[i] = rng_unit(r) * c->h;
        ink[i] = rgb_mix(base, rgb_random(r), spread);
    }
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double near = 1e9, next = 1e9;
            int at = 0;
            for (int i = 0; i < n; i++) {
                double dx = x + 0.5 - px[i], dy = y + 0.5 - py[i], d = sqrt(dx * dx + dy * dy);
                if (d < near) {
                    next = near;
                    near = d;
                    at = i;
                } else if (d < next) {
                    next = d;
                }
            }
            c->px[y * c->w + x] = rgb_mix(dark, ink[at], clamp01((next - near) / joint));
        }
}

/* Veins: a wave bent by noise. */
void paint_marble(canvas *c, rng *r, const shape *unused)
{
    rgb a = rgb_random(r), b = rgb_against(r, a, 0.5);
    double turn = rng_unit(r), period = rng_range(r, 14.0, 30.0), bend = rng_range(r, 1.5, 4.0);
    double cell = rng_range(r, 10.0, 25.0), cx = cos_turn(turn), sy = sin_turn(turn);
    uint64_t seed = rng_next(r);
    (void)unused;
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double t = (cx * x + sy * y) / period + bend * noise_at(seed, x, y, cell, 4);
            double s = 0.5 + 0.5 * sin_turn(t);
            c->px[y * c->w + x] = rgb_mix(a, b, s * s);
        }
}

/* Every pixel, or every channel, for itself. */
void paint_static(canvas *c, rng *r, const shape *unused)
{
    rgb mean = { { 0.5, 0.5, 0.5 } };
    double grey;
    (void)unused;
    if (rng_chance(r, 0.5)) mean = rgb_random(r);
    canvas_fill(c, mean);
    grey = rng_chance(r, 0.5) ? 1.0 : 0.0;
    canvas_noise(c, r, rng_range(r, 0.15, 0.5), grey);
    if (rng_chance(r, 0.5)) canvas_blur(c);
}

/* Nothing but a flow between colours, straight or round. */
void paint_gradient(canvas *c, rng *r, const shape *unused)
{
    rgb a = rgb_random(r), b = rgb_against(r, a, 0.4);
    double turn = rng_unit(r), cx = cos_turn(turn), sy = sin_turn(turn);
    double ox = rng_range(r, -1.0, 1.0), oy = rng_range(r, -1.0, 1.0);
    int round = rng_chance(r, 0.5);
    (void)unused;
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double u = 2.0 * x / c->w - 1.0, v = 2.0 * y / c->h - 1.0;
            double line = 0.5 + 0.5 * (cx * u + sy * v);
            double circle = 0.5 * sqrt((u - ox) * (u - ox) + (v - oy) * (v - oy));
            c->px[y * c->w + x] = rgb_mix(a, b, clamp01(round ? circle : line));
        }
}

/* A mosaic of flat tiles, each with a colour of its own. */
void paint_blocks(canvas *c, rng *r, const shape *unused)
{
    int side = rng_int(r, 4, 16), shift_x = rng_int(r, 0, 15), shift_y = rng_int(r, 0, 15);
    uint64_t seed = rng_next(r);
    (void)unused;
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            rng tile = rng_for(seed, 0, (uint64_t)((x + shift_x) / side),
                               (uint64_t)((y + shift_y) / side));
            c->px[y * c->w + x] = rgb_random(&tile);
        }
}
