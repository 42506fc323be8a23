/* AdaSCALE.  Regmi, Panthi, Ming, Gyawali, Stoyanov and Bhattarai, arXiv:2503.08023 (methods-openood.md 3.4).
 *   g = d max_k z_k / dx; x' = x + step sign(g), sign(0) = 0, on the int(3 h w share) elements of smallest |g|
 * Stored: the penultimate vector f' of x'.  Offline part: Q' of f and f', its distribution on validation images, the
 * percentile and the scale; f is /features. */
#include "extract/probes/parts.h"
#include "common/err.h"

static int build(probe_build *b)
{
    int rc = 0, x = 0, f = graph_features(b->g), gradient, moved, again;
    TRY(probe_image_gradient(b, x, graph_logits(b->g), COTANGENT_MAX, 1, &gradient));
    moved = g_perturb(b->g, x, gradient, PERTURB_SMALLEST, (float)probe_number(b, "step"),
                      (float)probe_number(b, "share"), NULL);
    TRY(probe_again(b, x, moved, &f, 1, &again));
    TRY(probe_add(b, again, REDUCE_NONE, NULL, "features"));
done:
    return rc;
}

const probe_def probe_def_adascale = {
    .name = "adascale",
    .about = "penultimate vector of the image moved where the largest logit depends least on it",
    .paper = "Regmi et al., AdaSCALE: Adaptive Scaling for OOD Detection, arXiv:2503.08023",
    .methods = "adascale-a adascale-l",
    .note = "the methods need /features and /logits beside it",
    .outputs = "features [N,D]",
    .opts = (const probe_opt[]){
        { .name = "step", .def = "0.5", .min = 1e-9, .max = 10, .help = "in normalised units" },
        { .name = "share", .def = "0.05", .min = 1e-6, .max = 1, .help = "of the elements of the image" },
        { 0 } },
    .build = build,
};
