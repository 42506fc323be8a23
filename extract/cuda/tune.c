#include "extract/cuda/tune.h"

#include "common/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 5, LINE = 512 };

static const char *file_name(void)
{
    const char *name = secure_getenv("OUTPOST_CUDNN_TUNE");
    return name != NULL && name[0] != '\0' ? name : NULL;
}

int tune_wanted(void)
{
    return file_name() != NULL;
}

/* What a line begins with: everything that the choice depends on. */
static void title(const device_plan *d, const conv_graph *g, char text[LINE])
{
    char key[160];
    conv_key_text(&g->key, key, sizeof key);
    snprintf(text, LINE, "%s | cudnn %zu | %s | ", d->be->facts.name, cuda.dnn_version(), key);
}

/* The candidate that the file names for this graph, -1: none. */
static int known(FILE *f, const device_plan *d, const conv_graph *g)
{
    char line[LINE + 64], begin[LINE];
    int found = -1;
    title(d, g, begin);
    rewind(f);
    while (fgets(line, sizeof line, f) != NULL) {
        int candidate;
        long long engine;
        if (strncmp(line, begin, strlen(begin)) != 0) continue;
        if (sscanf(line + strlen(begin), "%d engine %lld", &candidate, &engine) == 2 &&
            candidate >= 0 && candidate < g->n_plans && g->plans[candidate].engine == engine)
            found = candidate;
    }
    return found;
}

/* Milliseconds of one run: the least of RUNS, after one to warm up. */
static int time_plan(conv_graph *g, const device_plan *d, const device_step *t, void *from,
                     void *to, float *best)
{
    int rc = 0;
    device_view x = device_view_of(d, t->s->x[0]), y = device_view_of(d, t->s->y), r = {.p = NULL};
    if (t->s->residual >= 0) r = device_view_of(d, t->s->residual);
    for (int i = 0; i <= RUNS; i++) {
        float ms = 0;
        CU(cuda.event_record(from, d->be->stream), "timing a convolution");
        TRY(conv_graph_run(g, d->be->dnn, x.p, t->w, t->b, r.p, y.p, d->workspace));
        CU(cuda.event_record(to, d->be->stream), "timing a convolution");
        CU(cuda.event_sync(to), "timing a convolution");
        CU(cuda.event_elapsed(&ms, from, to), "timing a convolution");
        if (i == 1 || (i > 1 && ms < *best)) *best = ms;
    }
done:
    return rc;
}

static int choose(conv_graph *g, const device_plan *d, const device_step *t, void *from, void *to,
                  int *chosen)
{
    int rc = 0;
    float least = 0;
    *chosen = 0;
    for (int i = 0; i < g->n_plans; i++) {
        float ms = 0;
        g->chosen = i;
        TRY(time_plan(g, d, t, from, to, &ms));
        if (i == 0 || ms < least) {
            least = ms;
            *chosen = i;
        }
    }
done:
    return rc;
}

/* A step that the graph belongs to. */
static const device_step *step_of(const device_plan *d, const device_step *steps,
                                  const conv_graph *g)
{
    for (size_t i = 0; i < d->p->n_steps; i++)
        if (steps[i].conv == g && steps[i].stage == 0 && steps[i].wide == 0) return &steps[i];
    return NULL;
}

int tune_graphs(device_plan *d, device_step *steps)
{
    int rc = 0;
    const char *name = file_name();
    void *from = NULL, *to = NULL;
    FILE *f = fopen(name, "a+");
    CHECK(f != NULL, ERR_ENV, "OUTPOST_CUDNN_TUNE=%s: %s", name, strerror(errno));
    CU(cuda.event_create(&from, 1), "making a CUDA event");
    CU(cuda.event_create(&to, 1), "making a CUDA event");
    for (size_t i = 0; i < d->n_graphs; i++) {
        conv_graph *g = d->graphs[i];
        const device_step *t = step_of(d, steps, g);
        int chosen = known(f, d, g);
        char begin[LINE];
        if (chosen < 0 && t != NULL) {
            TRY(choose(g, d, t, from, to, &chosen));
            title(d, g, begin);
            CHECK(fseek(f, 0, SEEK_END) == 0 &&
                      fprintf(f, "%s%d engine %lld\n", begin, chosen,
                              (long long)g->plans[chosen].engine) > 0 &&
                      fflush(f) == 0,
                  ERR_ENV, "OUTPOST_CUDNN_TUNE=%s: %s", name, strerror(errno));
        }
        g->chosen = chosen < 0 ? 0 : chosen;
    }
    d->tuned = 1;
done:
    if (from != NULL) (void)cuda.event_destroy(from);
    if (to != NULL) (void)cuda.event_destroy(to);
    if (f != NULL) fclose(f);
    return rc;
}
