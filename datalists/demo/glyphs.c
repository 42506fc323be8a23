/* Writing: strokes on plain paper, with no form of the in-distribution set in it. */
#include "datalists/demo/canvas.h"

typedef struct ink {
    rgb colour;
    double width, slant;
} ink;

static ink paper_and_pen(canvas *c, rng *r)
{
    rgb paper = rgb_random(r);
    ink p;
    canvas_fill(c, paper);
    p.colour = rgb_against(r, paper, 0.8);
    p.width = rng_range(r, 1.6, 3.2);
    p.slant = rng_range(r, -0.25, 0.25);
    return p;
}

/* Seven segments, bit i is segment i: top, upper left and right, middle, lower left and right, bottom. */
static void digit(canvas *c, const ink *p, int value, double x, double y, double w, double h)
{
    static const unsigned char segments[10] = { 0x77, 0x24, 0x5d, 0x6d, 0x2e,
                                                0x6b, 0x7b, 0x25, 0x7f, 0x6f };
    static const double end[7][4] = { { 0, 0, 1, 0 },  { 0, 0, 0, .5 }, { 1, 0, 1, .5 },
                                      { 0, .5, 1, .5 }, { 0, .5, 0, 1 }, { 1, .5, 1, 1 },
                                      { 0, 1, 1, 1 } };
    for (int i = 0; i < 7; i++) {
        const double *e = end[i];
        if (!(segments[value] >> i & 1)) continue;
        canvas_line(c, x + w * e[0] - p->slant * h * (e[1] - 0.5), y + h * e[1],
                    x + w * e[2] - p->slant * h * (e[3] - 0.5), y + h * e[3], p->width, p->colour,
                    1.0);
    }
}

void paint_digits(canvas *c, rng *r, const shape *unused)
{
    ink p = paper_and_pen(c, r);
    int columns = rng_int(r, 2, 4), rows = rng_int(r, 1, 3);
    double cw = (double)c->w / columns, ch = (double)c->h / rows;
    (void)unused;
    for (int j = 0; j < rows; j++)
        for (int i = 0; i < columns; i++)
            digit(c, &p, rng_int(r, 0, 9), (i + 0.22) * cw, (j + 0.15) * ch, 0.5 * cw, 0.68 * ch);
    canvas_noise(c, r, rng_range(r, 0.0, 0.05), 1.0);
}

/* Lines of joined-up letters that no one can read. */
void paint_script(canvas *c, rng *r, const shape *unused)
{
    ink p = paper_and_pen(c, r);
    int rows = rng_int(r, 2, 4);
    double line = (double)c->h / rows, step = line * rng_range(r, 0.25, 0.4);
    (void)unused;
    for (int j = 0; j < rows; j++) {
        double base = (j + 0.5) * line, x = rng_range(r, 1.0, 4.0), y = base;
        while (x < c->w - 3.0) {
            double nx = x + step * rng_range(r, 0.2, 1.0);
            double ny = base + 0.34 * line * rng_range(r, -1.0, 1.0);
            if (rng_chance(r, 0.85)) canvas_line(c, x, y, nx, ny, 0.6 * p.width, p.colour, 1.0);
            x = nx;
            y = ny;
        }
    }
    canvas_noise(c, r, rng_range(r, 0.0, 0.05), 1.0);
}
