/* Gradients at the image of whole published networks on the CUDA backend, and the logits of ODIN's second forward, beside
 * the reference, which test_gradients holds to float64 PyTorch.  Without a device the plugin is the mock: that proves
 * the steps, their layouts, lifetimes and shared weights.  Masks of ReLU flip under rounding: networks with ReLU are
 * held to 5e-2, the others to 1e-5 (models.md 13.1).  `test_cuda_gradients NET` runs one; OUTPOST_LONG=1 all. */
#include "tests/unit/hash_network.h"

#include <math.h>
#include <stdarg.h>

static const double MASKED = 5e-2, SMOOTH = 1e-5;

typedef struct subject {
    const char *name; /* network@side */
    int is_smooth;    /* no masks */
    int is_long;      /* too slow for every day over the mock */
} subject;

static const subject subjects[] = {
    { "resnet20", 0, 0 },           { "densenet_bc_100_12", 0, 1 }, { "resnet18@64", 0, 0 },
    { "mobilenet_v2@32", 0, 0 },    { "squeezenet1_1@64", 0, 0 },   { "regnet_y_400mf@64", 0, 1 },
    { "repvgg_a0@32", 0, 1 },       { "efficientnet_b0@32", 1, 0 }, { "densenet121@32", 0, 1 },
    { "convnext_tiny@32", 1, 0 },   { "vit_tiny_patch16_224", 1, 1 }, { "swin_t@64", 1, 1 },
    { "t2t_vit_14", 1, 1 },         { "bit_s_r50x1@64", 0, 1 },
};

enum { SUBJECTS = sizeof subjects / sizeof *subjects, GRADIENT = 0, AGAIN = 1, ASKED = 2 };

static int test_number, failures;

static void check(int ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void check(int ok, const char *format, ...)
{
    va_list ap;
    printf("%s %d - ", ok ? "ok" : "not ok", ++test_number);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
    failures += !ok;
}

/* NaN counts as infinitely far. */
static double relative_l2(const float *got, const float *want, size_t n)
{
    double difference = 0, norm = 0;
    for (size_t i = 0; i < n; i++) {
        difference += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        norm += (double)want[i] * (double)want[i];
    }
    return isnan(difference) || !(norm > 0) ? INFINITY : sqrt(difference / norm);
}

static void ask(hash_network *s)
{
    int from = 0, z = graph_logits(s->g), back, changed, again;
    graph_backward(s->g, z, g_cotangent(s->g, z, COTANGENT_LOGSUMEXP, 1, 0), &from, 1, &back);
    changed = g_perturb(s->g, from, back, PERTURB_SIGN, 0.01f, 0, NULL);
    graph_replay(s->g, &(replay){ .from = &from, .to = &changed, .n = 1 }, &z, 1, &again);
    s->requests[GRADIENT] = (plan_request){ "gradient", back, REDUCE_NONE };
    s->requests[AGAIN] = (plan_request){ "again", again, REDUCE_NONE };
    s->n_requests = ASKED;
}

static void test_network(const subject *t)
{
    static const char *const names[] = { "image gradient", "logits of the changed image" };
    int rc = 0;
    hash_network s = { .gain = strncmp(t->name, "mobilenet", 9) == 0 ? 2 : 1 };
    float *want[HASH_OUTPUTS] = { NULL }, *got[HASH_OUTPUTS] = { NULL };
    snprintf(s.name, sizeof s.name, "%s", t->name);
    if (strchr(t->name, '@') != NULL) s.side = atoi(strchr(t->name, '@') + 1);
    TRY(hash_network_build(&s));
    ask(&s);
    TRY(hash_network_bind(&s));
    TRY(hash_network_run(&s, "ref", want));
    TRY(hash_network_run(&s, "cuda", got));
    for (int i = 0; i < ASKED; i++) {
        double off = relative_l2(got[i], want[i], s.count[i] * HASH_BATCH), allowed = t->is_smooth ? SMOOTH : MASKED;
        if (i == AGAIN) allowed = MASKED; /* a gradient near zero may change its sign */
        check(off <= allowed, "%s: %s off by %.1e of %.0e", t->name, names[i], off, allowed);
    }
done:
    if (rc < 0) check(0, "%s: %s", t->name, err_text());
    for (int i = 0; i < ASKED; i++) {
        free(want[i]);
        free(got[i]);
    }
    hash_network_clear(&s);
    err_clear();
}

/* build/unit/test_cuda_gradients: build/mock, unless another plugin is asked for. */
static int use_plugin(void)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 32);
    if (getenv("OUTPOST_PLUGIN_DIR") != NULL) return 0;
    if (n <= 0) return -1;
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    *strrchr(path, '/') = '\0';
    strcat(path, "/mock");
    return setenv("OUTPOST_PLUGIN_DIR", path, 1);
}

int main(int argc, char **argv)
{
    if (use_plugin() != 0) return 1;
    for (int i = 0; i < SUBJECTS; i++) {
        int asked = argc > 1 && strcmp(argv[1], subjects[i].name) == 0;
        if (asked || (argc < 2 && (!subjects[i].is_long || getenv("OUTPOST_LONG") != NULL))) test_network(&subjects[i]);
    }
    printf("1..%d\n", test_number);
    return failures > 0;
}
