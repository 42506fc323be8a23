#include "extract/cuda/network.h"
#include "extract/cuda/tune.h"

#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ----------------------------------------------------------------------------------- */

static int take(cuda_network *net, size_t bytes, void *out)
{
    int rc = 0;
    void *mem = NULL;
    TRY(memory_alloc(net->be, bytes, 0, &mem));
    memcpy(out, &mem, sizeof mem);
    net->bytes += bytes;
done:
    return rc;
}

static int take_pinned(cuda_network *net, size_t bytes, void *out)
{
    int rc = 0;
    void *mem = NULL;
    TRY(memory_alloc(net->be, bytes, 1, &mem));
    memcpy(out, &mem, sizeof mem);
done:
    return rc;
}

static int make_slot(cuda_network *net, network_slot *s)
{
    int rc = 0;
    size_t rgb = net->image_bytes * net->d.batch, out = net->out_floats * sizeof(float);
    TRY(take_pinned(net, out, &s->out));
    TRY(take(net, rgb, &s->d_rgb));
    TRY(take(net, out, &s->d_out));
    CU(cuda.event_create(&s->uploaded, 0), "making a CUDA event");
    CU(cuda.event_create(&s->computed, 0), "making a CUDA event");
    CU(cuda.event_create(&s->downloaded, 0), "making a CUDA event");
done:
    return rc;
}

static int place_outputs(cuda_network *net)
{
    int rc = 0;
    const plan *p = net->d.p;
    TRY(mem_new(&net->out_at, p->n_outputs, sizeof *net->out_at, "outputs"));
    for (size_t i = 0; i < p->n_outputs; i++) {
        size_t n;
        net->out_at[i] = net->out_floats;
        TRY(mem_product(&n, p->outputs[i].count, net->d.batch, "outputs"));
        TRY(mem_sum(&net->out_floats, net->out_floats, (n + 63) / 64 * 64, "outputs"));
    }
done:
    return rc;
}

/* The widest demands of all steps, one after the other on one stream, share one workspace. */
static int prepare_steps(cuda_network *net)
{
    int rc = 0;
    const plan *p = net->d.p;
    size_t most = LINEAR_WORKSPACE;
    TRY(mem_new(&net->steps, p->n_steps, sizeof *net->steps, "network"));
    for (size_t i = 0; i < p->n_steps; i++) {
        TRY(step_prepare(&net->steps[i], &net->d, &p->steps[i]));
        if (net->steps[i].scratch > most) most = net->steps[i].scratch;
        net->bytes += net->steps[i].bytes;
    }
    TRY(take(net, most, &net->d.workspace));
    for (size_t i = 0; i < p->n_steps; i++) {
        size_t before = net->steps[i].bytes;
        TRY(step_bind(&net->steps[i], &net->d));
        net->bytes += net->steps[i].bytes - before;
    }
done:
    return rc;
}

static int upload_means(cuda_network *net, const prep *p)
{
    int rc = 0;
    float v[6];
    memcpy(v, p->mean, 3 * sizeof *v);
    memcpy(v + 3, p->std, 3 * sizeof *v);
    TRY(take(net, sizeof v, &net->means));
    TRY(memory_upload(net->be, net->means, v, sizeof v));
    TRY(device_sync(net->be));
done:
    return rc;
}

/* Queues the whole forward of a slot: bytes (or values) to outputs, all on the device. */
static int queue_forward(cuda_network *net, const network_slot *s, int from_values)
{
    int rc = 0;
    const plan *p = net->d.p;
    const float *k = net->means;
    for (size_t i = 0; i < p->n_steps; i++) {
        if (p->steps[i].op != OP_input) TRY(step_run(&net->steps[i], &net->d));
        else if (from_values) TRY(step_import(&net->steps[i], &net->d, net->d_values));
        else TRY(step_normalise(&net->steps[i], &net->d, s->d_rgb, k, k + 3));
    }
    for (size_t i = 0; i < p->n_outputs; i++)
        TRY(step_export(&net->d, &p->outputs[i], (float *)s->d_out + net->out_at[i]));
done:
    return rc;
}

