/* The forms of the demo classes.  Each has a draw (its parameters at random) and a signed distance,
 * negative inside, in units of its own size. */
#include "datalists/demo/canvas.h"

static double min2(double a, double b) { return a < b ? a : b; }
static double max2(double a, double b) { return a > b ? a : b; }
static double radius(double x, double y) { return sqrt(x * x + y * y); }

/* Distance from v to the nearest line of a family `period` apart that is `width` wide. */
static double bars(double v, double period, double width)
{
    double q = v / period;
    return fabs(q - floor(q) - 0.5) * period - 0.5 * width;
}

/* --- polygons -------------------------------------------------------------------------------- */
static void vertex(figure *f, double x, double y)
{
    f->x[f->n] = x;
    f->y[f->n] = y;
    f->n++;
}

static void vertex_polar(figure *f, double turn, double r)
{
    vertex(f, r * cos_turn(turn), r * sin_turn(turn));
}

static double polygon(const figure *f, double x, double y)
{
    double best = 1e9;
    int inside = 0;
    for (int i = 0, j = f->n - 1; i < f->n; j = i++) {
        double ex = f->x[j] - f->x[i], ey = f->y[j] - f->y[i];
        double px = x - f->x[i], py = y - f->y[i];
        double t = clamp01((px * ex + py * ey) / (ex * ex + ey * ey));
        double dx = px - t * ex, dy = py - t * ey;
        best = min2(best, dx * dx + dy * dy);
        if ((f->y[i] > y) != (f->y[j] > y) && px < ex * py / ey) inside = !inside;
    }
    return inside ? -sqrt(best) : sqrt(best);
}

static void draw_triangle(figure *f, rng *r)
{
    for (int i = 0; i < 3; i++) {
        double size = rng_range(r, 0.85, 1.1);
        vertex_polar(f, i / 3.0 + rng_range(r, -0.04, 0.04), size);
    }
}

static void draw_star(figure *f, rng *r)
{
    double inner = rng_range(r, 0.36, 0.52);
    for (int i = 0; i < 5; i++) {
        vertex_polar(f, i / 5.0, 1.05);
        vertex_polar(f, (i + 0.5) / 5.0, 1.05 * inner);
    }
}

static void draw_cross(figure *f, rng *r)
{
    double t = rng_range(r, 0.18, 0.38), l = 1.0;
    const double at[12][2] = { { l, -t }, { l, t },   { t, t },   { t, l },   { -t, l },  { -t, t },
                               { -l, t }, { -l, -t }, { -t, -t }, { -t, -l }, { t, -l }, { t, -t } };
    for (int i = 0; i < 12; i++)
        vertex(f, at[i][0], at[i][1]);
}

static void draw_arrow(figure *f, rng *r)
{
    double shaft = rng_range(r, 0.14, 0.3), head = rng_range(r, 0.5, 0.75);
    double neck = rng_range(r, -0.05, 0.3);
    vertex(f, 1.1, 0.0);
    vertex(f, neck, head);
    vertex(f, neck, shaft);
    vertex(f, -1.0, shaft);
    vertex(f, -1.0, -shaft);
    vertex(f, neck, -shaft);
    vertex(f, neck, -head);
}

static void draw_hexagon(figure *f, rng *r)
{
    for (int i = 0; i < 6; i++)
        vertex_polar(f, i / 6.0 + rng_range(r, -0.015, 0.015), 1.0);
}

static void draw_gear(figure *f, rng *r)
{
    int teeth = rng_int(r, 7, 10);
    double low = rng_range(r, 0.66, 0.78);
    for (int i = 0; i < teeth; i++) {
        vertex_polar(f, (i + 0.05) / teeth, low);
        vertex_polar(f, (i + 0.2) / teeth, 1.0);
        vertex_polar(f, (i + 0.5) / teeth, 1.0);
        vertex_polar(f, (i + 0.65) / teeth, low);
    }
}

static void draw_heart(figure *f, rng *r)
{
    double dent = rng_range(r, 0.25, 0.4);
    for (int i = 0; i < 32; i++) {
        double t = i / 32.0, s = sin_turn(t), c = cos_turn(t);
        vertex(f, 1.05 * s * s * s, 0.82 * c - dent * cos_turn(2.0 * t) - 0.13 * cos_turn(3.0 * t));
    }
}

/* --- made of circles -------------------------------------------------------------------------- */
static void draw_crescent(figure *f, rng *r)
{
    f->a = rng_range(r, 0.75, 0.95); /* the disc taken away */
    f->b = rng_range(r, 0.4, 0.6);   /* and how far it is shifted */
}

static double crescent(const figure *f, double x, double y)
{
    return max2(radius(x, y) - 1.0, f->a - radius(x - f->b, y));
}

static void draw_half(figure *f, rng *r)
{
    f->a = rng_range(r, -0.15, 0.15);
}

