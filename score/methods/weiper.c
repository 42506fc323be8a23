/* WeiPer+KLD.  Granz, Heurich and Landgraf, NeurIPS 2024, arXiv:2405.17164.
 *   W~ = r copies of W, each row moved by delta |w_c| in a random direction; z~ = W~ h + b (b repeated)
 *   S = -(D(h) + lambda1 D~(z~) - lambda2 mean over the copies of max softmax)
 *   D = symmetric KL divergence between the smoothed histogram of a row's entries and the mean of train
 *       (score/stats/density.h); edges from the least and largest entry of train
 * One seed makes one W~; OpenOOD's port draws a new one for every batch.  W~ is 800 MB for 100 copies of 1000 x
 * 2048: copies that do not fit in a quarter of the memory are made again for every block, from the same seed. */
#include "common/err.h"
#include "common/mem.h"
#include "score/stats/bank.h"
#include "score/stats/density.h"
#include "score/stats/draw.h"
#include "score/stats/prototypes.h"
#include "score/stats/rows.h"
#include "score/stats/shared.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct state_type {
    const head *w;
    size_t repeats, bins, kernel, kernel_moved;
    double delta, lambda1, lambda2;
    uint64_t seed;
    float **copy;         /* [repeats], NULL: made when needed */
    linalg_matrix **kept; /* [repeats] likewise */
    float *made;          /* [c,d] room for one */
    double *noise;        /* [c,d] likewise */
    density of_h, of_z;
    linalg *la;
    budget *mem;
} state_type;

/* Values of epsilon in the published code. */
static const double eps_h = 0.01, eps_z = 0.025;

/* Row k of copy i has a stream of its own, so threads and blocks change nothing. */
static void make_copy(const state_type *s, size_t i, float *to)
{
    size_t c = s->w->c, d = s->w->d;
#pragma omp parallel for schedule(static)
    for (size_t k = 0; k < c; k++) {
        const float *row = s->w->w + k * d;
        double *noise = s->noise + k * d, square = 0, scale;
        draw r = draw_seeded(s->seed * 0x9e3779b97f4a7c15u + i * c + k);
        draw_bits(&r);
        r.state = draw_bits(&r); /* streams of neighbours do not overlap */
        draw_normals(&r, noise, d);
        for (size_t j = 0; j < d; j++)
            square += noise[j] * noise[j];
        scale = square > 0 ? s->delta * sqrt(rows_square(row, d) / square) : 0;
        for (size_t j = 0; j < d; j++)
            to[k * d + j] = (float)((double)row[j] + scale * noise[j]);
    }
}

/* z [n,c] = the logits of rows h under copy i */
static int logits_of_copy(state_type *s, size_t i, const float *h, size_t n, float *z)
{
    int rc = 0;
    size_t c = s->w->c;
    linalg_matrix *m = s->kept[i];
    if (m == NULL) {
        linalg_values v = {.n = c, .k = s->w->d, .f32 = s->made, .f32_only = 1};
        make_copy(s, i, s->made);
        TRY(s->la->ops->keep(s->la, &m, &v));
    }
    TRY(s->la->ops->product(s->la, m, h, n, z));
#pragma omp parallel for
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < c; j++)
            z[k * c + j] += s->w->b[j];
done:
    if (m != s->kept[i]) s->la->ops->drop(s->la, &m);
    return rc;
}

/* ---- fit -------------------------------------------------------------------------------------- */

