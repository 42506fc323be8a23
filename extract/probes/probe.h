/* A probe: what can be computed only while the network is there, as more nodes of its graph (extract/adjoint.h).
 * One small file, one line in probes.c.  Its outputs are the datasets /probes/NAME/..., float32 or, on demand,
 * float16; the options are recorded in the provenance and beside every dataset.  What follows from features,
 * logits and taps offline is no probe but a method of `score`. */
#ifndef OUTPOST_PROBE_H
#define OUTPOST_PROBE_H

#include "extract/images/preprocess.h"
#include "extract/model.h"
#include "extract/outputs.h"

#include <jansson.h>

enum { PROBE_OPTS_MAX = 12, PROBE_LIST_MAX = 64 };

typedef struct probe_opt {
    const char *name, *def, *help;
    double min, max;   /* allowed numbers; min == max: none, any word unless `words` names them */
    const char *words; /* allowed words, joined by '|', besides numbers; NULL: any, where there are no numbers */
    int whole;         /* whole numbers only */
    int list;          /* several values, joined by '/' */
} probe_opt;

typedef struct probe_build probe_build; /* what a probe works on: extract/probes/parts.h */

typedef struct probe_def {
    const char *name;
    const char *about;   /* one line */
    const char *paper;
    const char *methods; /* of `score` that read it */
    const char *note;    /* where it departs from the paper or the code; may be NULL */
    const char *outputs; /* names and shapes below /probes/NAME/ */
    const probe_opt *opts;
    int (*build)(probe_build *b);
    /* The layers it takes from network m without options, joined by '/'; NULL: none are known. */
    const char *(*layers)(const model *m);
    int needs_stats;     /* --stats */
} probe_def;

extern const probe_def *const probes[]; /* NULL-terminated: extract/probes/probes.c */
/* ERR_USAGE with "did you mean". */
int probe_find(const probe_def **out, const char *name, size_t length);

typedef struct probe_set probe_set; /* the probes of one run, and what they share */

/* NAME[:key=value,...] each; `stats`: the file of --stats or NULL.  Appends to g and to the outputs. */
int probes_build(probe_set **out, outputs *to, graph *g, const model *m, const char *const *texts, size_t n,
                 const char *stats);
void probes_free(probe_set **s);
/* For the provenance: [{"name":.., "options":{..}}, ..], with the file of statistics where one was read. */
json_t *probes_json(const probe_set *s);

/* `extract probes`: all, or one with its options. */
int probes_print(const char *name);
/* The part of `extract models NAME`. */
void probes_print_model(const model *m);

#endif
