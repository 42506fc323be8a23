/* What the rows of DICE share.  Sun and Li, ECCV 2022, arXiv:2111.09805.
 *   V_cd = m_d W_cd, m the mean train feature; a weight stays where V_cd > percentile of all V */
#ifndef OUTPOST_DICE_H
#define OUTPOST_DICE_H

#include "score/stats/shaped.h"

typedef struct dice_state {
    float *w; /* [c,d] masked */
    linalg_matrix *kept;
    linalg *la;
    budget *mem;
    float clip;
    size_t weights; /* that stay */
} dice_state;

int dice_fit(fit_context *f, const method_params *p, void **state);
void dice_free(void **state);

#endif