static int keep_copies(fit_context *f, state_type *s)
{
    int rc = 0;
    size_t c = f->c, d = f->d, bytes = c * d * sizeof(float), room = budget_left(f->mem) / 4;
    TRY(mem_new(&s->copy, s->repeats, sizeof *s->copy, "perturbed heads"));
    TRY(mem_new(&s->kept, s->repeats, sizeof *s->kept, "perturbed heads"));
    TRY(budget_new(f->mem, &s->made, c * d, sizeof *s->made, "perturbed head"));
    TRY(budget_new(f->mem, &s->noise, c * d, sizeof *s->noise, "perturbed head"));
    for (size_t i = 0; i < s->repeats && (i + 1) * bytes <= room; i++) {
        linalg_values v = {.n = c, .k = d, .f32_only = 1};
        TRY(budget_new(f->mem, &s->copy[i], c * d, sizeof **s->copy, "perturbed heads"));
        make_copy(s, i, s->copy[i]);
        v.f32 = s->copy[i];
        TRY(f->la->ops->keep(f->la, &s->kept[i], &v));
    }
done:
    return rc;
}

static void range_of(const float *v, size_t n, float *least, float *most)
{
    for (size_t i = 0; i < n; i++) {
        *least = v[i] < *least ? v[i] : *least;
        *most = v[i] > *most ? v[i] : *most;
    }
}

/* Adds the rows' histograms to the mean of d. */
static int add_densities(density *d, const uint32_t *count, size_t entries, size_t rows)
{
    for (size_t i = 0; i < d->bins; i++)
        d->mean[i] += (double)count[i] / (double)entries / (double)rows;
    return 0;
}

/* From `rows` of train, h [rows,d]. */
static int fit_densities(state_type *s, const float *h, size_t rows, float *z)
{
    int rc = 0;
    size_t c = s->w->c, d = s->w->d;
    float least = INFINITY, most = -INFINITY;
    uint32_t count[DENSITY_BINS_MAX];
    range_of(h, rows * d, &least, &most);
    density_open(&s->of_h, s->bins, least, most);
    for (size_t k = 0; k < rows; k++) {
        memset(count, 0, sizeof count);
        density_count(&s->of_h, h + k * d, d, count);
        add_densities(&s->of_h, count, d, rows);
    }
    least = INFINITY;
    most = -INFINITY;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < s->repeats; i++)
            for (size_t at = 0; at < rows; at += TRAIN_ROWS) {
                size_t n = rows - at < TRAIN_ROWS ? rows - at : TRAIN_ROWS;
                TRY(logits_of_copy(s, i, h + at * d, n, z));
                if (pass == 0) range_of(z, n * c, &least, &most);
                for (size_t k = 0; pass == 1 && k < n; k++) {
                    memset(count, 0, sizeof count);
                    density_count(&s->of_z, z + k * c, c, count);
                    add_densities(&s->of_z, count, c * s->repeats, rows);
                }
            }
        if (pass == 0) density_open(&s->of_z, s->bins, least, most);
    }
done:
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s = NULL;
    size_t rows = (size_t)param_int(p, "samples"), *row = NULL;
    float *h = NULL, *z = NULL;
    rows = rows == 0 || rows > f->o->train->n ? f->o->train->n : rows;
    TRY(mem_new(&s, 1, sizeof *s, "WeiPer"));
    *state = s;
    s->w = f->o->head;
    s->la = f->la;
    s->mem = f->mem;
    s->repeats = (size_t)param_int(p, "repeats");
    s->bins = (size_t)param_int(p, "bins");
    s->kernel = (size_t)param_int(p, "smoothing");
    s->kernel_moved = (size_t)param_int(p, "smoothing-perturbed");
    s->delta = param_double(p, "delta");
    s->lambda1 = param_double(p, "lambda1");
    s->lambda2 = param_double(p, "lambda2");
    s->seed = (uint64_t)param_int(p, "seed");
    TRY(mem_new(&row, rows, sizeof *row, "sample of train"));
    draw_sample(s->seed, f->o->train->n, rows, row);
    TRY(budget_new(f->mem, &h, rows * f->d, sizeof *h, "sample of train"));
    TRY(budget_new(f->mem, &z, TRAIN_ROWS * f->c, sizeof *z, "sample of train"));
    TRY(bank_features(f->o->train, row, rows, h));
    TRY(keep_copies(f, s));
    TRY(fit_densities(s, h, rows, z));
done:
    free(row);
    budget_free(f->mem, &h);
    budget_free(f->mem, &z);
    return rc;
}

