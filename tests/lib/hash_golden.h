/* The weights and inputs of the golden vectors: any program can generate them (models.md 14.1). */
#ifndef OUTPOST_HASH_GOLDEN_H
#define OUTPOST_HASH_GOLDEN_H

#include "extract/graph.h"

/* U(name, i) in [-1,1). */
double hash_uniform(const char *name, unsigned long i);
/* Writes the weights of g as safetensors; `gain` is the table's g for rank 4 tensors. */
int hash_write_weights(const char *path, const graph *g, double gain);
/* [n,3,side,side] */
void hash_input(float *x, int n, int side);

#endif
