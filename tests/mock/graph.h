/* Descriptors of the mock's cuDNN, and how its graphs are read. */
#ifndef OUTPOST_MOCK_GRAPH_H
#define OUTPOST_MOCK_GRAPH_H

#include "extract/cuda/dnn.h"
#include "tests/mock/libraries.h"

enum { ATTRIBUTES = 16, PLAN_WORKSPACE = 4096 };
typedef struct attribute {
    int name, type;
    int64_t n;
    unsigned char *v;
} attribute;

typedef struct descriptor {
    int type, finalised, n;
    attribute of[ATTRIBUTES];
    struct descriptor *operations; /* of an engine's configuration and of an engine: the graph */
} descriptor;

const attribute *mock_attribute(const descriptor *d, int name);             /* NULL: not set */
descriptor *mock_part(const descriptor *d, int name, int64_t i);            /* NULL: not there */
int64_t mock_number(const descriptor *d, int name, int64_t i);              /* 0: not there */
void *mock_pointer(const descriptor *pack, const descriptor *tensor);       /* what the pack has for it */
int mock_is_virtual(const descriptor *tensor);

/* sdpa.c: a graph that begins with a product is attention, or nothing. */
int mock_is_sdpa(const descriptor *operations);
int mock_sdpa_supported(const descriptor *operations);
int mock_sdpa_read(const descriptor *operations, const descriptor *pack, mock_sdpa *s);

#endif