static double half(const figure *f, double x, double y)
{
    return max2(radius(x, y) - 1.0, y - f->a);
}

/* --- patterns: a = period, b = ink width, c = window radius, d = phase ------------------------- */
static void draw_rings(figure *f, rng *r)
{
    f->a = rng_range(r, 0.36, 0.56);
    f->b = f->a * rng_range(r, 0.38, 0.55);
    f->c = rng_range(r, 1.05, 1.6);
    f->d = rng_unit(r);
}

static double rings(const figure *f, double x, double y)
{
    double q = radius(x, y);
    return max2(bars(q + f->d * f->a, f->a, f->b), q - f->c);
}

/* f->n = -1 or 1 arms, left or right handed */
static void draw_spiral(figure *f, rng *r)
{
    draw_rings(f, r);
    f->n = rng_chance(r, 0.5) ? 1 : -1;
}

static double spiral(const figure *f, double x, double y)
{
    double q = radius(x, y);
    return max2(bars(q + (f->d + f->n * angle_turn(y, x)) * f->a, f->a, f->b), q - f->c);
}

static void draw_stripes(figure *f, rng *r)
{
    f->a = rng_range(r, 0.36, 0.75);
    f->b = f->a * rng_range(r, 0.35, 0.6);
    f->c = rng_range(r, 1.1, 1.9);
    f->d = rng_unit(r);
}

static double stripes(const figure *f, double x, double y)
{
    return max2(bars(x + f->d * f->a, f->a, f->b), radius(x, y) - f->c);
}

static double checkerboard(const figure *f, double x, double y)
{
    double p = bars(x + f->d * f->a, f->a, 0.5 * f->a), q = bars(y, f->a, 0.5 * f->a);
    double d = p * q > 0.0 ? -min2(fabs(p), fabs(q)) : min2(fabs(p), fabs(q));
    return max2(d, max2(fabs(x), fabs(y)) - f->c);
}

static void draw_checkerboard(figure *f, rng *r)
{
    f->a = rng_range(r, 0.6, 1.1);
    f->c = rng_range(r, 1.0, 1.7);
    f->d = rng_unit(r);
}

static void draw_dots(figure *f, rng *r)
{
    f->a = rng_range(r, 0.46, 0.75);
    f->b = f->a * rng_range(r, 0.25, 0.36); /* radius of a dot */
    f->c = rng_range(r, 1.1, 1.7);
    f->d = rng_chance(r, 0.5) ? 0.5 : 0.0; /* every other row shifted */
}

static double dots(const figure *f, double x, double y)
{
    double row = floor(y / f->a), odd = row - 2.0 * floor(row / 2.0);
    double px = bars(x + odd * f->d * f->a, f->a, 0.0), py = bars(y, f->a, 0.0);
    return max2(radius(px, py) - f->b, radius(x, y) - f->c);
}

static void draw_bricks(figure *f, rng *r)
{
    f->a = rng_range(r, 0.4, 0.6);         /* course height */
    f->b = f->a * rng_range(r, 0.16, 0.3); /* joint */
    f->c = rng_range(r, 1.1, 1.7);
    f->d = rng_unit(r);
}

static double bricks(const figure *f, double x, double y)
{
    double row = floor(y / f->a), odd = row - 2.0 * floor(row / 2.0);
    double long_side = 2.0 * f->a, q = y / f->a;
    double bed = (fabs(q - floor(q) - 0.5) - 0.5) * f->a + 0.5 * f->b;
    double head = -bars(x + (0.5 * odd + f->d) * long_side, long_side, f->b);
    return max2(max2(bed, head), max2(fabs(x), fabs(y)) - f->c);
}

static double zigzag(const figure *f, double x, double y)
{
    double fold = bars(y, 1.1, 0.0);
    return max2(bars(x + 0.9 * fold + f->d * f->a, f->a, f->b) * 0.74, radius(x, y) - f->c);
}

const shape shapes_known[SHAPES_KNOWN] = {
    { "rings", 1, draw_rings, rings },
    { "checkerboard", 1, draw_checkerboard, checkerboard },
    { "stripes", 1, draw_stripes, stripes },
    { "dots", 1, draw_dots, dots },
    { "triangle", 0, draw_triangle, polygon },
    { "star", 0, draw_star, polygon },
    { "cross", 0, draw_cross, polygon },
    { "spiral", 1, draw_spiral, spiral },
    { "crescent", 0, draw_crescent, crescent },
    { "arrow", 0, draw_arrow, polygon },
};

const shape shapes_unseen[SHAPES_UNSEEN] = {
    { "hexagon", 0, draw_hexagon, polygon }, { "heart", 0, draw_heart, polygon },
    { "half-disc", 0, draw_half, half },     { "gear", 0, draw_gear, polygon },
    { "bricks", 1, draw_bricks, bricks },    { "zigzag", 1, draw_stripes, zigzag },
};
