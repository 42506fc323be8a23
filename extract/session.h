/* What `run` and `bench` share: a network ready to take images. */
#ifndef OUTPOST_SESSION_H
#define OUTPOST_SESSION_H

#include "extract/backend.h"
#include "extract/model.h"
#include "extract/plugin.h"
#include "extract/probes/probe.h"
#include "extract/weights.h"

typedef struct session_options {
    const char *model, *checkpoint, *device, *precision, *prep, *dump;
    const char *positions;   /* how positions of another grid are resampled: positions_find() */
    const char *const *taps; /* NAME[:mean|:sum|:max|:map][:f16] */
    size_t n_taps;
    const char *scalar;      /* of gradients in `dump`: outputs_add_dumps(); NULL: uniform */
    const char *const *probes; /* NAME[:key=value,...] */
    size_t n_probes;
    const char *stats;       /* file of statistics for probes, or NULL */
    int threads;
    size_t batch;
    const char *decode; /* who decodes images: cpu, gpu (the backend's kernels), auto; NULL: cpu */
} session_options;

typedef struct session {
    const model *m;
    int classes;
    weights *w;
    graph *g;
    prep prep;
    outputs out;             /* datasets and nodes, in the order of the plan's outputs */
    probe_set *probes;
    plan *p;
    const backend_def *backend;
    device_list devices;
    precision precision;
    positions_how positions;
    int records; /* batches are records: the backend's kernels decode */
    void *net;
    char about[1024];        /* what computes: "cpu fma f32" */
} session;

/* Everything before the first image: model, checkpoint reconciled, outputs, plan, backend. */
int session_open(session *s, const session_options *o);
void session_clear(session *s);
/* The model's /head: weight [C,D] and bias [C] as the checkpoint has them; NULL when there is none. */
const float *session_head(const session *s, int bias);
/* Threads this process may use: OMP_NUM_THREADS, SLURM_CPUS_PER_TASK, else its CPU affinity. */
int session_default_threads(void);
int precision_find(precision *out, const char *name);
const char *precision_name(precision p);

#endif
