/* What the probes' files share; nobody else includes it. */
#ifndef OUTPOST_PROBE_PARTS_H
#define OUTPOST_PROBE_PARTS_H

#include "common/args.h"
#include "extract/adjoint.h"
#include "extract/probes/probe.h"

typedef struct probe_stats probe_stats;

typedef struct image_gradient { /* of a scalar of the logits z with respect to the image x: computed once */
    int x, z;
    cotangent_kind kind;
    float temperature;
    int node;
} image_gradient;

typedef struct probe_shared { /* by the probes of one run */
    image_gradient *gradients;
    size_t n, room;
    probe_stats *stats;
} probe_shared;

struct probe_build {
    const probe_def *def;
    const char *value[PROBE_OPTS_MAX]; /* [i] belongs to def->opts[i]; never NULL while it builds */
    feature_type type;
    graph *g;
    const model *m;
    outputs *to;
    probe_shared *shared;
    json_t *options;                   /* resolved, as they are recorded */
};

/* ---- options: the name must be in the table ------------------------------------------------------- */
const char *probe_text(const probe_build *b, const char *key);
double probe_number(const probe_build *b, const char *key);
int probe_flag(const probe_build *b, const char *key);     /* the word is "yes" */
typedef struct probe_numbers {
    double v[PROBE_LIST_MAX];
    size_t n;
} probe_numbers;
int probe_list(const probe_build *b, const char *key, probe_numbers *out);

/* Records what a default was resolved to. */
void probe_record_list(const probe_build *b, const char *key, const args_list *words);

typedef struct probe_layers {
    const char *name[PROBE_LIST_MAX];
    int node[PROBE_LIST_MAX];
    int n;
} probe_layers;
/* The taps that option `key` names; "default": the ones of the table for this network. */
int probe_take_layers(const probe_build *b, const char *key, probe_layers *out);
/* One layer, likewise; "none" in *name leaves *at = -1. */
int probe_take_layer(const probe_build *b, const char *key, const char *def, const char **name, int *at);

/* Per-channel divisors of a perturbation: none, imagenet, cifar10, cifar100, half or R/G/B.  v[3] */
int probe_divisors(const probe_build *b, const char *key, float v[3]);

/* ---- the graph --------------------------------------------------------------------------------------- */
/* Gradient of a scalar of z with respect to the image x, computed once for all probes. */
int probe_image_gradient(probe_build *b, int x, int z, cotangent_kind kind, float temperature, int *out);
/* wanted[i] when the image x is x2 instead. */
int probe_again(probe_build *b, int x, int x2, const int *wanted, int n, int *out);

/* g_constant, or the constant of this name that another probe brought: a name stands for its values. */
int probe_constant(graph *g, const char *name, int rank, const int *dim, const float *values);

/* /probes/NAME/`path`.  own: what this dataset adds to the options in its attribute, taken over; may be NULL. */
int probe_add(probe_build *b, int at, reduction how, json_t *own, const char *path, ...)
    __attribute__((format(printf, 5, 6)));
/* As it was asked for: "0.0014", never more digits than tell two floats apart. */
const char *probe_digits(char buf[32], double v);

/* ---- the table of layers ----------------------------------------------------------------------------- */
typedef struct network_layers {
    const char *models;   /* joined by spaces */
    const char *nac;      /* NAC: models.md 8.1; joined by '/' */
    const char *blocks;   /* stem and blocks: gap, mahalanobis */
    const char *gram;
    const char *stem;     /* mdsens */
    const char *last, *earlier; /* rankfeat; NULL: none */
    const char *weights;  /* rankweight; NULL: none */
} network_layers;

/* The row of a network, NULL when there is none. */
const network_layers *layers_of(const model *m);

/* ---- statistics -------------------------------------------------------------------------------------- */
int probe_stats_open(probe_stats **out, const char *path);
void probe_stats_close(probe_stats **s);
json_t *probe_stats_json(const probe_stats *s);
/* Class means [classes,d] and precision [d,d] of a layer of width d as constants of g. */
int probe_stats_layer(const probe_stats *s, graph *g, const char *layer, int d, int *means, int *precision);

#endif