/* A refusal to record is no reason to fail: the steps are queued one by one then. */
static int cannot_record(void)
{
    cuda_fault kind = cuda_fault_now();
    return kind == FAULT_FAILED || kind == FAULT_REFUSED;
}

static int record(cuda_network *net, network_slot *s)
{
    int rc = 0, queued;
    CU(cuda.capture_begin(net->be->stream), "recording the network");
    queued = queue_forward(net, s, 0);
    rc = cuda_status(LIB_CUDA, cuda.capture_end(net->be->stream, &s->graph),
                     "recording the network");
    if (queued < 0) rc = queued;
    if (rc < 0) goto done;
    CU(cuda.graph_make(&s->ready, s->graph), "making the recorded network ready");
done:
    return rc;
}

/* Once step by step, which loads all code, then recorded for each slot. */
static int warm_up(cuda_network *net)
{
    int rc = 0;
    const char *ask = getenv("OUTPOST_CUDA_GRAPHS");
    network_slot *s = net->slot;
    TRY(memory_clear(net->be, s->d_rgb, net->image_bytes * net->d.batch));
    TRY(queue_forward(net, s, 0));
    TRY(device_sync(net->be));
    net->records = ask == NULL || strcmp(ask, "0") != 0;
    for (int i = 0; net->records && i < NETWORK_SLOTS; i++) {
        rc = record(net, &net->slot[i]);
        if (rc < 0 && cannot_record()) {
            net->records = rc = 0;
            err_clear();
            cuda_fault_set(FAULT_NONE);
        }
        if (rc < 0) goto done;
    }
done:
    return rc;
}

int network_open(cuda_network **out, cuda_backend *be, const plan *p, const backend_options *o)
{
    int rc = 0;
    size_t arena;
    cuda_network *net = NULL;
    TRY(device_use(be));
    TRY(mem_new(&net, 1, sizeof *net, "network"));
    net->be = be;
    TRY(device_plan_init(&net->d, be, p, o->precision, o->batch));
    net->image_bytes = (size_t)o->prep->out_h * (size_t)o->prep->out_w * 3;
    net->image_values = net->image_bytes;
    TRY(mem_product(&arena, p->arena / DEVICE_UNIT, net->d.unit, "activations"));
    TRY(take(net, arena, &net->d.arena));
    TRY(memory_clear(be, net->d.arena, arena));
    TRY(take(net, LINEAR_WORKSPACE, &net->d.blas_workspace));
    BLAS(cuda.blas_set_workspace(be->blas, net->d.blas_workspace, LINEAR_WORKSPACE),
         "giving cuBLAS its workspace");
    TRY(place_outputs(net));
    TRY(upload_means(net, o->prep));
    TRY(prepare_steps(net));
    if (tune_wanted()) TRY(tune_graphs(&net->d, net->steps));
    CU(cuda.stream_create(&net->up), "making a CUDA stream");
    CU(cuda.stream_create(&net->down), "making a CUDA stream");
    for (int i = 0; i < NETWORK_SLOTS; i++)
        TRY(make_slot(net, &net->slot[i]));
    if (o->records) TRY(decode_open(&net->decode, be, o));
    net->bytes += net->decode.bytes;
    TRY(warm_up(net));
    *out = net;
    net = NULL;
done:
    network_close(&net);
    return rc;
}

/* ---- closing ----------------------------------------------------------------------------------- */

