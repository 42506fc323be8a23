/* How the tensors of a published checkpoint become the parameters of a network.
 *
 * A network names its parameters once, in its graph: the canonical names.  A layout says what a
 * publisher calls them and how he stores them: rules from our name to theirs, tried in order.
 *
 * Patterns (both columns of a rule, and `ignored`): '#' is a run of digits, carried over in order; a
 * '*' at the end is the rest of the name, carried over; "{query|key|value}" in `theirs` names three
 * arrays.  Everything else stands for itself.  No rule matches: the same name, copied. */
#ifndef OUTPOST_LAYOUT_H
#define OUTPOST_LAYOUT_H

#include "common/arrays.h"
#include "extract/graph.h"

typedef enum key_how {
    KEY_COPY,      /* same shape, same order */
    KEY_HWIO,      /* 4-D kernel [h,w,in,out] -> [out,in,h,w]; others copied, (1,1,1,c) as (c) */
    KEY_TRANSPOSE, /* [in,out] -> [out,in]; 3-D [heads,d,out] as [heads d,out]; 1-D copied */
    KEY_QKV,       /* three arrays [in,heads,d], transposed, one below the other: [3 heads d,in];
                      [heads,d] for a vector: [3 heads d] */
    KEY_STACK      /* three arrays [d,in] or [d] as they are, one below the other: [3 d,in], [3 d] */
} key_how;

typedef struct key_rule {
    const char *ours, *theirs;
    key_how how;
} key_rule;

typedef struct layout {
    const char *name;           /* "timm", "mmcls", "torchvision", "augreg npz" */
    const key_rule *rules;      /* ended by ours == NULL; NULL: the names are ours */
    const char *const *ignored; /* patterns of further keys, ended by NULL; NULL: none */
    const char *prefix;         /* what their keys may begin with ("opt/target/"); NULL: nothing */
    int variant;                /* handed to the builder (RepVGG's deploy form); 0: the usual graph */
} layout;

enum { KEY_MAX = 512, KEY_PARTS = 3 };

/* ---- names --------------------------------------------------------------------------------- */
/* Does the pattern stand for the whole name? */
int layout_matches(const char *pattern, const char *name);
/* Their name of the parameter, without prefixes; of array `part` where one parameter is three (0 query, 1 key,
 * 2 value).  Returns how many arrays there are: 1 or 3; 0 when the name is longer than
 * `room`.  `how` may be NULL. */
int layout_key_of(const layout *l, const char *ours, int part, char *out, size_t room, key_how *how);
/* The same without `how`, for those who write checkpoints. */
int layout_key(const layout *l, const param *p, char *out, size_t room, int part);
int layout_ignores(const layout *l, const char *name);

/* ---- values -------------------------------------------------------------------------------- */
/* The shape which n arrays take by `how`, for a parameter of rank `rank` (only KEY_QKV asks).  Returns
 * the new rank, 1 to 4; 0 when the arrays have no such form.  dim has room for 4. */
int layout_shape(key_how how, const array *const *part, int n, int rank, size_t *dim);
/* Is it p's shape?  Trailing dimensions of 1 do not count: a 1x1 convolution's weight is a matrix. */
int layout_fits(key_how how, const array *const *part, int n, const param *p);
/* Is the arrays' order already that of the parameter, so that it need not be copied? */
int layout_in_order(key_how how, const array *const *part);
/* f32 values of the parameter, which must fit: p->count floats at dst.  ERR_ENV: no memory. */
int layout_copy(key_how how, const array *const *part, int n, const param *p, float *dst);

#endif
