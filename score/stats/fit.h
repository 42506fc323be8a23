/* What the methods fit on: one shared pass over the train set, and what follows from it, each
 * computed once when the first method asks. */
#ifndef OUTPOST_FIT_H
#define OUTPOST_FIT_H

#include "score/engine.h"
#include "score/linalg_backend.h"
#include "score/stats/budget.h"
#include "score/stats/class_sums.h"
#include "score/stats/quantile.h"
#include "score/stats/scatter.h"

/* Directions of least variance of the train features about u (ViM's R). */
typedef struct residual_space {
    size_t d, dim, k; /* k = d - dim columns */
    const float *u;   /* [d] origin, -pinv(W) b, rounded to f32 */
    const float *r;   /* [k,d] row i belongs to the i-th smallest eigenvalue */
    linalg *la;       /* where these are kept: the first k rows of kept_r */
    const linalg_matrix *kept_u, *kept_r;
} residual_space;

typedef struct templates { /* mean softmax by predicted class */
    size_t c, k;           /* k: classes that some row was predicted as */
    size_t *of;            /* [k] the class */
    float *logq;           /* [k,c] natural log, a zero as TEMPLATE_LOG_ZERO */
    double *logq_exact;    /* [k,c] -infinity for a zero */
    linalg_matrix *kept;
} templates;

#define TEMPLATE_LOG_ZERO (-1e4f)

enum { SPACES_MAX = 256, GAUSSIANS = 4 };

typedef struct quantile_known {
    const source *set;
    double q, value;
} quantile_known;

enum quantile_of { QUANTILE_OF_TEST, QUANTILE_OF_TRAIN, QUANTILE_OF_VAL }; /* each test set; the other two */

typedef struct quantile_wanted {
    int of;
    double q;
} quantile_wanted;

struct fit_context {
    const engine_options *o;
    budget *mem;
    linalg *la; /* o->la, or the CPU's */
    linalg_matrix *kept_head, *kept_u, *kept_vectors;
    size_t d, c; /* widths of features and logits, 0 when there are none */
    char refusal[200];
    /* the shared pass */
    scatter moments;
    scatter unit; /* of rows of length 1 */
    float *unit_rows; /* [TRAIN_ROWS,d] scratch */
    class_index classes;
    quantile_counts *counts;
    double mean_max_logit, mean_lse, mean_msp;
    class_sums labelled, correct, predicted, correct_logits;
    double *template_sum;   /* [c,c] */
    size_t *template_count; /* [c] */
    /* what follows */
    float *head_t; /* [d,c] W', for sparse updates of the logits */
    float *u;
    double *u_exact;
    float *vectors; /* [vectors_k,d] */
    size_t vectors_k;
    residual_space space[SPACES_MAX];
    double alpha[SPACES_MAX]; /* 0: not yet */
    size_t spaces;
    templates q;
    struct whitening *gaussian[GAUSSIANS]; /* gaussian.h */
    struct relation_bank *relations; /* score/methods/relation.c */
    struct coverages *coverage;      /* of NAC, shared by its settings */
    struct nearest_bank *nearest[2]; /* train rows to search: as they are, normalised */
    quantile_known *quantile;
    size_t quantiles, quantiles_room;
    quantile_wanted *wanted;
    size_t n_wanted, wanted_room;
    size_t least_dim; /* of all that fit_want_residual announced, 0: none */
};

/* stats: the STAT_* of all methods that will fit. */
int fit_open(fit_context *f, const engine_options *o, unsigned stats, budget *mem);
void fit_close(fit_context *f);
/* Releases what only fit functions need. */
void fit_done(fit_context *f);

/* Says why the data cannot carry a method; returns FIT_REFUSED. */
int fit_refuse(fit_context *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The q quantile of all features of a set (train, validation, or a test set), exact. */
int fit_quantile(fit_context *f, const source *set, double q, double *value);
/* Announced by `plan`: then the first to ask gets all of them from one pass. */
int fit_want_quantile(fit_context *f, int of, double q);
void fit_want_residual(fit_context *f, size_t dim);
/* The space that drops the `dim` leading directions, 0 < dim < d. */
int fit_residual(fit_context *f, size_t dim, const residual_space **out);
/* ViM's scale: mean of the largest train logit over the mean train residual. */
int fit_alpha(fit_context *f, const residual_space *r, double *alpha);
/* u = -pinv(W) b in f->u and, until fit_done, f->u_exact */
int fit_origin(fit_context *f);
/* f->unit, from the shared pass (STAT_UNIT) or one of its own. */
int fit_unit(fit_context *f);
/* NULL never: at least one class was predicted. */
int fit_templates(fit_context *f, const templates **out);
/* mean [d] of the train features (STAT_MEAN) */
void fit_mean(const fit_context *f, double *mean);
/* mean [c,d] of the train features of a class: by true label (STAT_TRUE), of the rows predicted as
 * labelled (STAT_CORRECT), by predicted class (STAT_PREDICTED).  A class without rows has the zero vector;
 * *absent: how many.  FIT_REFUSED when that are all. */
typedef enum class_kind { CLASS_TRUE, CLASS_CORRECT, CLASS_PREDICTED } class_kind;
const class_sums *fit_class_sums(const fit_context *f, class_kind kind);
int fit_class_means(fit_context *f, class_kind kind, double *mean, size_t *absent);
/* Every block of rows of a set (o->val_id, o->id, o->train) in row order, as `score` would see it:
 * features, logits, softmax and what comes with them; h is NULL when the set has no features, z and p when
 * it has no logits.  Blocks of TRAIN_ROWS rows; stops at the first error. */
typedef int (*fit_block_fn)(void *arg, const score_block *b);
int fit_each_block(fit_context *f, const source *set, fit_block_fn fn, void *arg);
/* W' for block_clipped. */
int fit_head_transposed(fit_context *f);

#endif
