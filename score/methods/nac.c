/* NAC-UE, neuron activation coverage.  Liu, Tian, Li, Ma and Wang, ICLR 2024, arXiv:2306.02879.
 *   S = mean over layers of mean over neurons of min(n_ij / O, 1), j the bin of s_i = sigmoid(alpha o_i g_i), n_ij how
 *   many of the images it is built on fell there; O, the M boundaries and alpha by layer
 * o g: tables of the probe `nac`; for the layer "features" of a linear head from features and logits alone.
 * The published defaults follow from the layers' names and the number of classes. */
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"
#include "score/stats/coverage.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shipped configuration files; classes 0: any number. */
static const struct {
    size_t classes;
    const char *layer;
    double o, m, alpha;
} published[] = {
    {1000, "avgpool", 10, 50, 3000}, /* ResNet-50 */
    {1000, "layer3", 500, 50, 300},
    {1000, "layer2", 50, 500, 0.01},
    {1000, "layer1", 5000, 1000, 1},
    {1000, "encoder.ln", 500, 50, 100}, /* ViT-B/16 by torchvision's names */
    {1000, "encoder.layers.encoder_layer_11.ln_2", 50, 500, 1},
    {1000, "encoder.layers.encoder_layer_10.ln_2", 10, 500, 10},
    {1000, "encoder.layers.encoder_layer_9.ln_2", 10, 1000, 1},
    {1000, "norm", 500, 50, 100}, /* and by timm's */
    {1000, "blocks.11.norm2", 50, 500, 1},
    {1000, "blocks.10.norm2", 10, 500, 10},
    {1000, "blocks.9.norm2", 10, 1000, 1},
    {10, "avgpool", 50, 50, 100}, /* ResNet-18, CIFAR-10 */
    {10, "layer3", 100, 500, 1000},
    {10, "layer2", 5, 50, 0.001},
    {10, "layer1", 100, 500, 0.001},
    {100, "avgpool", 50, 50, 50}, /* ResNet-18, CIFAR-100 */
    {100, "layer3", 500, 1000, 10},
    {100, "layer2", 500, 50, 1},
    {100, "layer1", 5, 50, 0.005},
};

typedef struct state_type {
    const coverage **layer; /* [n] of the fit's */
    double *o;              /* [n] */
    size_t n;
} state_type;

static int take_layers(const method_params *p, const source *id, table_layers *l)
{
    if (strcmp(param_text(p, "layers"), "stored") != 0) return table_split_layers(param_text(p, "layers"), l);
    table_take_layers(id, "nac/", l);
    return 1;
}

static int is_closed(const char *layer)
{
    return strcmp(layer, "features") == 0;
}

static unsigned waives(const method_params *p)
{
    unsigned not_needed = strcmp(param_text(p, "build"), "all") == 0 ? NEEDS_TRAIN_LABELS : 0;
    table_layers l;
    if (strcmp(param_text(p, "layers"), "stored") == 0 || !table_split_layers(param_text(p, "layers"), &l))
        return not_needed | NEEDS_FEATURES | NEEDS_HEAD;
    for (size_t i = 0; i < l.n; i++)
        if (is_closed(l.name[i])) return not_needed;
    return not_needed | NEEDS_FEATURES | NEEDS_HEAD;
}

static int lacks(const method_params *p, enum tables_role role, const source *id, const source *s, char *why,
                 size_t room)
{
    table_layers l;
    size_t tables = 0;
    char name[TABLE_NAME];
    (void)role;
    if (!take_layers(p, id, &l) || l.n == 0) {
        snprintf(why, room, "set '%s' has no tables /probes/nac/ (extract with --probe nac)", id->name);
        return 1;
    }
    for (size_t i = 0; i < l.n; i++) {
        if (is_closed(l.name[i]) && table_at(s, "nac/features") == NULL) continue;
        snprintf(name, sizeof name, "nac/%s", l.name[i]);
        if (table_lacks(s, name, "nac", why, room)) return 1;
        tables++;
    }
    return tables > 0 ? 0 : TABLES_UNREAD;
}

/* ---- options by layer ------------------------------------------------------------------------------ */

