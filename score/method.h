/* A scoring method: one small file, one line in methods.c.
 * Larger score = more in-distribution, in every method. */
#ifndef OUTPOST_METHOD_H
#define OUTPOST_METHOD_H

#include "score/source.h"

enum { /* what a method reads; tells the engine what to prepare and the user what to extract */
    NEEDS_FEATURES = 1,      /* features of the test rows */
    NEEDS_LOGITS = 2,        /* logits: z = h W' + b in f32, or the stored ones */
    NEEDS_HEAD = 4,          /* W and b */
    NEEDS_TRAIN = 8,         /* train features */
    NEEDS_TRAIN_LABELS = 16, /* and their true labels */
};

typedef struct method_opt {
    const char *name, *def, *help;
} method_opt;

typedef struct method_params { /* resolved options of one use of a method */
    const method_opt *opts;    /* the method's table, ended by name == NULL */
    const char *value[16];     /* value[i] belongs to opts[i] */
} method_params;

double param_double(const method_params *p, const char *name);
long long param_int(const method_params *p, const char *name);
const char *param_text(const method_params *p, const char *name);

/* Shared quantities of a block of test rows, computed once for all methods (engine.c). */
typedef struct score_block {
    size_t n, d, c;
    const float *h;     /* [n,d] features, NULL when no method asked */
    const float *z;     /* [n,c] logits */
    const float *p;     /* [n,c] softmax, f32, max subtracted */
    const float *lse;   /* [n]   logsumexp(z) */
    const float *zmax;  /* [n]   largest logit */
    float *scratch;     /* scratch_floats of the method */
} score_block;

typedef struct fit_context fit_context; /* what fit may ask for: score/stats/fit.h */

typedef struct method {
    const char *name;    /* the paper's name, lower case, words joined by '-' */
    const char *title;   /* as the GEN script prints it: "MSP", "Energy+React" */
    const char *formula; /* one line */
    const char *paper;   /* authors, venue, arXiv */
    const char *quirks;  /* where the published code departs; may be NULL */
    const char *groups;  /* "gen vim seeds": the groups it belongs to */
    unsigned needs;
    const method_opt *opts;
    /* Fits on the train statistics; *state is handed to the others.  NULL: nothing to fit. */
    int (*fit)(fit_context *f, const method_params *p, void **state);
    /* Before the rows of one test set (transductive methods only: Local ReAct). NULL: nothing. */
    int (*enter_set)(void *state, const method_params *p, const source *set);
    /* Scores the n rows of a block; called in row order, from one thread, may use OpenMP itself. */
    int (*score)(void *state, const method_params *p, const score_block *b, float *out);
    void (*free)(void **state);
} method;

extern const method *const methods[]; /* in the GEN script's order, NULL-terminated */
const method *method_find(const char *name);

#endif
