/* Position embeddings for another input size: bicubic resampling of their grid (models.md 13.4).
 *
 * POSITIONS_PLAIN: cubic convolution with A = -0.75, corners not aligned, replicated edges, no
 *   antialiasing; what timm before 0.9, mmcls and T2T-ViT do (F.interpolate, mode bicubic).
 * POSITIONS_ANTIALIAS: A = -0.5, the kernel widened when the grid shrinks, weights at the edges
 *   normalised; what timm from 0.9 does (antialias=True). */
#ifndef OUTPOST_POSITIONS_H
#define OUTPOST_POSITIONS_H

#include <stddef.h>

typedef enum positions_how { POSITIONS_PLAIN, POSITIONS_ANTIALIAS } positions_how;

extern const char *const positions_choices[]; /* the words below, ended by NULL */
/* "plain", "antialias"; NULL is plain.  ERR_USAGE for other words. */
int positions_find(positions_how *out, const char *name);
const char *positions_name(positions_how how);
/* src [prefix + from^2, d] -> dst [prefix + to^2, d], grids in row-major order, the prefix rows copied.
 * Computed in double and rounded once: PyTorch's own float32 is up to 5e-6 from that, each of its
 * versions elsewhere.  ERR_ENV: no memory. */
int positions_resize(float *dst, int to, const float *src, int from, int prefix, size_t d,
                     positions_how how);

#endif
