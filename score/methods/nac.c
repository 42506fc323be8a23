/* NAC-UE, neuron activation coverage, of the penultimate layer.  Liu et al., ICLR 2024, arXiv:2306.02879.
 *   g = W'(p - 1/C), the gradient of the divergence from uniform; state s_j = 1 / (1 + exp(-alpha h_j g_j)), f32
 *   n_jb = rows of the build set whose state j lies in bin b; S = mean over j of min(n_j,b(s_j) / O, 1)
 * M boundaries, densest around 0.5: logarithms to base 1000 of M/2 points spaced linearly from 1 to sqrt(1000),
 * mirrored; the one in the middle is exactly 0.5, the state of a dead unit; the last two are 1.01 and 1.2.
 * The build set is balanced, one row of each class by default. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/draw.h"
#include "score/stats/rows.h"
#include "score/stats/scatter.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    double *edge;    /* [m] */
    uint32_t *count; /* [d,m] */
    float *cover;    /* [d,m] min(count / O, 1) */
    unsigned char *chosen; /* [train rows], NULL: all */
    size_t m, d, rows;
    float alpha;
    linalg_matrix *head_t;
    linalg *la;
    budget *mem;
} state_type;

static unsigned waives(const method_params *p)
{
    return strcmp(param_text(p, "build"), "all") == 0 ? NEEDS_TRAIN_LABELS : 0;
}

static void boundaries(double *t, size_t m)
{
    size_t n = m / 2;
    for (size_t i = 0; i < n; i++) {
        double x = 1 + (double)i * ((sqrt(1000.0) - 1) / (double)(n - 1)), a = log(x) / log(1000.0);
        if (i + 1 < n) t[i] = a;
        t[2 * n - 2 - i] = i + 1 == n ? 0.5 : 1 - a;
    }
    t[m - 2] += 0.01;
    t[m - 1] = 1.2;
}

/* The bin of a state: edge[b] <= v < edge[b + 1]. */
static size_t bin_of(const state_type *s, float v)
{
    size_t low = 0, high = s->m - 1;
    while (high - low > 1) {
        size_t mid = (low + high) / 2;
        if ((double)v >= s->edge[mid]) low = mid;
        else high = mid;
    }
    return low;
}

/* *g [n,d] = W'(p - 1/C); scratch 0 and 1 of the block */
static int gradients(const state_type *s, const score_block *b, float **g)
{
    int rc = 0;
    float *x, uniform = 1.0f / (float)b->c;
    TRY(block_work(b, 0, b->cache->rows * b->c, &x));
    TRY(block_work(b, 1, b->cache->rows * b->d, g));
    for (size_t i = 0; i < b->n * b->c; i++)
        x[i] = b->p[i] - uniform;
    TRY(s->la->ops->product(s->la, s->head_t, x, b->n, *g));
done:
    return rc;
}

static float state_of(const state_type *s, float h, float g)
{
    return 1.0f / (1.0f + expf(-s->alpha * (h * g)));
}

static int add_block(void *arg, const score_block *b)
{
    int rc = 0;
    state_type *s = arg;
    float *g;
    int any = s->chosen == NULL;
    for (size_t i = 0; i < b->n && !any; i++)
        any = s->chosen[b->row + i];
    if (!any) goto done;
    TRY(gradients(s, b, &g));
#pragma omp parallel for
    for (size_t j = 0; j < s->d; j++)
        for (size_t i = 0; i < b->n; i++)
            if (s->chosen == NULL || s->chosen[b->row + i])
                s->count[j * s->m + bin_of(s, state_of(s, b->h[i * s->d + j], g[i * s->d + j]))]++;
done:
    return rc;
}

