/* The CUDA backend as a plugin, outpost-cuda.so: one program serves machines with and without CUDA.
 * extract/ knows of it only what stands here; the plugin is extract/cuda/ and kernels/. */
#ifndef OUTPOST_PLUGIN_H
#define OUTPOST_PLUGIN_H

#include "kernels/table.h"

#include <stddef.h>
#include <stdint.h>

/* Raised whenever this header, extract/plan.h, extract/backend.h, op_args or the meaning of a kernel changes. */
enum { CUDA_PLUGIN_ABI = 5 };

/* What a failed call of the plugin means for the run. */
typedef enum cuda_fault {
    FAULT_NONE,
    FAULT_ABSENT,  /* no usable driver, library or device */
    FAULT_MEMORY,  /* out of GPU memory; the device works on, a smaller batch may fit */
    FAULT_CODE,    /* this build has no code for this device */
    FAULT_LOST,    /* the device or its context is lost: close, and redo elsewhere or in a new process */
    FAULT_REFUSED, /* a library refused our arguments: a defect of this program */
    FAULT_FAILED   /* anything else */
} cuda_fault;

struct plan; /* extract/plan.h, extract/backend.h */
struct backend_options;
struct batch_input;

typedef struct cuda_backend cuda_backend; /* one open device: its stream and library handles */
typedef struct cuda_network cuda_network; /* a plan compiled for it: extract/cuda/network.h */

/* Unless said otherwise functions return 0 or ERR_*, with the message recorded by err_set() in the
 * calling thread.  A backend serves one thread at a time. */
typedef struct cuda_plugin {
    uint32_t abi;
    const char *name;    /* "cuda" */
    const char *version; /* of the outpost it was built with */
    /* How many devices there are; ERR_ENV "no CUDA device: WHY" when none can be used. */
    int (*count)(int *devices);
    /* The libraries it was built with: "CUDA 13.0, cuDNN 9.19.0, cuBLAS 13.1.0". */
    void (*built)(char *text, size_t room);
    /* Versions, then a line per device or the reason why there is none; lines end in \n.  Never
     * fails: what cannot be found out is said so in the text. */
    void (*describe)(char *text, size_t room);
    /* Opens device 0.. and runs the self-test: known bytes must give known bits. */
    int (*open)(cuda_backend **out, int device);
    void (*close)(cuda_backend **be); /* memory still allocated is released with it */
    /* 256-byte aligned device memory, contents undefined. */
    int (*alloc)(cuda_backend *be, size_t bytes, void **mem);
    void (*release)(cuda_backend *be, void **mem); /* waits for queued work first */
    /* Pinned host memory, the only kind that copies overlap with compute from. */
    int (*alloc_host)(cuda_backend *be, size_t bytes, void **mem);
    void (*release_host)(cuda_backend *be, void **mem);
    /* Queued: both sides stay untouched until sync. */
    int (*upload)(cuda_backend *be, void *dst, const void *src, size_t bytes);
    int (*download)(cuda_backend *be, void *dst, const void *src, size_t bytes);
    int (*clear)(cuda_backend *be, void *dst, size_t bytes); /* zero bytes */
    /* Queues a kernel of kernels/table.def on device addresses; args->stream is ignored. */
    int (*run)(cuda_backend *be, int kernel, const op_args *args);
    int (*sync)(cuda_backend *be); /* waits; what queued work did wrong shows here */
    /* Compiles a dense plan for batches of o->batch images and runs it once.  p must outlive the
     * network; its weights are read here only.  FAULT_MEMORY: a smaller batch may fit. */
    int (*network_open)(cuda_network **out, cuda_backend *be, const struct plan *p,
                        const struct backend_options *o);
    void (*network_close)(cuda_network **net); /* before its device is closed */
    /* Queues up to o->batch images; `in` is copied, or read until waited for where it stays.  Two batches may be under way. */
    int (*network_submit)(cuda_network *net, const struct batch_input *in, size_t n);
    /* Outputs of the oldest of them: out[i] [n, count of p->outputs[i]]. */
    int (*network_wait)(cuda_network *net, float *const *out);
    /* Pinned memory that batches may stay in; release waits until no copy reads it. */
    int (*network_host_alloc)(cuda_network *net, size_t bytes, void **mem);
    void (*network_host_release)(cuda_network *net, void **mem);
    void (*network_describe)(const cuda_network *net, char *text, size_t room);
    size_t (*network_memory)(const cuda_network *net); /* bytes of the device */
    /* The kind of this thread's last failure, for callers that can act on it. */
    cuda_fault (*fault)(void);
} cuda_plugin;

/* What the program hands to the plugin.  The plugin has its own copy of common/, so its messages
 * come back through here. */
typedef struct cuda_host {
    int (*fail)(int code, const char *text); /* err_set in the program; returns code */
} cuda_host;

/* The plugin's one exported function; NULL when it does not speak this ABI. */
#define CUDA_PLUGIN_ENTRY "outpost_cuda_plugin"
typedef const cuda_plugin *cuda_plugin_entry(uint32_t abi, size_t args_size, int kernels,
                                             const cuda_host *host);

/* Loads the plugin, once per process: from $OUTPOST_PLUGIN_DIR when set, else from the directory of
 * the program or ../libexec/outpost beside it.  *out lives as long as the process.  ERR_ENV when it is
 * absent, does not load (a CUDA library is missing) or is of another build. */
int plugin_load(const cuda_plugin **out);

/* Another function that the plugin exports, NULL when there is none: score has its own
 * (score/linalg_backend.h).  What such an entry is given. */
void *plugin_symbol(const char *name);
const cuda_host *plugin_host(void);

/* Where the plugin is and what it was built with, then versions and devices as describe() has them; or the
 * reason why there is no plugin.  For --version: no device is opened. */
void plugin_describe(char *text, size_t room);

enum { DEVICES_MAX = 16 };
typedef struct device_list { /* GPUs that share the batches of a run, in this order */
    size_t n;
    int id[DEVICES_MAX];
} device_list;

/* Opens each device that "cuda", "cuda:N" or "cuda:N,M,..." names, self-test included: 0 when a run can use
 * them all.  They stay open for plugin_open().  ERR_USAGE for another name, ERR_ENV with the reason otherwise. */
int plugin_check(const char *text, device_list *devices);

/* The device that plugin_check opened last, if it is this one, else opened now.  The caller's to close.
 * One thread at a time. */
int plugin_open(const cuda_plugin **plugin, cuda_backend **out, int device);

/* "cuda" -> 0, "cuda:N" -> N.  ERR_USAGE for anything else. */
int plugin_parse_device(const char *text, int *device);
/* The same, and "cuda:N,M,..." -> N, M, ...; ERR_USAGE for one that is named twice. */
int plugin_parse_devices(const char *text, device_list *devices);

#endif
