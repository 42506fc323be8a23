/* What the methods fit on: one shared pass over the train set, and what follows from it, each
 * computed once when the first method asks. */
#ifndef OUTPOST_FIT_H
#define OUTPOST_FIT_H

#include "score/engine.h"
#include "score/linalg_backend.h"
#include "score/stats/budget.h"
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

enum { SPACES_MAX = 16, QUANTILES_MAX = 64 };

struct fit_context {
    const engine_options *o;
    budget *mem;
    linalg *la; /* o->la, or the CPU's */
    linalg_matrix *kept_head, *kept_u, *kept_vectors;
    size_t d, c; /* widths of features and logits, 0 when there are none */
    char refusal[200];
    /* the shared pass */
    scatter moments;
    class_index classes;
    quantile_counts *counts;
    double mean_max_logit;
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
    struct nearest_bank *nearest[2]; /* train rows to search: as they are, normalised */
    struct {
        const source *set;
        double q, value;
    } quantile[QUANTILES_MAX];
    size_t quantiles;
};

/* stats: the STAT_* of all methods that will fit. */
int fit_open(fit_context *f, const engine_options *o, unsigned stats, budget *mem);
void fit_close(fit_context *f);
/* Releases what only fit functions need. */
void fit_done(fit_context *f);

/* Says why the data cannot carry a method; returns FIT_REFUSED. */
int fit_refuse(fit_context *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The q quantile of all features of a set (train, or a test set), exact. */
int fit_quantile(fit_context *f, const source *set, double q, double *value);
/* The space that drops the `dim` leading directions, 0 < dim < d. */
int fit_residual(fit_context *f, size_t dim, const residual_space **out);
/* ViM's scale: mean of the largest train logit over the mean train residual. */
int fit_alpha(fit_context *f, const residual_space *r, double *alpha);
/* NULL never: at least one class was predicted. */
int fit_templates(fit_context *f, const templates **out);
/* W' for block_clipped. */
int fit_head_transposed(fit_context *f);

#endif
