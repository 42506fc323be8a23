/* The weights and inputs of the golden vectors: any program can generate them (models.md 14.1;
 * layer scales, which are not in it, are 0.5 + 0.3 U).  tests/golden/nets.py is the other side. */
#ifndef OUTPOST_HASH_GOLDEN_H
#define OUTPOST_HASH_GOLDEN_H

#include "extract/graph.h"
#include "extract/layout.h"

/* U(name, i) in [-1,1). */
double hash_uniform(const char *name, unsigned long i);
/* Elements from ... from + n - 1 of the tensor `name`; gain: of rank 4 tensors. */
void hash_tensor(float *out, size_t from, size_t n, const char *name, const size_t *dim, int rank,
                 double gain);
/* Writes the weights of g as safetensors, each tensor made for and named by its key in layout `l` (NULL:
 * the graph's names); `gain` is the table's g for rank 4 tensors. */
int hash_write_weights(const char *path, const graph *g, const layout *l, double gain);
/* [n,3,side,side] */
void hash_input(float *x, int n, int side);

#endif