static void free_slot(cuda_network *net, network_slot *s)
{
    void *rgb = s->rgb, *out = s->out;
    if (s->ready != NULL) (void)cuda.graph_free_ready(s->ready);
    if (s->graph != NULL) (void)cuda.graph_free(s->graph);
    if (s->uploaded != NULL) (void)cuda.event_destroy(s->uploaded);
    if (s->computed != NULL) (void)cuda.event_destroy(s->computed);
    if (s->downloaded != NULL) (void)cuda.event_destroy(s->downloaded);
    memory_release(net->be, &rgb);
    memory_release(net->be, &out);
    memory_release(net->be, &s->d_rgb);
    memory_release(net->be, &s->d_out);
}

void network_close(cuda_network **out)
{
    cuda_network *net = *out;
    void *values;
    if (net == NULL) return;
    (void)cuda.set_device(net->be->device);
    if (net->up != NULL) (void)cuda.stream_sync(net->up);
    if (net->be->stream != NULL) (void)cuda.stream_sync(net->be->stream);
    if (net->down != NULL) (void)cuda.stream_sync(net->down);
    for (int i = 0; i < NETWORK_SLOTS; i++)
        free_slot(net, &net->slot[i]);
    for (size_t i = 0; net->steps != NULL && i < net->d.p->n_steps; i++)
        step_clear(&net->steps[i], &net->d);
    if (net->up != NULL) (void)cuda.stream_destroy(net->up);
    if (net->down != NULL) (void)cuda.stream_destroy(net->down);
    if (net->d.blas_workspace != NULL) (void)cuda.blas_set_workspace(net->be->blas, NULL, 0);
    decode_close(&net->decode);
    values = net->values;
    memory_release(net->be, &values);
    memory_release(net->be, &net->d_values);
    memory_release(net->be, &net->d.arena);
    memory_release(net->be, &net->d.workspace);
    memory_release(net->be, &net->d.blas_workspace);
    memory_release(net->be, &net->means);
    device_plan_clear(&net->d);
    (void)cuda.last_error();
    free(net->steps);
    free(net->out_at);
    free(net);
    *out = NULL;
}

/* ---- running ----------------------------------------------------------------------------------- */

/* The network over a slot's images, black ones behind the n that there are. */
static int start(cuda_network *net, network_slot *s, size_t n)
{
    int rc = 0;
    size_t used = n * net->image_bytes, all = net->d.batch * net->image_bytes;
    if (used < all)
        CU(cuda.fill((char *)s->d_rgb + used, 0, all - used, net->be->stream), "clearing GPU memory");
    if (net->records) CU(cuda.graph_launch(s->ready, net->be->stream), "starting the network");
    else TRY(queue_forward(net, s, 0));
done:
    return rc;
}

/* Bytes to the device on a stream of their own, then the forward behind them. */
static int submit_images(cuda_network *net, network_slot *s, const batch_input *in, size_t n)
{
    int rc = 0;
    size_t used = n * net->image_bytes;
    const uint8_t *rgb = in->rgb;
    if (!in->stays) {
        if (s->rgb == NULL) TRY(take_pinned(net, net->image_bytes * net->d.batch, &s->rgb));
        memcpy(s->rgb, rgb, used);
        rgb = s->rgb;
    }
    CU(cuda.copy_in(s->d_rgb, rgb, used, net->up), "copying images to the GPU");
    CU(cuda.event_record(s->uploaded, net->up), "copying images to the GPU");
    CU(cuda.event_wait(net->be->stream, s->uploaded), "copying images to the GPU");
    TRY(start(net, s, n));
done:
    return rc;
}

static int submit_records(cuda_network *net, network_slot *s, const batch_input *in, size_t n)
{
    int rc = 0;
    TRY(decode_queue(&net->decode, net->next, in->records, in->first, n, net->up, s->uploaded, s->d_rgb));
    TRY(start(net, s, n));
done:
    return rc;
}

