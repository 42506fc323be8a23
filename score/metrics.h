/* How well one score separates an in-distribution set from an out-of-distribution set.
 * Larger score = more in-distribution.  Scores are f32 and compared as f32: ties are the ones the
 * published code saw.  -0 equals +0.  Everything is a fraction in 0..1.
 *
 * AUROC is the Mann-Whitney statistic with ties counted one half, in integer arithmetic: the
 * quotient is rounded once.  The four FPR95 of the field differ under ties and between neighbours:
 *   vim      ViM, GEN: threshold = the floor(0.95 n_id)-th largest ID score, OOD >= it count.
 *            n_id = 1: k is 0 and numpy's sort()[-0] is the only score, so k = 1 gives the same.
 *   mos      MOS, GradNorm, RankFeat: of all distinct scores as thresholds (score >= t), down to the
 *            first with full recall, the one whose ID recall is nearest to 0.95; of equally near
 *            ones the lowest.  |recall - 0.95| is compared in f64, as published: for n_id = 10 that
 *            finds 0.9 nearer than 1.0.
 *   react    ReAct, DICE, KNN, ASH: threshold = ascending ID score number round(0.05 n_id) from 0,
 *            half to even; OOD strictly above it count.
 *   openood  OOD is the positive class: share of ID scores <= the ceil(0.95 n_ood)-th smallest OOD
 *            score.  Another quantity: it fixes the recall of OOD and divides by n_id.
 * AUPR: *_in has ID positive, *_out has OOD positive.  aupr_*: trapezoids under precision over
 * recall, starting at (0, 1) (ViM, GEN; OpenOOD with the names swapped); aupr_out ranks by 1 - s in
 * f32 as ViM does, which merges scores whose difference is lost beside 1 (|s| below about 1e-7).  ap_*: average precision, the step-wise
 * sum of precision times recall increment (MOS); ap_out ranks by -s. */
#ifndef OUTPOST_METRICS_H
#define OUTPOST_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* The scores of one set, sorted once and compared with many others. */
typedef struct score_set {
    size_t n;
    uint32_t *key; /* [n] ascending; order-preserving images of the f32 */
} score_set;

typedef struct metrics {
    double auroc;
    double fpr95_vim, fpr95_mos, fpr95_react, fpr95_openood;
    double aupr_in, aupr_out;
    double ap_in, ap_out;
} metrics;

typedef struct metric_field { /* what prints and stores them */
    const char *name;         /* "fpr95_vim" */
    const char *title;        /* "FPR95" */
    size_t at;                /* offsetof the double in metrics */
    int larger_is_better;
} metric_field;
enum { METRIC_COUNT = 9 };
extern const metric_field metric_fields[]; /* [METRIC_COUNT], then name == NULL; auroc first */
/* NULL when there is no such name. */
const metric_field *metric_field_find(const char *name);
double metric_value(const metrics *m, const metric_field *f);
/* The other way: v [METRIC_COUNT] in the order of metric_fields. */
void metrics_of_values(metrics *m, const double *v);

/* How many of n scores are NaN or infinite; *first is the row of the first one. */
size_t scores_nonfinite(const float *v, size_t n, size_t *first);

/* ERR_INPUT, with `what` in front: no scores, or scores that are NaN or infinite. */
int score_set_init(score_set *s, const float *v, size_t n, const char *what);
void score_set_clear(score_set *s);
/* The score that a key stands for. */
float score_of_key(uint32_t key);
int metrics_compute(metrics *m, const score_set *id, const score_set *ood);

#endif
