/* Gram matrices.  Sastry and Oore, ICML 2020, arXiv:1912.12510, in OpenOOD's two forms.  G: the tables of the probe
 * `gram`, row sums of the Gram matrix of each layer and power, by channel.
 *   d(G, lo, hi) = max(lo - G, 0) / |lo + 1e-6| + max(G - hi, 0) / |hi + 1e-6|
 *   corrected     lo, hi by class, layer, power and channel over 90 % of the train rows of a class; n_l = mean over the
 *                 other 10 % of sum d; S = -(sum_l (sum d)_l / n_l) / max p
 *   leaderboard   lo, hi by class, layer and power over all channels; G summed over channels; S = sum d / 50
 * of the predicted class.  The published rows are by the second, which is an energy more than a deviation. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/draw.h"
#include "score/stats/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TRAIN_BLOCK = 64 };

typedef struct layer_bounds {
    char name[TABLE_NAME];
    size_t width, powers, channels, kept; /* kept: bounds of a class, `width` or `powers` */
    float *low, *high;                    /* [c,kept] */
    double unit;                          /* n_l */
} layer_bounds;

typedef struct state_type {
    layer_bounds *layer;
    size_t n, c;
    int pooled; /* the leaderboard's */
    unsigned char *held; /* [train rows]: not for bounds */
    budget *mem;
} state_type;

static double deviation(double g, double low, double high)
{
    if (low > high) return 0; /* a class without rows */
    return fmax(low - g, 0) / fabs(low + 1e-6) + fmax(g - high, 0) / fabs(high + 1e-6);
}

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    table_layers l;
    (void)p;
    (void)role;
    table_take_layers(id, "gram/", &l);
    if (l.n == 0) {
        snprintf(why, room, "set '%s' has no tables /probes/gram/ (extract with --probe gram)", id->name);
        return 1;
    }
    for (size_t i = 0; i < l.n; i++)
        if (table_at(s, "gram/%s", l.name[i]) == NULL) {
            snprintf(why, room, "set '%s' has no /probes/gram/%s (extract with --probe gram)", s->name, l.name[i]);
            return 1;
        }
    return 0;
}

/* ---- fit ------------------------------------------------------------------------------------------ */

/* int(share n) rows of each class; returns how many in all. */
static int hold_out(fit_context *f, state_type *s, double share, uint64_t seed, size_t *held)
{
    int rc = 0;
    const source *t = f->o->train;
    size_t *of = NULL, *taken = NULL;
    TRY(mem_new(&of, t->n + 1, sizeof *of, "rows of a class"));
    TRY(mem_new(&taken, t->n + 1, sizeof *taken, "rows of a class"));
    *held = 0;
    for (size_t k = 0; k < s->c; k++) {
        size_t n = 0, take;
        for (size_t i = 0; i < t->n; i++)
            if (t->labels[i] == (int64_t)k) of[n++] = i;
        take = (size_t)(share * (double)n);
        if (take > 0) draw_sample(seed + k, n, take, taken);
        for (size_t i = 0; i < take; i++)
            s->held[of[taken[i]]] = 1;
        *held += take;
    }
done:
    free(of);
    free(taken);
    return rc;
}

static void widen(float *low, float *high, float v)
{
    if (v < *low) *low = v;
    if (v > *high) *high = v;
}

static void bound_rows(const state_type *s, layer_bounds *l, const source *t, size_t begin, size_t n, const float *v)
{
    size_t step = s->pooled ? l->channels : 1;
#pragma omp parallel for schedule(static)
    for (size_t j = 0; j < l->kept; j++)
        for (size_t i = 0; i < n; i++) {
            int64_t y = t->labels[begin + i];
            if (y < 0 || (size_t)y >= s->c || s->held[begin + i]) continue;
            for (size_t k = 0; k < step; k++)
                widen(&l->low[(size_t)y * l->kept + j], &l->high[(size_t)y * l->kept + j],
                      v[i * l->width + j * step + k]);
        }
}

/* Sum of d of one row for class y. */
static double row_deviation(const state_type *s, const layer_bounds *l, const float *v, size_t y)
{
    const float *low = l->low + y * l->kept, *high = l->high + y * l->kept;
    double sum = 0;
    for (size_t j = 0; j < l->kept; j++) {
        double g = (double)v[j];
        if (s->pooled) {
            g = 0;
            for (size_t k = 0; k < l->channels; k++)
                g += (double)v[j * l->channels + k];
        }
        sum += deviation(g, (double)low[j], (double)high[j]);
    }
    return sum;
}