static int submit_values(cuda_network *net, network_slot *s, const float *values, size_t n)
{
    int rc = 0;
    size_t used = n * net->image_values, all = net->d.batch * net->image_values;
    if (net->values == NULL) TRY(take_pinned(net, all * sizeof(float), &net->values));
    if (net->d_values == NULL) TRY(take(net, all * sizeof(float), &net->d_values));
    TRY(device_sync(net->be)); /* one staging for both slots */
    memcpy(net->values, values, used * sizeof(float));
    memset(net->values + used, 0, (all - used) * sizeof(float));
    CU(cuda.copy_in(net->d_values, net->values, all * sizeof(float), net->be->stream),
       "copying values to the GPU");
    TRY(queue_forward(net, s, 1));
done:
    return rc;
}

int network_submit(cuda_network *net, const batch_input *in, size_t n)
{
    int rc = 0;
    const plan *p = net->d.p;
    network_slot *s = &net->slot[net->next];
    CHECK(s->n == 0, ERR_INTERNAL, "more than %d batches under way", NETWORK_SLOTS);
    CHECK(n > 0 && n <= net->d.batch, ERR_INTERNAL, "a batch of %zu images, made for %zu", n,
          net->d.batch);
    TRY(device_use(net->be));
    if (in->records != NULL) TRY(submit_records(net, s, in, n));
    else if (in->rgb != NULL) TRY(submit_images(net, s, in, n));
    else TRY(submit_values(net, s, in->values, n));
    CU(cuda.event_record(s->computed, net->be->stream), "running the network");
    CU(cuda.event_wait(net->down, s->computed), "running the network");
    for (size_t i = 0; i < p->n_outputs; i++)
        CU(cuda.copy_out(s->out + net->out_at[i], (float *)s->d_out + net->out_at[i],
                         n * p->outputs[i].count * sizeof(float), net->down),
           "copying outputs from the GPU");
    CU(cuda.event_record(s->downloaded, net->down), "copying outputs from the GPU");
    s->n = n;
    net->next = (net->next + 1) % NETWORK_SLOTS;
done:
    return rc;
}

int network_wait(cuda_network *net, float *const *out)
{
    int rc = 0;
    const plan *p = net->d.p;
    network_slot *s = &net->slot[net->oldest];
    CHECK(s->n > 0, ERR_INTERNAL, "no batch is under way");
    TRY(device_use(net->be));
    CU(cuda.event_sync(s->downloaded), "waiting for the network");
    for (size_t i = 0; i < p->n_outputs; i++)
        memcpy(out[i], s->out + net->out_at[i], s->n * p->outputs[i].count * sizeof(float));
    s->n = 0;
    net->oldest = (net->oldest + 1) % NETWORK_SLOTS;
done:
    return rc;
}

int network_host_alloc(cuda_network *net, size_t bytes, void **mem)
{
    return memory_alloc(net->be, bytes, 1, mem);
}

void network_host_release(cuda_network *net, void **mem)
{
    (void)cuda.set_device(net->be->device);
    (void)cuda.stream_sync(net->up);
    (void)cuda.stream_sync(net->be->stream);
    (void)cuda.last_error();
    memory_release(net->be, mem);
}

void network_describe(const cuda_network *net, char *text, size_t room)
{
    static const char *const types[] = {"f32", "tf32", "bf16", "f16"};
    size_t dnn = cuda.dnn_version(), lt = cuda.lt_version();
    char fused[32] = "";
    if (net->d.type != ELEMENT_F32 && net->d.attentions > 0)
        snprintf(fused, sizeof fused, " sdpa %d/%d", net->d.fused, net->d.attentions);
    snprintf(text, room, "cuda %s %s b%zu cudnn %zu.%zu.%zu cublas %zu.%zu.%zu%s%s",
             net->be->facts.name, types[net->d.precision], net->d.batch, dnn / 10000,
             dnn / 100 % 100, dnn % 100, lt / 10000, lt / 100 % 100, lt % 100, fused,
             net->d.tuned ? " tuned" : "");
}

size_t network_memory(const cuda_network *net)
{
    return net->bytes;
}
