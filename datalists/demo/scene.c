/* One form on a cluttered ground: the style that the in-distribution set and the near
 * out-of-distribution set share.  Everything but the form is nuisance. */
#include "datalists/demo/canvas.h"

static double smaller_side(const canvas *c)
{
    return c->w < c->h ? c->w : c->h;
}

/* Two colours that flow into each other, and cloudy unevenness. */
static rgb paint_ground(canvas *c, rng *r)
{
    rgb a = rgb_random(r);
    double far = rng_range(r, 0.0, 0.5);
    rgb b = rgb_mix(a, rgb_random(r), far);
    double turn = rng_unit(r), cx = cos_turn(turn), sy = sin_turn(turn);
    double uneven = rng_range(r, 0.0, 0.3), cell = rng_range(r, 5.0, 20.0);
    uint64_t seed = rng_next(r);
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double t = 0.5 + 0.5 * (cx * (2.0 * x / c->w - 1.0) + sy * (2.0 * y / c->h - 1.0));
            double n = uneven * (noise_at(seed, x, y, cell, 2) - 0.5);
            rgb p = rgb_mix(a, b, clamp01(t));
            for (int i = 0; i < 3; i++)
                p.v[i] += n;
            c->px[y * c->w + x] = p;
        }
    return rgb_mix(a, b, 0.5);
}

/* Lines and specks that mean nothing. */
static void paint_clutter(canvas *c, rng *r, int n, double alpha)
{
    double s = smaller_side(c);
    for (int i = 0; i < n; i++) {
        rgb ink = rgb_random(r);
        double x = rng_unit(r) * c->w, y = rng_unit(r) * c->h;
        double strength = alpha * rng_range(r, 0.5, 1.0);
        if (rng_chance(r, 0.5)) {
            double turn = rng_unit(r), length = s * rng_range(r, 0.2, 0.7);
            canvas_line(c, x, y, x + length * cos_turn(turn), y + length * sin_turn(turn),
                        s * rng_range(r, 0.02, 0.06), ink, strength);
        } else {
            canvas_disc(c, x, y, s * rng_range(r, 0.03, 0.09), ink, strength);
        }
    }
}

typedef struct placed { /* pixels -> the coordinates of the figure */
    double cx, cy, scale, xx, xy, yx, yy;
} placed;

static placed place(const canvas *c, rng *r, int pattern)
{
    placed p;
    double turn = rng_unit(r), stretch = rng_range(r, 0.85, 1.18), s = smaller_side(c);
    double off = pattern ? 0.14 : 0.1;
    p.scale = s * (pattern ? rng_range(r, 0.36, 0.5) : rng_range(r, 0.24, 0.44));
    p.cx = 0.5 * c->w + rng_range(r, -off, off) * s;
    p.cy = 0.5 * c->h + rng_range(r, -off, off) * s;
    p.xx = cos_turn(turn) / (p.scale * stretch);
    p.xy = sin_turn(turn) / (p.scale * stretch);
    p.yx = -sin_turn(turn) * stretch / p.scale;
    p.yy = cos_turn(turn) * stretch / p.scale;
    return p;
}

static void paint_figure(canvas *c, rng *r, const shape *s, rgb ground)
{
    figure f = { 0 };
    rgb ink = rgb_against(r, ground, 0.45), second = rgb_mix(ink, rgb_random(r), 0.25);
    placed p = place(c, r, s->pattern);
    double alpha = rng_range(r, 0.5, 1.0);
    double outline = !s->pattern && rng_chance(r, 0.25) ? rng_range(r, 0.1, 0.18) : 0.0;
    s->draw(&f, r);
    for (int y = 0; y < c->h; y++)
        for (int x = 0; x < c->w; x++) {
            double px = x + 0.5 - p.cx, py = y + 0.5 - p.cy;
            double u = p.xx * px + p.xy * py, v = p.yx * px + p.yy * py;
            double d = s->distance(&f, u, v);
            if (outline > 0.0) d = fabs(d) - outline;
            if (d * p.scale < 0.5)
                canvas_blend(c, x, y, rgb_mix(ink, second, clamp01(0.5 + 0.5 * v)),
                             alpha * clamp01(0.5 - d * p.scale));
        }
}

void paint_scene(canvas *c, rng *r, const shape *s)
{
    rgb ground = paint_ground(c, r);
    double grey;
    paint_clutter(c, r, rng_int(r, 0, 5), 0.7);
    paint_figure(c, r, s, ground);
    if (rng_chance(r, 0.5)) paint_clutter(c, r, rng_int(r, 1, 3), 0.9);
    for (int i = rng_int(r, 0, 3); i > 0; i--)
        canvas_blur(c);
    grey = rng_unit(r);
    canvas_noise(c, r, rng_range(r, 0.0, 0.11), grey);
}