static int fit_layer(fit_context *f, state_type *s, layer_bounds *l)
{
    int rc = 0;
    const source *t = f->o->train;
    const float *v;
    float *buffer = NULL;
    size_t held = 0;
    double sum = 0;
    TRY(budget_new(f->mem, &l->low, s->c * l->kept, sizeof *l->low, "bounds by class"));
    TRY(budget_new(f->mem, &l->high, s->c * l->kept, sizeof *l->high, "bounds by class"));
    TRY(budget_new(f->mem, &buffer, TRAIN_BLOCK * l->width, sizeof *buffer, "rows of a table"));
    for (size_t i = 0; i < s->c * l->kept; i++) {
        l->low[i] = INFINITY;
        l->high[i] = -INFINITY;
    }
    for (size_t at = 0, n; at < t->n; at += n) {
        n = t->n - at < TRAIN_BLOCK ? t->n - at : TRAIN_BLOCK;
        TRY(table_rows(t, l->name, l->width, at, n, buffer, &v));
        bound_rows(s, l, t, at, n, v);
        source_forget(t, at, n);
    }
    for (size_t i = 0; i < t->n; i++) {
        if (!s->held[i]) continue;
        TRY(table_rows(t, l->name, l->width, i, 1, buffer, &v));
        sum += row_deviation(s, l, v, (size_t)t->labels[i]);
        held++;
    }
    l->unit = s->pooled ? 50 : sum / (double)held;
    if (!(l->unit > 0)) log_warn("gram: nothing held out deviates in %s: the layer is left out", l->name);
done:
    budget_free(f->mem, &buffer);
    return rc;
}

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s;
    table_layers *l = NULL;
    size_t held = 0;
    TRY(mem_new(&s, 1, sizeof *s, "Gram"));
    *state = s;
    s->mem = f->mem;
    s->c = f->c;
    s->pooled = strcmp(param_text(p, "form"), "leaderboard") == 0;
    TRY(mem_new(&l, 1, sizeof *l, "Gram"));
    table_take_layers(f->o->id, "gram/", l);
    TRY(mem_new(&s->layer, l->n, sizeof *s->layer, "Gram"));
    TRY(mem_new(&s->held, f->o->train->n, 1, "Gram"));
    if (!s->pooled) TRY(hold_out(f, s, param_double(p, "held"), (uint64_t)param_int(p, "seed"), &held));
    if (!s->pooled && held == 0) {
        rc = fit_refuse(f, "held=%g of the train rows is less than one of every class", param_double(p, "held"));
        goto done;
    }
    for (; s->n < l->n;) {
        layer_bounds *to = &s->layer[s->n++];
        const source_table *t;
        snprintf(to->name, sizeof to->name, "gram/%s", l->name[s->n - 1]);
        t = source_table_find(f->o->id, to->name);
        to->width = t->width;
        to->powers = t->rank == 2 ? t->dim[0] : 1;
        to->channels = t->width / to->powers;
        to->kept = s->pooled ? to->powers : to->width;
        TRY(fit_layer(f, s, to));
    }
done:
    free(l);
    return rc;
}

/* ---- score ---------------------------------------------------------------------------------------- */

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    int rc = 0;
    const state_type *s = state;
    double *sum = NULL;
    (void)p;
    TRY(mem_new(&sum, b->n, sizeof *sum, "deviations"));
    for (size_t l = 0; l < s->n; l++) {
        const layer_bounds *at = &s->layer[l];
        const float *v;
        if (!(at->unit > 0)) continue;
        TRY(block_table(b, 0, at->name, at->width, &v));
#pragma omp parallel for schedule(static)
        for (size_t i = 0; i < b->n; i++)
            sum[i] += row_deviation(s, at, v + i * at->width, b->sums[i].argmax) / at->unit;
    }
    for (size_t i = 0; i < b->n; i++)
        out[i] = (float)(s->pooled ? sum[i] : -sum[i] / exp((double)b->sums[i].max - b->sums[i].lse));
done:
    free(sum);
    return rc;
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    for (size_t l = 0; l < s->n; l++) {
        budget_free(s->mem, &s->layer[l].low);
        budget_free(s->mem, &s->layer[l].high);
    }
    free(s->layer);
    free(s->held);
    free(s);
    *state = NULL;
}

const method method_gram = {
    .name = "gram",
    .title = "Gram",
    .formula = "-(sum over layers of deviations of Gram row sums from train bounds / their mean) / max p",
    .paper = "Sastry and Oore, Detecting Out-of-Distribution Examples with Gram Matrices, ICML 2020, "
             "arXiv:1912.12510",
    .quirks = "form=leaderboard (five layers) made OpenOOD's published rows: one bound for all channels against the "
              "sum over channels, a positive sign, so that a larger deviation is more ID; corrected is OpenOOD's of "
              "December 2025, whose held-out rows are not seeded (here by seed)",
    .groups = "openood seeds",
    .needs = NEEDS_LOGITS | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .opts = (const method_opt[]){{"form", "corrected", "corrected or leaderboard", 0, 0, "corrected|leaderboard", 0},
                                 {"held", "0.1", "share of the train rows of a class that is not for bounds", 0, 0.9,
                                  NULL, 0},
                                 {"seed", "0", "which these are", 0, 4294967295.0, NULL, METHOD_WHOLE},
                                 {0}},
    .probe = "gram",
    .lacks = lacks,
    .fit = fit,
    .score = score,
    .free = release,
};