/* Item i of "10/500/50/5000", or of the one value for all; NAN: not so many, or no number of its range. */
static double item(const char *text, size_t i, size_t n)
{
    size_t items = 1;
    char *end;
    double v;
    for (const char *at = text; *at != '\0'; at++)
        items += *at == '/';
    if (items != n && items != 1) return NAN;
    for (i = items == 1 ? 0 : i; i > 0; i--)
        text = strchr(text, '/') + 1;
    v = strtod(text, &end);
    return end != text && (*end == '/' || *end == '\0') && v > 0 && v <= 1e9 ? v : NAN;
}

static size_t known(const char *layer, size_t classes)
{
    size_t i = 0;
    while (i < sizeof published / sizeof published[0] &&
           (published[i].classes != classes || strcmp(published[i].layer, layer) != 0))
        i++;
    return i;
}

static int number(fit_context *f, const method_params *p, const char *key, double of_published, size_t i, size_t n,
                  double *v)
{
    const char *text = param_text(p, key);
    *v = strcmp(text, "published") == 0 ? of_published : item(text, i, n);
    if (*v > 0) return 0;
    return fit_refuse(f, "%s is published, one number or %zu joined by '/', not '%.40s'", key, n, text);
}

static int take_options(fit_context *f, const method_params *p, const char *layer, size_t i, size_t n, double *o,
                        size_t *m, double *alpha)
{
    int rc = 0;
    double bins = 0;
    size_t at = known(layer, f->c), end = sizeof published / sizeof published[0];
    TRY(number(f, p, "o", at < end ? published[at].o : 50, i, n, o));
    if (rc == 0) TRY(number(f, p, "m", at < end ? published[at].m : 50, i, n, &bins));
    if (rc == 0) TRY(number(f, p, "alpha", at < end ? published[at].alpha : 100, i, n, alpha));
    if (rc != 0) goto done;
    *m = (size_t)bins;
    if (bins != floor(bins) || *m < 4 || *m % 2 != 0 || *m > COVERAGE_BINS_MAX)
        rc = fit_refuse(f, "m is %g: an even number from 4 to %d is needed", bins, COVERAGE_BINS_MAX);
    else if (at == end)
        log_info("nac: nothing is published for layer '%s' of %zu classes: O %g, M %zu, alpha %g", layer, f->c, *o,
                 *m, *alpha);
done:
    return rc;
}

/* Images of the published selection: 50 a class for ViT-B/16, else 1000. */
static size_t images_of(const fit_context *f, const method_params *p, const table_layers *l)
{
    size_t at = known(l->name[0], f->c);
    if (strcmp(param_text(p, "images"), "published") != 0) return (size_t)param_int(p, "images");
    return at < sizeof published / sizeof published[0] && published[at].classes == 1000 &&
                   strcmp(published[at].layer, "avgpool") != 0 && strncmp(published[at].layer, "layer", 5) != 0
               ? 50000
               : 1000;
}

static int choose(fit_context *f, const method_params *p, const table_layers *l, const build_rows **rows)
{
    int rc = 0;
    const char *how = param_text(p, "build");
    size_t images = images_of(f, p, l), held = (size_t)param_int(p, "held");
    TRY(coverage_choose(f, how, images, held, rows));
    if ((*rows)->n == 0)
        rc = fit_refuse(f, "build=%s, images=%zu, held=%zu leave no train row of %zu classes (build=all takes all)",
                        how, images, held, f->c);
    else log_info("nac: built on %zu of %zu train rows", (*rows)->n, f->o->train->n);
done:
    return rc;
}

/* ---- the method ------------------------------------------------------------------------------------- */

static int fit(fit_context *f, const method_params *p, void **state)
{
    int rc = 0;
    state_type *s;
    table_layers *l = NULL;
    const build_rows *rows;
    TRY(mem_new(&s, 1, sizeof *s, "NAC"));
    *state = s;
    TRY(mem_new(&l, 1, sizeof *l, "NAC"));
    take_layers(p, f->o->id, l);
    TRY(mem_new(&s->layer, l->n, sizeof *s->layer, "NAC"));
    TRY(mem_new(&s->o, l->n, sizeof *s->o, "NAC"));
    TRY(choose(f, p, l, &rows));
    for (; rc == 0 && s->n < l->n; s->n++) {
        size_t m = 0;
        double alpha = 0;
        TRY(take_options(f, p, l->name[s->n], s->n, l->n, &s->o[s->n], &m, &alpha));
        if (rc == 0) TRY(coverage_build(f, l->name[s->n], COVERAGE_UE, m, alpha, rows, &s->layer[s->n]));
    }
done:
    free(l);
    return rc;
}

