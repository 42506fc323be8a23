/* `-d cuda`: the plugin's network as a backend of this program.  Where a batch does not fit the
 * device's memory, the network is made for half of it, once, and each batch goes through in two parts. */
#include "extract/backend_cuda.h"
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
    int device;
    size_t asked, batch;  /* images of a call, and of the device's network */
    size_t image;         /* bytes, and values, of one input */
    size_t queued[DEPTH]; /* images of the batches under way, oldest first */
    size_t n_queued;
    float **out; /* [outputs] where a part's rows begin */
    void **plain; /* memory for batches that could not be pinned */
    size_t n_plain, plain_room;
} cuda_net;

static void net_close(void **out)
{
    cuda_net *n = *out;
    if (n == NULL) return;
    if (n->net != NULL) n->plugin->network_close(&n->net);
    if (n->be != NULL) n->plugin->close(&n->be);
    for (size_t i = 0; i < n->n_plain; i++)
        free(n->plain[i]);
    free(n->plain);
    free(n->out);
    free(n);
    *out = NULL;
}

/* Opens the network for `part` images; with 0 for the whole batch or, on too little memory, once more for
 * half of it. */
static int open_network(cuda_net *n, const backend_options *asked, size_t part)
{
    int rc = 0;
    backend_options o = *asked;
    if (part > 0) o.batch = part;
    rc = n->plugin->network_open(&n->net, n->be, n->p, &o);
    if (rc < 0 && part == 0 && n->plugin->fault() == FAULT_MEMORY && o.batch > 1) {
        o.batch = (o.batch + 1) / 2;
        log_warn("cuda:%d: %s; going on with batches of %zu", n->device, err_text(), o.batch);
        err_clear();
        rc = n->plugin->network_open(&n->net, n->be, n->p, &o);
    }
    n->batch = o.batch;
    return rc;
}

int cuda_net_open(void **out, const plan *p, const backend_options *o, int device, size_t part)
{
    int rc = 0;
    void *made = NULL;
    cuda_net *n;
    TRY(mem_new(&made, 1, sizeof *n, "network"));
    n = made;
    n->p = p;
    n->device = device;
    n->asked = o->batch;
    n->image = (size_t)o->prep->out_h * (size_t)o->prep->out_w * 3;
    TRY(mem_new(&n->out, p->n_outputs, sizeof *n->out, "network"));
    TRY(plugin_open(&n->plugin, &n->be, device));
    TRY(open_network(n, o, part));
    *out = made;
    made = NULL;
done:
    net_close(&made);
    return rc;
}

size_t cuda_net_batch(const void *net)
{
    const cuda_net *n = net;
    return n->batch;
}

static int net_open(void **out, plan *p, const backend_options *o)
{
    int rc = cuda_net_open(out, p, o, o->n_devices > 0 ? o->devices[0] : 0, 0);
    if (rc == 0) plan_drop_weights(p); /* they are on the device now */
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
                                  .values = in->values != NULL ? in->values + at * n->image : NULL,
                                  .records = in->records,
                                  .first = in->first + at,
                                  .stays = in->stays};
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

/* Copies from ordinary memory are slower, and no reason to fail. */
static int net_host_alloc(void *net, size_t bytes, void **mem)
{
    int rc = 0;
    cuda_net *n = net;
    rc = n->plugin->network_host_alloc(n->net, bytes, mem);
    if (rc == 0 || n->plugin->fault() != FAULT_MEMORY) return rc;
    if (n->n_plain == 0) log_warn("%s; going on with memory that is not pinned", err_text());
    err_clear();
    rc = 0;
    TRY(mem_grow(&n->plain, &n->plain_room, n->n_plain + 1, sizeof *n->plain, "batch of images"));
    TRY(mem_new_aligned(mem, bytes, 1, "batch of images"));
    n->plain[n->n_plain++] = *mem;
done:
    return rc;
}

static void net_host_release(void *net, void **mem)
{
    cuda_net *n = net;
    size_t i = 0;
    void *none = NULL;
    while (i < n->n_plain && n->plain[i] != *mem)
        i++;
    n->plugin->network_host_release(n->net, i < n->n_plain ? &none : mem); /* waits in both cases */
    if (i == n->n_plain) return;
    free(*mem);
    *mem = NULL;
    n->plain[i] = n->plain[--n->n_plain];
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
    return 1;
}

const backend_def backend_cuda = {"cuda",     wants_dense, net_open,   net_forward, net_describe,
                                  net_memory, net_close,   net_submit, net_wait,    net_depth,
                                  net_host_alloc, net_host_release};
