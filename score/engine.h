/* Fits once, scores every set with every method, in bounded memory. */
#ifndef OUTPOST_ENGINE_H
#define OUTPOST_ENGINE_H

#include "score/method.h"

typedef struct method_use { /* one requested column of the result */
    const method *m;
    method_params params;
    const char *skipped;    /* set by the engine: what is missing, in words; NULL when it ran */
    float **scores;         /* [1 + n_ood][rows]: the ID set first */
    double fit_seconds, score_seconds;
} method_use;

typedef struct engine_options {
    const head *head;       /* may be NULL */
    const source *train;    /* may be NULL */
    const source *id;
    const source *const *ood;
    size_t n_ood;
    size_t memory;          /* bytes of working memory: --memory */
    int threads;
    int stored_logits;      /* prefer /logits of the files to h W' + b */
} engine_options;

typedef struct engine_result {
    size_t correct, counted; /* ID accuracy over rows with a label >= 0; argmax of the logits */
    int64_t *predictions;    /* [id rows], then the rows of each OOD set */
    size_t peak_bytes;       /* largest working set of the engine itself */
} engine_result;

/* Resolves "gen", "msp,vim,...", with `--set METHOD.KEY=VALUE` overrides.  *uses is for the caller,
 * engine_free_uses releases it.  ERR_USAGE with "did you mean". */
int engine_resolve(method_use **uses, size_t *n, const char *spec, const char *const *sets,
                   size_t n_sets);
int engine_run(const engine_options *o, method_use *uses, size_t n, engine_result *result);
void engine_free_uses(method_use **uses, size_t n, size_t n_sets);
void engine_clear_result(engine_result *r);

#endif
