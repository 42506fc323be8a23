/* `-d cuda`: the plugin's network as a backend of this program.  Where a batch does not fit the
 * device's memory, the network is made for half of it, once, and each batch goes through in two parts. */
#include "extract/backend.h"
#include "extract/plugin.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdlib.h>

enum { DEPTH = 2 };

typedef struct cuda_net {
    const cuda_plugin *plugin;
    cuda_backend *be;
    cuda_network *net;
    const plan *p;
    size_t asked, batch;  /* images of a call, and of the device's network */
    size_t image;         /* bytes, and values, of one input */
    size_t queued[DEPTH]; /* images of the batches under way, oldest first */
    size_t n_queued;
    float **out; /* [outputs] where a part's rows begin */
} cuda_net;

static void net_close(void **out)
{
    cuda_net *n = *out;
    if (n == NULL) return;
    if (n->net != NULL) n->plugin->network_close(&n->net);
    if (n->be != NULL) n->plugin->close(&n->be);
    free(n->out);
    free(n);
    *out = NULL;
}

/* Opens the network; on too little memory once more for half the batch. */
static int open_network(cuda_net *n, const backend_options *asked)
{
    int rc = 0;
    backend_options o = *asked;
    rc = n->plugin->network_open(&n->net, n->be, n->p, &o);
    if (rc < 0 && n->plugin->fault() == FAULT_MEMORY && o.batch > 1) {
        o.batch = (o.batch + 1) / 2;
        log_warn("%s; going on with batches of %zu", err_text(), o.batch);
        err_clear();
        rc = n->plugin->network_open(&n->net, n->be, n->p, &o);
    }
    n->batch = o.batch;
    return rc;
}

static size_t values_of(shape s)
{
    return (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static int net_open(void **out, plan *p, const backend_options *o)
{
    int rc = 0;
    void *made = NULL;
    cuda_net *n;
    TRY(mem_new(&made, 1, sizeof *n, "network"));
    n = made;
    n->p = p;
    n->asked = o->batch;
    for (size_t i = 0; i < p->n_steps; i++)
        if (p->steps[i].op == OP_input) n->image = values_of(p->tensors[p->steps[i].y].s);
    TRY(mem_new(&n->out, p->n_outputs, sizeof *n->out, "network"));
    TRY(plugin_open(&n->plugin, &n->be, o->device));
    TRY(open_network(n, o));
    plan_drop_weights(p); /* they are on the device now */
    *out = made;
    made = NULL;
done:
    net_close(&made);
    return rc;
}

static size_t net_depth(const void *net)
{
    const cuda_net *n = net;
    return n->batch < n->asked ? 1 : DEPTH;
}

static int net_submit(void *net, const batch_input *in, size_t images)
{
    int rc = 0;
    cuda_net *n = net;
    CHECK(n->n_queued < net_depth(n), ERR_INTERNAL, "%zu batches are under way", n->n_queued);
    for (size_t at = 0; at < images; at += n->batch) {
        size_t take = images - at < n->batch ? images - at : n->batch;
        const batch_input part = {.rgb = in->rgb != NULL ? in->rgb + at * n->image : NULL,
                                  .values = in->rgb == NULL ? in->values + at * n->image : NULL};
        TRY(n->plugin->network_submit(n->net, &part, take));
    }
    n->queued[n->n_queued++] = images;
done:
    return rc;
}

static int net_wait(void *net, float *const *out)
{
    int rc = 0;
    cuda_net *n = net;
    size_t images = n->queued[0];
    CHECK(n->n_queued > 0, ERR_INTERNAL, "no batch is under way");
    for (size_t at = 0; at < images; at += n->batch) {
        for (size_t i = 0; i < n->p->n_outputs; i++)
            n->out[i] = out[i] + at * n->p->outputs[i].count;
        TRY(n->plugin->network_wait(n->net, n->out));
    }
    n->queued[0] = n->queued[1];
    n->n_queued--;
done:
    return rc;
}

static int net_forward(void *net, const batch_input *in, size_t images, float *const *out)
{
    int rc = net_submit(net, in, images);
    return rc < 0 ? rc : net_wait(net, out);
}

static void net_describe(const void *net, char *text, size_t room)
{
    const cuda_net *n = net;
    n->plugin->network_describe(n->net, text, room);
}

static size_t net_memory(const void *net)
{
    const cuda_net *n = net;
    return n->plugin->network_memory(n->net);
}

static int wants_dense(precision p)
{
    (void)p;
    return PLAN_DENSE | PLAN_GRADIENTS;
}

const backend_def backend_cuda = {"cuda",     wants_dense, net_open,   net_forward, net_describe,
                                  net_memory, net_close,   net_submit, net_wait,    net_depth};
