/* A network with weights that any program can generate, of whose graph a test makes more: build, add nodes, bind,
 * then run on a backend. */
#ifndef OUTPOST_TESTS_HASH_NETWORK_H
#define OUTPOST_TESTS_HASH_NETWORK_H

#include "common/err.h"
#include "common/mem.h"
#include "extract/adjoint.h"
#include "extract/backend.h"
#include "extract/model.h"
#include "extract/plugin.h"
#include "tests/lib/hash_golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HASH_BATCH = 2, HASH_OUTPUTS = 64 };

typedef struct hash_network {
    char name[64];          /* "swin_t@200": another input side than the network's own */
    const model *m;
    double gain;            /* of rank 4 weights */
    int side;
    graph *g;
    weights *w;
    plan_request requests[HASH_OUTPUTS];
    size_t n_requests;
    size_t count[HASH_OUTPUTS]; /* of one image; set by a run */
} hash_network;

static inline int hash_network_build(hash_network *s)
{
    int rc = 0;
    char net[64];
    snprintf(net, sizeof net, "%.*s", (int)strcspn(s->name, "@"), s->name);
    s->m = model_find(net);
    CHECK(s->m != NULL, ERR_INTERNAL, "no such network");
    if (s->side == 0) s->side = s->m->prep.side;
    TRY(model_build_as(&s->g, s->m, s->m->classes, s->side, 0));
done:
    return rc;
}

static inline int hash_network_bind(hash_network *s)
{
    int rc = 0, fd;
    char file[64] = "/tmp/outpost-network-XXXXXX";
    fd = mkstemp(file);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot be made", file);
    TRY(graph_check(s->g));
    TRY(hash_write_weights(file, s->g, s->m->key_layouts, s->gain));
    TRY(weights_open(&s->w, file));
    TRY(weights_choose(s->w, s->m, s->side));
    TRY(weights_bind(s->w, s->m, s->g));
done:
    if (fd >= 0) {
        close(fd);
        unlink(file);
    }
    return rc;
}

/* HASH_BATCH images by hash -> out[i], which are the caller's to free. */
static inline int hash_network_run(hash_network *s, const char *device, float **out)
{
    int rc = 0;
    device_list devices;
    const backend_def *b;
    prep p = { .std = { 1, 1, 1 }, .out_h = s->side, .out_w = s->side };
    const backend_options o = { .precision = PRECISION_FP32, .threads = 2, .batch = HASH_BATCH, .prep = &p };
    plan *made = NULL;
    void *net = NULL;
    float *x = NULL;
    TRY(backend_find(&b, &devices, device));
    TRY(plan_build(&made, s->g, s->w, s->requests, s->n_requests, b->wants_dense(PRECISION_FP32)));
    TRY(b->open(&net, made, &o));
    TRY(mem_new(&x, (size_t)(HASH_BATCH * 3 * s->side * s->side), sizeof *x, "input"));
    hash_input(x, HASH_BATCH, s->side);
    for (size_t i = 0; i < s->n_requests; i++) {
        s->count[i] = made->outputs[i].count;
        TRY(mem_new(&out[i], s->count[i] * HASH_BATCH, sizeof(float), "outputs"));
    }
    TRY(b->forward(net, &(batch_input){ .values = x }, HASH_BATCH, out));
done:
    if (net != NULL) b->close(&net);
    plan_free(&made);
    free(x);
    return rc;
}

static inline void hash_network_clear(hash_network *s)
{
    weights_close(&s->w);
    graph_free(&s->g);
}

#endif
