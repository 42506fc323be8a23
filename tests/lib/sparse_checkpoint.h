/* Checkpoints with names and shapes, and holes where no values are given. */
#ifndef OUTPOST_SPARSE_CHECKPOINT_H
#define OUTPOST_SPARSE_CHECKPOINT_H

#include <stddef.h>
#include <stdio.h>

typedef struct sparse_tensor {
    char key[200];
    int rank, is_int; /* int64 or float32 */
    size_t dim[4];
    const float *data;       /* NULL: zeros that take no space */
} sparse_tensor;

/* The next network of a table "network, index, key, shape (AxBxC or scalar), dtype": its name and tensors;
 * *v grows as needed and is the caller's to free().  Returns how many, 0 at the end. */
size_t sparse_read(FILE *f, char *network, size_t room, sparse_tensor **v);
/* Writes safetensors to a new file by mkstemp(path).  ERR_ENV. */
int sparse_checkpoint(char *path, const sparse_tensor *v, size_t n);

#endif
