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
       NEEDS_VAL = 32,          /* held-out in-distribution rows (--val-id) to fit on */
       NEEDS_VAL_LABELS = 64,   /* and their true labels */
       NEEDS_VAL_OOD = 128,     /* held-out OOD rows (--val-ood) to fit on */
};

enum {                     /* what the one shared pass over the train set collects for fit */
       STAT_QUANTILE = 1,  /* counts for exact quantiles of all features */
       STAT_SECOND = 2,    /* second moments */
       STAT_CLASSES = 4,   /* sums by true label */
       STAT_LOGITS = 8,    /* means of the largest logit, of logsumexp and of the largest probability */
       STAT_TEMPLATES = 16, /* mean softmax by predicted class */
       STAT_MEAN = 32,      /* mean feature */
       STAT_CORRECT = 64,   /* sums of features by true label, over rows predicted as labelled */
       STAT_PREDICTED = 128, /* sums of features by predicted class */
       STAT_CORRECT_LOGITS = 256, /* sums of logits, as STAT_CORRECT */
       STAT_TRUE = 512, /* sums of features by true label, plain: a feature that a class lacks is exactly 0 */
    STAT_UNIT = 1024 /* second moments of the features of length 1, and with STAT_CLASSES their sums by label */
};

enum { METHOD_OPTS_MAX = 16 };
enum {                 /* kinds of options */
       METHOD_WHOLE = 1, /* whole numbers only */
       METHOD_LIST = 2,  /* several values, joined by '+', stand for a use of the method each */
};
/* What fit returns (through fit_refuse) when the data cannot carry the method: it is skipped. */
enum { FIT_REFUSED = 1 };

typedef struct method_opt {
    const char *name, *def, *help;
    double min, max;   /* allowed numbers; min == max: a word */
    const char *words; /* allowed words, joined by '|', besides numbers; NULL: none, and with
                        * min == max any text (the name of a file) */
    int kind;          /* METHOD_WHOLE, METHOD_LIST */
} method_opt;

typedef struct method_params {          /* resolved options of one use of a method */
    const method_opt *opts;             /* the method's table, ended by name == NULL */
    const char *value[METHOD_OPTS_MAX]; /* value[i] belongs to opts[i] */
} method_params;

/* Values that engine_resolve has checked.  The name must be in the table. */
double param_double(const method_params *p, const char *name);
long long param_int(const method_params *p, const char *name);
const char *param_text(const method_params *p, const char *name);

struct row_sums; /* score/stats/rowmath.h */
typedef struct block_cache block_cache; /* what methods derive and share: score/stats/shared.h */

/* Shared quantities of a block of test rows, computed once for all methods (engine.c). */
typedef struct score_block {
    const source *set; /* the set these rows belong to */
    size_t row;        /* the first of them */
    size_t n, d, c;
    const float *h;      /* [n,d] features, NULL when no method asked */
    const float *z;      /* [n,c] logits */
    const float *p;      /* [n,c] softmax, f32, max subtracted */
    const float *lse;    /* [n]   logsumexp(z) */
    const float *zmax;   /* [n]   largest logit */
    const double *plogp; /* [n]  sum p log p, minus the Shannon entropy */
    const struct row_sums *sums; /* [n] the three before rounding, and the predicted class */
    block_cache *cache;
} score_block;

enum { TABLES_UNREAD = 2 };
enum tables_role { TABLES_TEST, TABLES_TRAIN, TABLES_VAL, TABLES_VAL_OOD }; /* of a set */

typedef struct fit_context fit_context; /* what fit may ask for: score/stats/fit.h */

typedef struct scored_use { /* one of several uses of a method on one block */
    void *state;
    const method_params *p;
    float *out; /* [n] */
} scored_use;

typedef struct method {
    const char *name;    /* the paper's name, lower case, words joined by '-' */
    const char *title;   /* as the GEN script prints it: "MSP", "Energy+React" */
    const char *formula; /* one line */
    const char *paper;   /* authors, venue, arXiv */
    const char *quirks;  /* where the published code departs; may be NULL */
    const char *groups;  /* "gen vim seeds": the groups it belongs to */
    unsigned needs;
    unsigned stats; /* STAT_* */
    /* The NEEDS_* that these options make superfluous; without NEEDS_TRAIN no stats either.  NULL: none. */
    unsigned (*waives)(const method_params *p);
    const method_opt *opts; /* NULL: none */
    const char *probe; /* whose tables it reads: `extract run --probe NAME`; NULL: none */
    /* Whether a set lacks the tables of /probes that these options read in sets of its role; then `why` says
     * which and how `extract` makes them (score/stats/tables.h); TABLES_UNREAD: these options read none.  Asked of every set that `needs` names. */
    int (*lacks)(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room);
    /* Before any fit: says by fit_want_* what fit (or enter_set) will ask for, so that one pass finds
     * it for all uses.  Nothing depends on it but time.  NULL: nothing. */
    int (*plan)(fit_context *f, const method_params *p);
    /* Fits on the train statistics; *state is handed to the others, and to free also after a failed
     * fit.  FIT_REFUSED: see above.  NULL: nothing to fit. */
    int (*fit)(fit_context *f, const method_params *p, void **state);
    /* Before the rows of one test set (Local ReAct takes its quantile there). NULL: nothing. */
    int (*enter_set)(void *state, const method_params *p, const source *set);
    /* Scores the n rows of a block; called in row order, from one thread, may use OpenMP itself. */
    int (*score)(void *state, const method_params *p, const score_block *b, float *out);
    /* The same for several uses at once, for methods whose settings share work; bit for bit what
     * `score` gives one by one.  NULL: `score` in a loop. */
    int (*score_many)(const scored_use *v, size_t n, const score_block *b);
    void (*free)(void **state);
} method;

extern const method *const methods[]; /* in the GEN script's order, NULL-terminated */
const method *method_find(const char *name);

#endif
