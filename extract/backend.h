/* The device interface: all that extract/ knows of a processor.
 * A backend compiles a plan into its own network and runs batches of decoded images through it; it
 * is free in layout, threads and precision as long as the outputs of an image do not depend on what
 * else is in the batch. */
#ifndef OUTPOST_BACKEND_H
#define OUTPOST_BACKEND_H

#include "extract/plan.h"
#include "extract/images/preprocess.h"
#include "kernels/record.h"

#include <stdint.h>

typedef enum precision { PRECISION_FP32, PRECISION_TF32, PRECISION_BF16, PRECISION_FP16 } precision;

struct device_list; /* extract/plugin.h */

typedef struct backend_options {
    precision precision;
    const int *devices; /* cuda: which GPUs share the batches; NULL: the first */
    size_t n_devices;
    int threads;       /* cpu: worker threads */
    size_t batch;      /* most images of one forward call */
    const prep *prep;  /* input size, mean and std */
    int records;       /* whether batches may be records */
} backend_options;

typedef struct batch_input { /* one of the three */
    const uint8_t *rgb;          /* [n,h,w,3] decoded bytes, normalised by the backend */
    const float *values;         /* [n,3,h,w] taken as they are: changed inputs, golden vectors */
    const record_batch *records; /* images `first` and on, which the backend's kernels decode; what
                                    record_layout() sets is the backend's.  They stay, and no image of
                                    them is handed in again before the batch was waited for. */
    size_t first;
    int stays; /* rgb stays as it is until the batch was waited for: best in memory of host_alloc */
} batch_input;

typedef struct backend_def {
    const char *name; /* "cpu", "cuda", "ref" */
    int (*wants_dense)(precision p); /* the kind of plan it takes: bits of plan_kind */
    /* Packs the weights of p; p stays the caller's and must outlive the network. */
    int (*open)(void **net, plan *p, const backend_options *o);
    /* n images -> out[i] [n, count of p->outputs[i]], f32, maps as [c,h,w]. */
    int (*forward)(void *net, const batch_input *in, size_t n, float *const *out);
    /* What decides the rounding, for the provenance: "cpu fma f32". */
    void (*describe)(const void *net, char *text, size_t room);
    size_t (*memory)(const void *net); /* bytes held */
    void (*close)(void **net);
    /* Of backends that work beside their caller, else NULL.  submit queues a batch and needs nothing of
     * `in` afterwards but what stays; at most depth(net) are under way.  wait gives the outputs of the oldest. */
    int (*submit)(void *net, const batch_input *in, size_t n);
    int (*wait)(void *net, float *const *out);
    size_t (*depth)(const void *net);
    /* Memory for batches that it takes without copying, of backends that have such, else NULL.  release
     * waits until nothing under way reads it. */
    int (*host_alloc)(void *net, size_t bytes, void **mem);
    void (*host_release)(void *net, void **mem);
} backend_def;

extern const backend_def backend_cpu, backend_ref, backend_cuda, backend_several;
/* "cpu", "cuda", "cuda:1", "cuda:0,1", "ref" -> backend and device numbers.  ERR_USAGE for another
 * name and for a device that is named twice, ERR_ENV with the reason when a device is not there. */
int backend_find(const backend_def **out, struct device_list *devices, const char *name);

/* t = u8 / 255 as a true division, then (t - mean) / std, each rounded to f32: what torchvision's
 * ToTensor and Normalize give (models.md section 9). */
void backend_normalise_table(float table[3][256], const prep *p);

#endif
