/* Templates of KL matching from any set, and the divergence from them. */
#ifndef OUTPOST_KL_H
#define OUTPOST_KL_H

#include "score/stats/fit.h"
#include "score/stats/shared.h"

typedef struct kl_templates {
    size_t k, c;
    float *logq;        /* [k,c] */
    double *logq_exact; /* [k,c] */
    linalg_matrix *kept;
    linalg *la;
    budget *mem;
} kl_templates;

enum kl_flags { KL_ONE_HOT = 1, /* a class without rows gets the template that is 1 there; else none */
                KL_NORMALISE = 2 /* templates and test rows sum to 1 in f64 */ };

/* From the mean softmax of the classes.  *absent: classes without rows. */
int kl_fit(kl_templates *t, fit_context *f, const class_sums *s, int flags, size_t *absent);
void kl_clear(kl_templates *t);
/* out [n] = -min_k KL(p || q_k) */
int kl_score(const kl_templates *t, const score_block *b, int flags, float *out);

#endif
