/* cuDNN's graph API, its descriptors in a list that is freed as one.
 * A graph of operations over tensors is handed to cuDNN, which names engines that can run it; the
 * first that suits the precision and finalises within the workspace limit becomes the plan.
 * Works on a device through its handle, and without one from a description of the device, which is
 * how the tests ask for plans on machines that have none. */
#ifndef OUTPOST_CUDA_DNN_H
#define OUTPOST_CUDA_DNN_H

#include "extract/backend.h"
#include "extract/cuda/calls.h"

#include <stddef.h>
#include <stdint.h>

enum dnn_number {
#define DNN(name, value) DNN_##name = (value),
#include "extract/cuda/dnn.def"
#undef DNN
    DNN_NUMBERS_END
};

size_t element_bytes(element e);
/* What maps are made of: f32 for fp32 and tf32. */
element element_of(precision p);

typedef struct dnn_target { /* one of the two */
    void *handle;
    void *properties; /* a finalised device description */
} dnn_target;

enum { DNN_LIST = 48, DNN_IDS = 8 };
typedef struct dnn_list {
    void *d[DNN_LIST];
    int n;
} dnn_list;

/* A plan that can run: what is freed is freed by dnn_plan_free. */
typedef struct dnn_plan {
    dnn_list list; /* everything below it */
    void *plan;
    size_t workspace; /* bytes */
    int64_t engine;   /* cuDNN's number */
} dnn_plan;

/* A new descriptor, in the list. */
int dnn_add(dnn_list *l, int type, void **out);
int dnn_finish(void *d, const char *what);
void dnn_list_free(dnn_list *l);
int dnn_set_ints(void *d, int attribute, int64_t n, const int64_t *v);
int dnn_set_number(void *d, int attribute, int type, int v); /* enums */
int dnn_set_float(void *d, int attribute, float v);
int dnn_set_parts(void *d, int attribute, int64_t n, void *const *v); /* descriptors */

/* Describes a device from cuDNN's JSON (development aid: the keys are no documented interface). */
int dnn_device(dnn_list *l, const char *json, void **out);
/* Dense channels-last when strides is NULL.  id > 0; a virtual tensor exists inside a graph only. */
int dnn_tensor(dnn_list *l, int64_t id, element e, const int64_t dim[4], const int64_t *strides,
               int is_virtual, void **out);

/* A float that the caller's memory holds when the plan is queued: its "pointer" is a host address. */
int dnn_scalar(dnn_list *l, int64_t id, void **out);

/* Operations between tensors, computed in f32.  *out is the operation's descriptor. */
/* y = mode(x, b) per element; extents of 1 of b are repeated, b NULL: of x alone. */
int dnn_pointwise(dnn_list *l, int mode, void *x, void *b, void *y, void **out);
/* c [..,n,m] = a [..,n,k] b [..,k,m] */
int dnn_product(dnn_list *l, void *a, void *b, void *c, void **out);
/* y = sum or largest of x along the extents that are 1 in y. */
int dnn_reduction(dnn_list *l, int mode, void *x, void *y, void **out);

/* Which engines a precision may use. */
typedef struct dnn_rule {
    precision precision;
    size_t workspace; /* most bytes */
    int may_compile;  /* engines that are compiled at run time */
} dnn_rule;

/* Plans for `ops`, best first as cuDNN ranks them: as many as `room`, *n of them; 0 is no error.
 * The graph's descriptors stay in the caller's list, which must outlive the plans. */
int dnn_plans(const dnn_target *t, const dnn_rule *rule, dnn_list *l, void *const *ops, int n_ops,
              dnn_plan *plans, int room, int *n);
void dnn_plan_free(dnn_plan *p);
/* Queues the plan on the handle's stream: pointers of the tensors with these ids. */
int dnn_run(const dnn_plan *p, void *handle, int n, const int64_t *ids, void *const *pointers,
            void *workspace);

#endif
