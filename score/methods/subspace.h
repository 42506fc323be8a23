/* What the rows with a residual norm share. */
#ifndef OUTPOST_SUBSPACE_H
#define OUTPOST_SUBSPACE_H

#include "score/stats/residual.h"
#include "score/stats/shared.h"

#define DIM_OPT                                                                                    \
    {                                                                                              \
        "dim", "auto",                                                                             \
            "leading directions to drop; auto: 1000 from 2048 features on, 512 from 768 on, else " \
            "half; "                                                                               \
            "gen: 1000 from 2048 on, else 512; openood: 256",                                      \
            1, 1e9, "auto|gen|openood", 1                                                                  \
    }

typedef struct subspace_state {
    const residual_space *r;
    double alpha;
} subspace_state;

int subspace_plan(fit_context *f, const method_params *p);
/* u, R; alpha stays 0. */
int subspace_fit(fit_context *f, const method_params *p, void **state);
void subspace_free(void **state);

#endif
