/* The probes' tables and graphs: every probe on every network, without weights; options and their refusals. */
#include "common/err.h"
#include "common/h5.h"
#include "extract/probes/probe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int test_number, failures;

static void check(int ok, const char *net, const char *what)
{
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s\n", ok ? "ok" : "not ok", test_number, net, what);
}

/* ---- statistics of no meaning, in the shape that a network asks for --------------------------------- */

static char stats_path[] = "/tmp/outpost-stats-XXXXXX";

typedef struct layer_list {
    char text[1024], words[1024];
    char *name[32];
    size_t n;
} layer_list;

static void add_layers(layer_list *l, const char *text)
{
    snprintf(l->text + strlen(l->text), sizeof l->text - strlen(l->text), "/%s", text);
    l->n = 0;
    memcpy(l->words, l->text, sizeof l->words);
    for (char *save, *word = strtok_r(l->words, "/", &save); word != NULL; word = strtok_r(NULL, "/", &save)) {
        size_t k = 0;
        while (k < l->n && strcmp(l->name[k], word) != 0)
            k++;
        if (k == l->n) l->name[l->n++] = word;
    }
}

/* Zeros: libhdf5 leaves the data unfilled, and holes read as 0. */
static int write_stats(const model *m, const graph *g)
{
    int rc = 0;
    layer_list l = { .text = "" };
    static h5_item items[64];
    const char *format = "outpost-stats";
    const h5_attr attr = { "/", "format", 1, &format, 0 };
    size_t n = 0;
    const probe_def *d;
    TRY(probe_find(&d, "mahalanobis", 11));
    add_layers(&l, d->layers(m));
    TRY(probe_find(&d, "mdsens", 6));
    add_layers(&l, d->layers(m));
    memset(items, 0, sizeof items);
    for (size_t i = 0; i < l.n; i++) {
        int at;
        TRY(outputs_find(&at, g, m->name, l.name[i], "stats"));
        for (int part = 0; part < 2; part++, n++) {
            size_t c = (size_t)graph_node(g, at)->out.c;
            snprintf(items[n].name, sizeof items[n].name, "layers/%s/%s", l.name[i], part ? "precision" : "means");
            items[n].type = H5_TYPE_F32;
            items[n].rank = 2;
            items[n].dim[0] = part ? c : 3;
            items[n].dim[1] = c;
            TRY(h5_item_size(&items[n]));
        }
    }
    unlink(stats_path);
    TRY(h5_create(stats_path, items, n, &attr, 1));
done:
    return rc;
}

/* ---- every probe on every network -------------------------------------------------------------------- */

static int may_lack(const probe_def *d, const model *m)
{
    return d->layers != NULL && d->layers(m) == NULL;
}

static void on_network(const model *m)
{
    char what[200];
    for (size_t i = 0; probes[i] != NULL; i++) {
        graph *g = NULL;
        outputs to = { 0 };
        probe_set *s = NULL;
        size_t nodes, sound = 0;
        int rc = model_build(&g, m, m->classes);
        nodes = rc == 0 ? graph_nodes(g) : 0;
        if (rc == 0 && probes[i]->needs_stats) rc = write_stats(m, g);
        if (rc == 0)
            rc = probes_build(&s, &to, g, m, &probes[i]->name, 1, probes[i]->needs_stats ? stats_path : NULL);
        for (size_t k = 0; k < to.n; k++) {
            size_t stored = 1;
            shape o = g_shape(g, to.v[k].node);
            for (int r = 0; r < to.v[k].rank; r++)
                stored *= to.v[k].dim[r];
            sound += (to.v[k].rank == 0 || stored == (size_t)o.c * (size_t)o.h * (size_t)o.w) &&
                     strncmp(to.v[k].name, "probes/", 7) == 0 && to.v[k].made != NULL;
        }
        if (may_lack(probes[i], m)) {
            snprintf(what, sizeof what, "%s: refused, no layers are known", probes[i]->name);
            check(rc == ERR_USAGE && strstr(err_text(), "are known for it") != NULL, m->name, what);
        } else {
            snprintf(what, sizeof what, "%s: %zu outputs, %zu more nodes %s", probes[i]->name, to.n,
                     graph_nodes(g) - nodes, rc < 0 ? err_text() : "");
            check(rc == 0 && to.n > 0 && sound == to.n, m->name, what);
        }
        err_clear();
        probes_free(&s);
        outputs_clear(&to);
        graph_free(&g);
    }
}

