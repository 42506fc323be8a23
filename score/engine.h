/* Fits once, scores every set with every method, in bounded memory. */
#ifndef OUTPOST_ENGINE_H
#define OUTPOST_ENGINE_H

#include "score/method.h"

typedef struct method_use { /* one requested column of the result */
    const method *m;
    method_params params;
    const char *skipped;  /* set by the engine: what is missing, in words; NULL when it ran */
    float **scores;       /* [1 + n_ood][rows]: the ID set first; NULL when skipped */
    double fit_seconds;   /* what only this method had to fit; a shared result counts for the
                               first method that asks, the shared pass is in engine_result */
    double score_seconds; /* likewise; softmax and logits are in engine_result */
    size_t peak_bytes;    /* working memory that it took while it fitted or scored, beyond what was there */
    char why[200];        /* the words of skipped */
} method_use;

typedef struct engine_options {
    const head *head;    /* may be NULL */
    const source *train; /* may be NULL */
    const source *id;
    const source *const *ood;
    size_t n_ood;
    const source *val_id; /* held out, for methods that fit or tune on it; may be NULL */
    const source *const *val_ood;
    size_t n_val_ood;
    size_t memory; /* bytes of working memory: --memory */
    int threads;
    int stored_logits; /* prefer /logits of the files to h W' + b */
    struct linalg *la; /* an open device of score/linalg_backend.h; NULL: the CPU */
} engine_options;

typedef struct engine_result {
    size_t correct, counted; /* ID accuracy over rows with a label >= 0; argmax of the logits */
    int64_t *predictions;    /* [id rows], then the rows of each OOD set */
    size_t peak_bytes;       /* largest working set of the engine itself, without the scores */
    double pass_seconds;     /* the shared pass over the train set */
    double logits_seconds;   /* reading, logits and softmax of the test sets */
} engine_result;

/* Resolves "all", a group ("gen", "vim", "mos"), names ("msp,vim") or a mixture, in the order given,
 * each method once.  "gen", "vim" and "mos" are also methods: alone they mean the group, beside other
 * names the method; "gen:" with options is the method.  A name may carry options of its own, "gen:gamma=0.5:m=10", and then stands for a use
 * of its own; "knn:k=50+100" is two uses.  `sets` are `--set METHOD.KEY=VALUE` overrides for every use of METHOD.  *uses is for
 * the caller, engine_free_uses releases it.  ERR_USAGE with "did you mean". */
int engine_resolve(method_use **uses, size_t *n, const char *spec, const char *const *sets,
                   size_t n_sets);
/* Methods whose inputs are missing are skipped, with words; what is wrong in an input is ERR_INPUT
 * naming set and row.  Scores do not depend on threads; on memory only below --memory's floor, which
 * is ERR_USAGE saying which step lacks how much. */
int engine_run(const engine_options *o, method_use *uses, size_t n, engine_result *result);
void engine_free_uses(method_use **uses, size_t n, size_t n_sets);
void engine_clear_result(engine_result *r);

#endif
