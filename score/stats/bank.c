#include "score/stats/bank.h"
#include "common/err.h"
#include "score/stats/rows.h"

#include <string.h>

int bank_features(const source *s, const size_t *row, size_t n, float *h)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        const float *v = NULL;
        TRY(source_features(s, row[i], 1, h + i * s->d, &v));
        TRY(rows_check_finite(s, row[i], 1, s->d, v, "features"));
        if (v != h + i * s->d) memcpy(h + i * s->d, v, s->d * sizeof *h);
    }
done:
    return rc;
}

int bank_logits(const source *s, const size_t *row, size_t n, float *z)
{
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        const float *v = NULL;
        TRY(source_logits(s, row[i], 1, z + i * s->c, &v));
        if (v != z + i * s->c) memcpy(z + i * s->c, v, s->c * sizeof *z);
    }
done:
    return rc;
}