/* ---- options ------------------------------------------------------------------------------------------- */

static void refused(const char *text, const char *words)
{
    char what[300];
    graph *g = NULL;
    outputs to = { 0 };
    probe_set *s = NULL;
    const model *m = model_find("resnet18");
    int rc = model_build(&g, m, 10);
    if (rc == 0) rc = probes_build(&s, &to, g, m, &text, 1, NULL);
    snprintf(what, sizeof what, "'%s' is refused: %s", text, err_text());
    check(rc == ERR_USAGE && strstr(err_text(), words) != NULL, "options", what);
    err_clear();
    probes_free(&s);
    outputs_clear(&to);
    graph_free(&g);
}

static void refusals(void)
{
    refused("odn", "did you mean odin?");
    refused("", "no probe ''");
    refused("odin:", "empty");
    refused("odin:eps", "is not KEY=VALUE");
    refused("odin:eps=", "is not KEY=VALUE");
    refused("odin:ep=1", "did you mean eps?");
    refused("odin:eps=0", "allowed is");
    refused("odin:eps=0.1/x", "odin.eps");
    refused("odin:eps=nan", "odin.eps");
    refused("odin:T=1//2", "empty");
    refused("odin:T=1000,T=1/1", "asked for twice");
    refused("odin:zero=minus", "is one of plus|none");
    refused("odin:std=imagnet", "neither none");
    refused("odin:std=1/2", "neither none");
    refused("odin:std=1/0/1", "above 0");
    refused("odin:type=f64", "f32 or f16");
    refused("nac:layers=laye3", "did you mean layer3?");
    refused("nac:layers=layer3/layer3", "asked for twice");
    refused("gram:powers=1.5", "not a whole number");
    refused("gram:powers=17", "allowed is 1 to 16");
    refused("rankfeat:last=none,earlier=none", "leave nothing to store");
    refused("rankweight:weights=layer4.1.conv", "has no matrix");
    refused("rankweight:weights=layer4.1.bn2.weight", "has no matrix");
    refused("mahalanobis", "needs --stats");
}

static void dumps(void)
{
    static const struct {
        const char *dump, *scalar, *words; /* NULL: accepted */
    } cases[] = {
        { "features,logits", NULL, NULL },
        { "features:f16,logits:f16,gradients:layer2:mean:f16,gradients:image", "ce:1000", NULL },
        { "gradients:features", "logit=9", NULL },
        { "gradients:layer2", "logit=10", "there are 10 classes" },
        { "gradients:layer2", "logit=-1", "no such class" },
        { "gradients:layer2", "ce:0", "above 0" },
        { "gradients:layer2", "cross", "no 'cross'" },
        { "gradients:layer", "max", "did you mean layer" },
        { "gradients:layer2:f16:mean", "max", "f16 behind them" },
        { "gradients:layer2:mean:max", "max", "f16 behind them" },
        { "gradients:layer2,gradients:layer2:f16", NULL, "asked for twice" },
        { "features", "max", "no gradients are asked for" },
        { "features:f32", NULL, "no 'features:f32'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char what[300];
        graph *g = NULL;
        outputs to = { 0 };
        int rc = model_build(&g, model_find("resnet18"), 10);
        if (rc == 0) rc = outputs_add_dumps(&to, g, "resnet18", cases[i].dump, cases[i].scalar);
        snprintf(what, sizeof what, "--dump %s --scalar %s: %s", cases[i].dump,
                 cases[i].scalar != NULL ? cases[i].scalar : "(none)", rc < 0 ? err_text() : "accepted");
        check(cases[i].words == NULL ? rc == 0 : rc == ERR_USAGE && strstr(err_text(), cases[i].words) != NULL,
              "dumps", what);
        err_clear();
        outputs_clear(&to);
        graph_free(&g);
    }
}

int main(void)
{
    int fd = mkstemp(stats_path);
    if (fd < 0) return 1;
    close(fd);
    for (const model *const *m = models; *m != NULL; m++)
        on_network(*m);
    refusals();
    dumps();
    unlink(stats_path);
    printf("1..%d\n", test_number);
    return failures != 0;
}
