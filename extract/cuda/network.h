/* A network on the device: the steps of a dense plan over one arena, for batches of one fixed size.
 * A short batch is filled up with black images, so that every image meets the same kernels.
 * The forward of a batch is recorded once as a CUDA graph; two slots of pinned memory let the upload,
 * the compute and the download of neighbouring batches overlap. */
#ifndef OUTPOST_CUDA_NETWORK_H
#define OUTPOST_CUDA_NETWORK_H

#include "extract/backend.h"
#include "extract/cuda/decode.h"
#include "extract/cuda/steps.h"

enum { NETWORK_SLOTS = DECODE_SLOTS };

typedef struct network_slot {
    uint8_t *rgb; /* pinned [batch,h,w,3], for bytes that do not stay; made when needed */
    void *d_rgb;
    float *out; /* pinned, the outputs one behind another: [batch,count] each */
    void *d_out;
    void *uploaded, *computed, *downloaded; /* events */
    void *graph, *ready; /* recorded, and made ready to launch; NULL: run step by step */
    size_t n;            /* images under way; 0: free */
} network_slot;

struct cuda_network {
    cuda_backend *be;
    device_plan d;
    device_step *steps; /* [plan steps] */
    void *means;        /* mean and std [3] each, f32 */
    size_t image_bytes, image_values;
    size_t *out_at; /* [outputs] first float of each in a slot's outputs */
    size_t out_floats;
    void *up, *down; /* streams of the copies */
    network_slot slot[NETWORK_SLOTS];
    cuda_decode decode; /* for batches of records */
    int next, oldest; /* slots to fill and to wait for */
    float *values;    /* pinned [batch,3,h,w], for inputs that are no images; made when needed */
    void *d_values;
    size_t bytes; /* device memory held */
    int records;  /* graphs are used */
};

/* Compiles p and runs it once.  Weights of p are read, not kept.  Failing for want of memory leaves
 * cuda_fault_now() FAULT_MEMORY. */
int network_open(cuda_network **out, cuda_backend *be, const plan *p, const backend_options *o);
void network_close(cuda_network **net);
/* Queues n <= batch images; `in` is copied, or read until network_wait where it stays.  At most NETWORK_SLOTS are under way. */
int network_submit(cuda_network *net, const batch_input *in, size_t n);
/* Outputs of the oldest: out[i] [n,count]. */
int network_wait(cuda_network *net, float *const *out);
/* Pinned memory that batches may stay in; release waits until no copy reads it. */
int network_host_alloc(cuda_network *net, size_t bytes, void **mem);
void network_host_release(cuda_network *net, void **mem);
void network_describe(const cuda_network *net, char *text, size_t room);
size_t network_memory(const cuda_network *net);

#endif
