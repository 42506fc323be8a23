/* A small picture in floating point, and what is painted on it.
 * Coordinates are in pixels, (0,0) the outer corner of the first one; colours are 0..1 and clamped
 * only when the picture is written. */
#ifndef OUTPOST_DEMO_CANVAS_H
#define OUTPOST_DEMO_CANVAS_H

#include "datalists/demo/rng.h"

enum { SIDE_MIN = 40, SIDE_MAX = 80 };

typedef struct rgb {
    double v[3];
} rgb;

typedef struct canvas {
    int w, h;
    rgb px[SIDE_MAX * SIDE_MAX]; /* [h,w] */
} canvas;

/* A filled outline: vertices for polygons, a..d for everything else.  Its size is about 1. */
enum { FIGURE_VERTICES = 48 };
typedef struct figure {
    int n;
    double x[FIGURE_VERTICES], y[FIGURE_VERTICES];
    double a, b, c, d;
} figure;

/* A class that is told by its form. */
typedef struct shape {
    const char *name;
    int pattern; /* repeats itself over a wide window, so it is never drawn as an outline */
    void (*draw)(figure *f, rng *r);                             /* chooses the parameters */
    double (*distance)(const figure *f, double x, double y);     /* < 0 inside, about Euclidean */
} shape;

/* What a set is made of: a name, which is the folder, and how one picture is painted. */
typedef struct image_class {
    void (*paint)(canvas *c, rng *r, const shape *s);
    const shape *form; /* for paint_scene */
    const char *name;  /* for the others */
} image_class;

/* canvas.c */
rgb rgb_random(rng *r);
/* A colour that differs from `other` by at least `least` in the sum over channels (at most 1.2). */
rgb rgb_against(rng *r, rgb other, double least);
rgb rgb_mix(rgb a, rgb b, double t);
void canvas_size(canvas *c, rng *r);
void canvas_fill(canvas *c, rgb a);
void canvas_blend(canvas *c, int x, int y, rgb ink, double cover);
/* A line with round ends, `width` pixels wide. */
void canvas_line(canvas *c, double x0, double y0, double x1, double y1, double width, rgb ink,
                 double alpha);
void canvas_disc(canvas *c, double x, double y, double radius, rgb ink, double alpha);
/* One pass of the 1-2-1 kernel both ways. */
void canvas_blur(canvas *c);
/* Independent noise per channel, `grey` of it common to the three. */
void canvas_noise(canvas *c, rng *r, double sigma, double grey);
/* Smooth noise in 0..1 on a lattice of `cell` pixels; `octaves` halve the cell and the weight. */
double noise_at(uint64_t seed, double x, double y, double cell, int octaves);

/* shapes.c: ten classes of the in-distribution set, in label order, and the unseen ones */
extern const shape shapes_known[];
extern const shape shapes_unseen[];
enum { SHAPES_KNOWN = 10, SHAPES_UNSEEN = 6 };

/* scene.c: one shape on a cluttered ground */
void paint_scene(canvas *c, rng *r, const shape *s);

/* textures.c: no object at all */
void paint_plasma(canvas *c, rng *r, const shape *unused);
void paint_cells(canvas *c, rng *r, const shape *unused);
void paint_marble(canvas *c, rng *r, const shape *unused);
void paint_static(canvas *c, rng *r, const shape *unused);
void paint_gradient(canvas *c, rng *r, const shape *unused);
void paint_blocks(canvas *c, rng *r, const shape *unused);

/* glyphs.c: writing */
void paint_digits(canvas *c, rng *r, const shape *unused);
void paint_script(canvas *c, rng *r, const shape *unused);

/* encode.c */
typedef enum encoding {
    JPEG_420,
    JPEG_444,
    JPEG_GREY,
    PNG_RGB,
    PNG_PALETTE,
    ENCODINGS
} encoding;
/* ".jpg" or ".png" */
const char *encoding_suffix(encoding e);
/* quality 1..100 is for JPEG.  ERR_ENV when the file cannot be written. */
int encode_file(const canvas *c, encoding e, int quality, const char *path);

#endif
