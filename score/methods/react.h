/* What the rows with clipped features share. */
#ifndef OUTPOST_REACT_H
#define OUTPOST_REACT_H

#include "score/stats/shared.h"

typedef struct react_state {
    fit_context *f;
    double clip;
} react_state;

#define REACT_CLIP_OPT                                                                             \
    {                                                                                              \
        "clip", "quantile", "the clip value itself instead of a quantile", -1e30, 1e30,            \
            "quantile", 0                                                                          \
    }

/* A given clip needs no train set. */
unsigned react_waives(const method_params *p);
/* clip = the option "clip", or the option "quantile" of the train features, linear interpolation */
int react_plan_train(fit_context *f, const method_params *p);
int react_plan_later(fit_context *f, const method_params *p);
int react_fit_train(fit_context *f, const method_params *p, void **state);
/* Nothing yet: react_enter_set sets clip to the option "quantile" of the set's own features. */
int react_fit_later(fit_context *f, const method_params *p, void **state);
int react_enter_set(void *state, const method_params *p, const source *set);
void react_free(void **state);
/* out = logsumexp of the clipped logits */
int react_energy(void *state, const method_params *p, const score_block *b, float *out);
/* out = GEN of the clipped softmax */
int react_gen(void *state, const method_params *p, const score_block *b, float *out);
/* The same for several uses: those of one clip share its softmax. */
int react_energy_many(const scored_use *v, size_t n, const score_block *b);
int react_gen_many(const scored_use *v, size_t n, const score_block *b);

#endif
