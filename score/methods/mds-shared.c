#include "common/err.h"
#include "score/methods/mds.h"

#include <math.h>

int mds_score(const score_block *b, int which, float *out)
{
    int rc = 0;
    const double *distance;
    TRY(block_gaussian(b, which, &distance));
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)-distance[i];
done:
    return rc;
}

int rmds_fit(fit_context *f, int which)
{
    int rc = fit_gaussian(f, which, NULL);
    return rc == 0 ? fit_gaussian(f, which | GAUSSIAN_POOLED, NULL) : rc;
}

int rmds_score(const score_block *b, int which, float *out)
{
    int rc = 0;
    const double *nearest, *all;
    TRY(block_gaussian(b, which, &nearest));
    TRY(block_gaussian(b, which | GAUSSIAN_POOLED, &all));
    for (size_t i = 0; i < b->n; i++) /* beyond f32: minus infinity, whichever it is */
        out[i] = isinf(all[i]) ? -INFINITY : (float)(all[i] - nearest[i]);
done:
    return rc;
}

void mds_free(void **state)
{
    *state = NULL;
}