/* The score of a layer with this O is computed once for all settings that have it. */
static int score_many(const scored_use *v, size_t n, const score_block *b)
{
    int rc = 0;
    double *sum = NULL, *mean = NULL;
    char *done_layer = NULL;
    size_t layers = ((const state_type *)v[0].state)->n;
    for (size_t u = 1; u < n; u++)
        if (((const state_type *)v[u].state)->n > layers) layers = ((const state_type *)v[u].state)->n;
    TRY(mem_new(&sum, n * b->n, sizeof *sum, "scores of settings"));
    TRY(mem_new(&mean, b->n, sizeof *mean, "scores of a layer"));
    TRY(mem_new(&done_layer, n, 1, "settings"));
    for (size_t l = 0; l < layers; l++) {
        memset(done_layer, 0, n);
        for (size_t u = 0; u < n; u++) {
            const state_type *s = v[u].state;
            if (done_layer[u] || l >= s->n) continue;
            TRY(coverage_of_block(b, s->layer[l], s->o[l], mean));
            for (size_t w = u; w < n; w++) {
                const state_type *t = v[w].state;
                if (l >= t->n || t->layer[l] != s->layer[l] || t->o[l] != s->o[l]) continue;
                for (size_t i = 0; i < b->n; i++)
                    sum[w * b->n + i] += mean[i];
                done_layer[w] = 1;
            }
        }
    }
    for (size_t u = 0; u < n; u++)
        for (size_t i = 0; i < b->n; i++)
            v[u].out[i] = (float)(sum[u * b->n + i] / (double)((const state_type *)v[u].state)->n);
done:
    free(sum);
    free(mean);
    free(done_layer);
    return rc;
}

static int score(void *state, const method_params *p, const score_block *b, float *out)
{
    return score_many(&(scored_use){ state, p, out }, 1, b);
}

static void release(void **state)
{
    state_type *s = *state;
    if (s == NULL) return;
    free(s->layer);
    free(s->o);
    free(s);
    *state = NULL;
}

const method method_nac = {
    .name = "nac",
    .title = "NAC-UE",
    .formula = "mean over layers and neurons of min(n_ij / O, 1), j the bin of sigmoid(alpha o g)",
    .paper = "Liu, Tian, Li, Ma and Wang, Neuron Activation Coverage: Rethinking Out-of-distribution Detection and "
             "Generalization, ICLR 2024, arXiv:2306.02879",
    .quirks = "the configurations of ImageNet search O, M and alpha on validation sets (score sweep --preset "
              "nac-resnet50); with 1000 images O = 5000 saturates nothing; rows that could not be decoded are not "
              "there when the train list is shuffled",
    .groups = "openood seeds",
    .needs = NEEDS_LOGITS | NEEDS_FEATURES | NEEDS_HEAD | NEEDS_TRAIN | NEEDS_TRAIN_LABELS,
    .waives = waives,
    .opts = (const method_opt[]){{"layers", "stored", "tables of the probe joined by '/', stored: all of them; "
                                  "features: the penultimate vector, without a probe", 0, 0, NULL, 0},
                                 {"o", "published", "images that fill a bin; one number or by layer: 10/500/50/5000",
                                  0, 0, NULL, 0},
                                 {"m", "published", "boundaries of bins, even; likewise", 0, 0, NULL, 0},
                                 {"alpha", "published", "slope of the sigmoid; likewise", 0, 0, NULL, 0},
                                 {"build", "published", "published: of the whole train list, after `held` are set "
                                  "aside; main: of a list that lacks them; all: every train row", 0, 0,
                                  "published|main|all", 0},
                                 {"images", "published", "how many it is built on, the same of each class", 1, 1e9,
                                  "published", METHOD_WHOLE},
                                 {"held", "1000", "how many are set aside before", 0, 1e9, NULL, METHOD_WHOLE},
                                 {0}},
    .probe = "nac",
    .lacks = lacks,
    .fit = fit,
    .score = score,
    .score_many = score_many,
    .free = release,
};
