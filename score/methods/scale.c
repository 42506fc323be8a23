/* SCALE.  Xu et al., ICLR 2024, arXiv:2310.00227.
 *   S = logsumexp(W (h exp(s1 / s2)) + b), s1 = sum of h, s2 = sum of the k largest
 * No feature is removed, so the logits follow from the plain ones: exp(s1 / s2) (z - b) + b. */
#include "common/err.h"
#include "score/methods/ash.h"
#include "score/stats/rows.h"
#include "score/stats/topk.h"

static void scale_row(const score_block *b, size_t i, const ash_state *s, const float *bias,
                      const float *z, float *out)
{
    const float *h = b->h + i * b->d;
    double all = 0;
    float factor;
    for (size_t j = 0; j < b->d; j++)
        all += (double)h[j];
    factor = (float)ash_factor(all, topk_sum(h, b->d, s->k));
    for (size_t k = 0; k < b->c; k++)
        out[k] = factor * (z[k] - bias[k]) + bias[k];
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const ash_state *s = state;
    const float *bias = b->cache->f->o->head->b, *from = b->z;
    float *z;
    (void)p;
    if (shaped_plain(b)) TRY(block_work(b, 2, b->cache->rows * b->c, &z));
    else {
        TRY(shaped_logits(b, &(shaping){0}, &z));
        from = z;
    }
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++)
        scale_row(b, i, s, bias, from + i * b->c, z + i * b->c);
    TRY(rows_check_finite(b->set, b->row, b->n, b->c, z, "scaled logits"));
    energy_of_logits(b, z, out);
done:
    return rc;
}

const method method_scale = {
    .name = "scale",
    .title = "SCALE",
    .formula = "logsumexp(W h exp(s1 / s2) + b), s1 = sum h, s2 = sum of the largest (100 - P) % of h",
    .paper = "Xu et al., Scaling for Training Time and Post-hoc Out-of-distribution Detection "
             "Enhancement, ICLR 2024, arXiv:2310.00227",
    .quirks = "the exponent is held at 60",
    .groups = "seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD,
    .opts = (const method_opt[]){ASH_OPT("85"), {0}},
    .fit = ash_fit,
    .score = score,
    .free = ash_free,
};
