/* ODIN.  Liang, Li and Srikant, ICLR 2018, arXiv:1706.02690: the image moved by eps against the sign of the gradient of
 * the cross entropy at the predicted class, at temperature T, and the network run again on it.
 *   x' = x - eps s / std, s = 1 where g >= 0, else -1; x normalised, not clamped
 * i-ODIN (arXiv:2409.07813 quotes it; OpenOOD `iodin`): only the first of the elements of largest |g| is moved.
 * Offline part: max softmax(z(x') / T). */
#include "extract/probes/parts.h"
#include "common/err.h"

#include <string.h>

static int perturbed(probe_build *b, perturb_kind kind)
{
    int rc = 0, x = 0, z = graph_logits(b->g), gradient, moved, again;
    float std[3];
    probe_numbers t, eps;
    char a[32], e[32];
    TRY(probe_list(b, "T", &t));
    TRY(probe_list(b, "eps", &eps));
    TRY(probe_divisors(b, "std", std));
    for (size_t i = 0; i < t.n; i++)
        for (size_t k = 0; k < eps.n; k++) {
            TRY(probe_image_gradient(b, x, z, COTANGENT_CE, (float)t.v[i], &gradient));
            moved = g_perturb(b->g, x, gradient, kind, (float)eps.v[k], 0, std);
            TRY(probe_again(b, x, moved, &z, 1, &again));
            TRY(probe_add(b, again, REDUCE_NONE, json_pack("{s:f, s:f}", "T", t.v[i], "eps", eps.v[k]),
                          "T=%s,eps=%s/logits", probe_digits(a, t.v[i]), probe_digits(e, eps.v[k])));
        }
done:
    return rc;
}

static int odin(probe_build *b)
{
    return perturbed(b, strcmp(probe_text(b, "zero"), "plus") == 0 ? PERTURB_SIGN : PERTURB_SIGN0);
}

static int iodin(probe_build *b)
{
    return perturbed(b, PERTURB_LARGEST);
}

#define T_AND_EPS                                                                                  \
    { .name = "T", .def = "1000", .help = "temperatures of the loss; published grid 1/10/100/1000",  \
      .min = 1e-3, .max = 1e6, .list = 1 },                                                          \
    { .name = "eps", .def = "0.0014",                                                                \
      .help = "steps in normalised units; 0.0014 and 0.0028 OpenOOD, 0.004 HIMPLoS, 0 is /logits",   \
      .min = 1e-9, .max = 10, .list = 1 }

const probe_def probe_def_odin = {
    .name = "odin",
    .about = "logits of the image moved against the gradient's sign, for each T and eps",
    .paper = "Liang, Li and Srikant, Enhancing the Reliability of Out-of-distribution Image Detection in Neural "
             "Networks, ICLR 2018, arXiv:1706.02690",
    .methods = "odin",
    .note = "eps 0, the default of MOS and its followers, needs no probe; the sign depends on T",
    .outputs = "T=T,eps=EPS/logits [N,C]",
    .opts = (const probe_opt[]){ T_AND_EPS,
                                 { .name = "std", .def = "none", .help = "OpenOOD: imagenet, cifar10, cifar100 or "
                                   "half, by data set; none, or R/G/B" },
                                 { .name = "zero", .def = "plus", .words = "plus|none",
                                   .help = "what a gradient of 0 counts as: plus one, or none" },
                                 { 0 } },
    .build = odin,
};

const probe_def probe_def_iodin = {
    .name = "iodin",
    .about = "the same with only the one element of largest gradient moved",
    .paper = "OpenOOD 1.5, postprocessor iodin",
    .methods = "iodin",
    .outputs = "T=T,eps=EPS/logits [N,C]",
    .opts = (const probe_opt[]){ T_AND_EPS,
                                 { .name = "std", .def = "none", .help = "as of odin" },
                                 { 0 } },
    .build = iodin,
};
