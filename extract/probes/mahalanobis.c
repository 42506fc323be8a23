/* Multi-layer Mahalanobis with input perturbation.  Lee, Lee, Lee and Shin, NeurIPS 2018, arXiv:1807.03888
 * (methods-seeds.md 4.13; T10).  For each layer a = mean of its map over positions, and each eps:
 *   k* = argmax_k q_k(a), q_k = -1/2 (a - m_k)' P (a - m_k); g = d(-q_k*)/dx
 *   x' = x - eps s, s = 1 where g >= 0, else -1; normalised units, not clamped -> a(x') of that layer alone
 * fgsm: the image is first replaced by clamp(x + fgsm sign(dCE/dx), 0, 1), in normalised units as published, where it
 * cuts away the dark half: the "OOD" side of the published tuning.
 * MDSEns (OpenOOD): the stem's layer alone, s divided by 0.5, eps 0.0014.
 * Means m_k and precisions P come from --stats.  Offline part: max_k q_k(a(x')), the regression. */
#include "extract/probes/parts.h"
#include "common/err.h"

/* Layer `name`, whose mean over positions is `a` as a function of the image x. */
static int perturbed_layer(probe_build *b, const char *name, int a, int x, const probe_numbers *eps,
                           const float std[3], const char *prefix)
{
    int rc = 0, means = -1, precision = -1, gradient = -1, again;
    char e[32];
    for (size_t k = 0; k < eps->n; k++) {
        json_t *own = json_pack("{s:s, s:f}", "layer", name, "eps", eps->v[k]);
        const char *path = g_name(b->g, "%seps=%s/%s", prefix, probe_digits(e, eps->v[k]), name);
        again = a;
        if (eps->v[k] > 0 && means < 0) {
            rc = probe_stats_layer(b->shared->stats, b->g, name, g_channels(b->g, a), &means, &precision);
            if (rc == 0)
                graph_backward(b->g, a, g_gaussian(b->g, a, means, precision), &x, 1, &gradient);
        }
        if (rc == 0 && eps->v[k] > 0)
            rc = probe_again(b, x, g_perturb(b->g, x, gradient, PERTURB_SIGN, (float)eps->v[k], 0, std), &a, 1,
                             &again);
        if (rc < 0) {
            json_decref(own);
            goto done;
        }
        TRY(probe_add(b, again, REDUCE_NONE, own, "%s", path));
    }
done:
    return rc;
}

static int mahalanobis(probe_build *b)
{
    static const float ones[3] = { 1, 1, 1 };
    int rc = 0, x = 0, z = graph_logits(b->g), mean[PROBE_LIST_MAX];
    double fgsm = probe_number(b, "fgsm");
    probe_layers l;
    probe_numbers eps;
    TRY(probe_take_layers(b, "layers", &l));
    TRY(probe_list(b, "eps", &eps));
    for (int i = 0; i < l.n; i++)
        mean[i] = g_gap(b->g, l.node[i]);
    if (fgsm > 0) {
        int gradient, changed[PROBE_LIST_MAX];
        TRY(probe_image_gradient(b, x, z, COTANGENT_CE, 1, &gradient));
        x = g_perturb(b->g, 0, gradient, PERTURB_FGSM, (float)fgsm, 0, NULL);
        TRY(probe_again(b, 0, x, mean, l.n, changed));
        for (int i = 0; i < l.n; i++)
            mean[i] = changed[i];
    }
    for (int i = 0; i < l.n; i++)
        TRY(perturbed_layer(b, l.name[i], mean[i], x, &eps, ones, fgsm > 0 ? "fgsm," : ""));
done:
    return rc;
}

static int mdsens(probe_build *b)
{
    int rc = 0, at;
    float std[3];
    const network_layers *known = layers_of(b->m);
    const char *name;
    probe_numbers eps;
    TRY(probe_take_layer(b, "layer", known != NULL ? known->stem : NULL, &name, &at));
    CHECK(at >= 0, ERR_USAGE, "mdsens: no stem of %s is known; say mdsens:layer=TAP", b->m->name);
    TRY(probe_list(b, "eps", &eps));
    TRY(probe_divisors(b, "std", std));
    TRY(perturbed_layer(b, name, g_gap(b->g, at), 0, &eps, std, ""));
done:
    return rc;
}

static const char *blocks(const model *m)
{
    const network_layers *l = layers_of(m);
    return l != NULL ? l->blocks : NULL;
}

static const char *stem(const model *m)
{
    const network_layers *l = layers_of(m);
    return l != NULL ? l->stem : NULL;
}

const probe_def probe_def_mahalanobis = {
    .name = "mahalanobis",
    .about = "means of every block after the perturbation for that block, for each eps",
    .paper = "Lee, Lee, Lee and Shin, A Simple Unified Framework for Detecting Out-of-Distribution Samples and "
             "Adversarial Attacks, NeurIPS 2018, arXiv:1807.03888",
    .methods = "mahalanobis-layers",
    .note = "a backward pass for each layer and a forward pass for each layer and eps",
    .outputs = "eps=EPS/LAYER [N,c]; with fgsm fgsm,eps=EPS/LAYER",
    .opts = (const probe_opt[]){
        { .name = "layers", .def = "default", .list = 1, .help = "taps that --stats has" },
        { .name = "eps", .def = "0/0.01/0.005/0.002/0.0014/0.001/0.0005", .min = 0, .max = 10, .list = 1,
          .help = "steps; the default is the published grid" },
        { .name = "fgsm", .def = "0", .min = 0, .max = 10,
          .help = "perturb the adversarial image of this step (0.05 published); 0: the image" },
        { 0 } },
    .build = mahalanobis,
    .layers = blocks,
    .needs_stats = 1,
};

const probe_def probe_def_mdsens = {
    .name = "mdsens",
    .about = "mean of the stem after its perturbation, as OpenOOD's mds_ensemble is shipped",
    .paper = "OpenOOD 1.5, postprocessor mds_ensemble, after Lee et al., NeurIPS 2018",
    .methods = "mdsens",
    .note = "one layer, not an ensemble: the shipped configuration; 0.5 is divided by whatever the data set",
    .outputs = "eps=EPS/LAYER [N,c]",
    .opts = (const probe_opt[]){
        { .name = "layer", .def = "default", .help = "tap that --stats has" },
        { .name = "eps", .def = "0.0014", .min = 0, .max = 10, .list = 1, .help = "steps" },
        { .name = "std", .def = "half", .help = "divides the step by channel: as of odin" },
        { 0 } },
    .build = mdsens,
    .layers = stem,
    .needs_stats = 1,
};