/* total / C rows of every class, at least one, drawn by the seed. */
static int choose(fit_context *f, state_type *s, size_t total, uint64_t seed)
{
    int rc = 0;
    const source *train = f->o->train;
    class_index ci = {0};
    size_t *at = NULL, *seen = NULL, each = total / f->c > 0 ? total / f->c : 1;
    TRY(class_index_new(&ci, train->labels, train->n, f->mem));
    if (ci.k == 0) rc = fit_refuse(f, "no train row has a label (all are negative)");
    if (rc != 0) goto done;
    TRY(budget_zeroed(f->mem, &s->chosen, train->n, 1, "build rows of NAC"));
    TRY(budget_new(f->mem, &at, ci.k * each, sizeof *at, "build rows of NAC"));
    TRY(budget_zeroed(f->mem, &seen, ci.k, sizeof *seen, "build rows of NAC"));
    for (size_t k = 0; k < ci.k; k++) {
        size_t take = ci.count[k] < each ? ci.count[k] : each;
        draw_sample(seed + k, ci.count[k], take, at + k * each);
        for (size_t i = take; i < each; i++)
            at[k * each + i] = SIZE_MAX;
    }
    for (size_t i = 0; i < train->n; i++) {
        size_t k = (size_t)ci.of_row[i], place;
        if (ci.of_row[i] < 0) continue;
        place = seen[k]++;
        for (size_t j = 0; j < each && at[k * each + j] <= place; j++)
            s->chosen[i] |= at[k * each + j] == place;
    }
done:
    budget_free(f->mem, &at);
    budget_free(f->mem, &seen);
    class_index_clear(&ci, f->mem);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    double full = param_double(p, "o");
    TRY(mem_new(&s, 1, sizeof *s, "NAC"));
    *state = s;
    s->mem = f->mem;
    s->la = f->la;
    s->d = f->d;
    s->m = (size_t)param_int(p, "m") / 2 * 2;
    s->alpha = (float)param_double(p, "alpha");
    TRY(fit_head_transposed(f));
    TRY(f->la->ops->keep(f->la, &s->head_t,
                         &(linalg_values){.n = f->d, .k = f->c, .f32 = f->head_t, .f32_only = 1}));
    TRY(budget_new(f->mem, &s->edge, s->m, sizeof *s->edge, "boundaries of NAC"));
    TRY(budget_zeroed(f->mem, &s->count, s->d * s->m, sizeof *s->count, "histograms of NAC"));
    TRY(budget_new(f->mem, &s->cover, s->d * s->m, sizeof *s->cover, "histograms of NAC"));
    boundaries(s->edge, s->m);
    if (!waives(p)) TRY(choose(f, s, (size_t)param_int(p, "build"), (uint64_t)param_int(p, "seed")));
    if (rc == FIT_REFUSED) goto done;
    TRY(fit_each_block(f, f->o->train, add_block, s));
    for (size_t i = 0; i < s->d * s->m; i++)
        s->cover[i] = (float)fmin((double)s->count[i] / full, 1);
done:
    if (s != NULL) {
        budget_free(f->mem, &s->count);
        budget_free(f->mem, &s->chosen);
    }
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    float *g;
    (void)p;
    TRY(gradients(s, b, &g));
#pragma omp parallel for
    for (size_t i = 0; i < b->n; i++) {
        double sum = 0;
        for (size_t j = 0; j < s->d; j++)
            sum += (double)s->cover[j * s->m + bin_of(s, state_of(s, b->h[i * s->d + j], g[i * s->d + j]))];
        out[i] = (float)(sum / (double)s->d);
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    if (s->la != NULL) s->la->ops->drop(s->la, &s->head_t);
    if (s->mem != NULL) {
        budget_free(s->mem, &s->edge);
        budget_free(s->mem, &s->count);
        budget_free(s->mem, &s->cover);
        budget_free(s->mem, &s->chosen);
    }
    free(s);
    *state = NULL;
}

const method method_nac = {
    .name = "nac",
    .title = "NAC-UE",
    .formula = "mean_j min(n_j,b(s_j) / O, 1), s = sigmoid(alpha h o W'(p - 1/C)), n = train rows by bin of the state",
    .paper = "Liu et al., Neuron Activation Coverage: Rethinking Out-of-distribution Detection and Generalization, ICLR "
             "2024, arXiv:2306.02879",
    .quirks = "the penultimate layer alone, which needs no backward pass; defaults of ImageNet with ResNet-50 (ViT-B/16: "
              "o=500, alpha=100, build=50000; CIFAR: o=50, alpha=100 or 50); which rows build is a matter of the seed; "
              "scores are sums of steps of 1 / (O D)",
    .groups = "seeds openood",
    .needs = NEEDS_FEATURES | NEEDS_LOGITS | NEEDS_HEAD | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .waives = waives,
    .opts = (const method_opt[]){{"o", "10", "rows in a bin that cover it", 1e-6, 1e9, NULL, 0},
                                 {"m", "50", "boundaries, an even number", 4, 4096, NULL, METHOD_WHOLE},
                                 {"alpha", "3000", "steepness of the state", 1e-9, 1e9, NULL, 0},
                                 {"build", "1000", "train rows of the histograms, so many of each class; or all", 1, 1e9,
                                  "all", METHOD_WHOLE},
                                 {"seed", "1", "of the draw of those", 0, 9007199254740992.0, NULL, METHOD_WHOLE},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