/* ---- score ------------------------------------------------------------------------------------ */

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    state_type *s = state;
    const rowmath *m = rowmath_best();
    size_t c = b->c, d = b->d, bins = s->bins;
    float *room, *z;
    uint32_t *count;
    (void)p;
    TRY(block_work(b, 0, b->cache->rows * bins, &room));
    TRY(block_work(b, 2, b->cache->rows * c, &z));
    count = (uint32_t *)(void *)room;
    memset(count, 0, b->n * bins * sizeof *count);
    memset(out, 0, b->n * sizeof *out);
    for (size_t i = 0; i < s->repeats; i++) {
        TRY(logits_of_copy(s, i, b->h, b->n, z));
#pragma omp parallel for
        for (size_t k = 0; k < b->n; k++) {
            row_sums sums;
            density_count(&s->of_z, z + k * c, c, count + k * bins);
            m->softmax(z + k * c, c, NULL, &sums);
            out[k] += (float)(exp((double)sums.max - sums.lse) / (double)s->repeats);
        }
    }
#pragma omp parallel for
    for (size_t k = 0; k < b->n; k++) {
        uint32_t own[DENSITY_BINS_MAX] = {0};
        double moved = density_divergence(&s->of_z, count + k * bins, (double)(c * s->repeats),
                                          s->kernel_moved, eps_z);
        density_count(&s->of_h, b->h + k * d, d, own);
        out[k] = (float)(s->lambda2 * (double)out[k] - s->lambda1 * moved -
                         density_divergence(&s->of_h, own, (double)d, s->kernel, eps_h));
    }
done:
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    for (size_t i = 0; s->kept != NULL && i < s->repeats; i++)
        s->la->ops->drop(s->la, &s->kept[i]);
    for (size_t i = 0; s->copy != NULL && i < s->repeats; i++)
        budget_free(s->mem, &s->copy[i]);
    free(s->copy);
    free(s->kept);
    if (s->mem != NULL) {
        budget_free(s->mem, &s->made);
        budget_free(s->mem, &s->noise);
    }
    free(s);
    *state = NULL;
}

const method method_weiper = {
    .name = "weiper",
    .title = "WeiPer+KLD",
    .formula = "-(D(h) + lambda1 D(W~ h + b) - lambda2 mean max softmax), D = divergence from train's histogram",
    .paper = "Granz, Heurich and Landgraf, WeiPer: OOD Detection using Weight Perturbations of Class "
             "Projections, NeurIPS 2024, arXiv:2405.17164",
    .quirks = "a hundred heads: a hundred times the work of the logits; one draw by the seed (OpenOOD draws anew "
              "for every batch); edges and mean histogram from a sample of train; the largest train entry "
              "counts as outside, as in the published code",
    .groups = "openood",
    .needs = NEEDS_FEATURES | NEEDS_HEAD | NEEDS_TRAIN,
    .opts = (const method_opt[]){{"repeats", "100", "copies of the head", 1, 1e4, NULL, 1},
                                 {"delta", "1.8", "length of the perturbation, of that of the row", 0, 1e6, NULL,
                                  0},
                                 {"lambda1", "2.5", "weight of the perturbed logits", 0, 1e6, NULL, 0},
                                 {"lambda2", "0.1", "weight of the mean MSP", 0, 1e6, NULL, 0},
                                 {"bins", "100", "of the histograms", 2, DENSITY_BINS_MAX, NULL, 1},
                                 {"smoothing", "4", "box over the histogram of h", 1, 1000, NULL, 1},
                                 {"smoothing-perturbed", "15", "box over that of the perturbed logits", 1, 1000,
                                  NULL, 1},
                                 {"samples", "2000", "train rows for the histograms, 0: all", 0, 1e9, NULL, 1},
                                 {"seed", "1", "of the perturbation and the sample", 0, 9007199254740992.0, NULL,
                                  1},
                                 {0}},
    .fit = fit,
    .score = score,
    .free = release,
};
