/* NuSA, null space analysis.  Cook, Zare and Gader 2020, arXiv:2007.01263, as the text of ViM has it.
 *   S = |projection of h - u on the row space of W| / |h - u|, u = -pinv(W) b */
#include "common/err.h"
#include "common/mem.h"
#include "score/linalg.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>

typedef struct state_type {
    float *basis; /* [rank,d] */
    const float *u;
    size_t rank;
    linalg_matrix *kept;
    const linalg_matrix *kept_u;
    linalg *la;
    budget *mem;
} state_type;

/* Orthonormal rows that span the rows of W: W' v / |W' v| of the eigenvectors v of W W'. */
static int span(fit_context *f, state_type *s)
{
    int rc = 0;
    const head *w = f->o->head;
    size_t c = w->c, d = w->d, rank = 0;
    double *gram = NULL, *values = NULL, *turned = NULL, *row = NULL;
    TRY(budget_new(f->mem, &gram, c * c, sizeof *gram, "products of the head"));
    TRY(budget_new(f->mem, &values, c, sizeof *values, "eigenvalues"));
    TRY(budget_new(f->mem, &turned, d * c, sizeof *turned, "head"));
    for (size_t k = 0; k < c; k++)
        for (size_t j = 0; j < d; j++)
            turned[k * d + j] = (double)w->w[k * d + j];
    linalg_dgemm_abt(c, c, d, turned, d, turned, d, 0, gram, c);
    TRY(f->la->ops->eigh(f->la, c, gram, values, 0, c));
    while (rank < c && values[c - 1 - rank] > PINV_CUTOFF * PINV_CUTOFF * values[c - 1])
        rank++;
    if (rank == 0) rc = fit_refuse(f, "the weights of the head are zero");
    if (rank >= d) rc = fit_refuse(f, "the rows of the head span all %zu features: nothing is outside", d);
    if (rc != 0) goto done;
    s->rank = rank;
    for (size_t j = 0; j < d; j++)
        for (size_t k = 0; k < c; k++)
            turned[j * c + k] = (double)w->w[k * d + j];
    TRY(budget_new(f->mem, &row, rank * d, sizeof *row, "row space"));
    linalg_dgemm_abt(rank, d, c, gram + (c - rank) * c, c, turned, c, 0, row, d);
    TRY(budget_new(f->mem, &s->basis, rank * d, sizeof *s->basis, "row space"));
    for (size_t i = 0; i < rank; i++)
        for (size_t j = 0; j < d; j++)
            s->basis[i * d + j] = (float)(row[i * d + j] / sqrt(values[c - rank + i]));
done:
    budget_free(f->mem, &gram);
    budget_free(f->mem, &values);
    budget_free(f->mem, &turned);
    budget_free(f->mem, &row);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    (void)p;
    TRY(mem_new(&s, 1, sizeof *s, "NuSA"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    TRY(span(f, s));
    if (rc == FIT_REFUSED) goto done;
    TRY(fit_origin(f));
    s->u = f->u;
    s->kept_u = f->kept_u;
    TRY(f->la->ops->keep(f->la, &s->kept, &(linalg_values){.n = s->rank, .k = f->d, .f32 = s->basis}));
done:
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    (void)p;
    TRY(s->la->ops->norms(s->la, s->kept, s->rank, s->kept_u, b->h, b->n, out));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < b->d; j++) {
            double t = (double)b->h[i * b->d + j] - (double)s->u[j];
            sum += t * t;
        }
        out[i] = sum > 0 ? (float)fmin((double)out[i] / sqrt(sum), 1) : 0;
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) s->la->ops->drop(s->la, &s->kept);
    if (s->mem != NULL) budget_free(s->mem, &s->basis);
    free(s);
    *state = NULL;
}

const method method_nusa = {
    .name = "nusa",
    .title = "NuSA",
    .formula = "|projection of h - u on the rows of W| / |h - u|, u = -pinv(W) b",
    .paper = "Cook, Zare and Gader, Outlier Detection through Null Space Analysis of Neural Networks, 2020, "
             "arXiv:2007.01263",
    .quirks = "from the text of ViM, there is no code; singular values up to 1e-6 of the largest count as zero; a head "
              "whose rows span all features has no null space",
    .groups = "seeds",
    .needs = NEEDS_FEATURES | NEEDS_HEAD,
    .fit = fit,
    .score = score,
    .free = release,
};
