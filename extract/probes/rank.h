/* What RankFeat and RankWeight share. */
#ifndef OUTPOST_PROBE_RANK_H
#define OUTPOST_PROBE_RANK_H

#include "extract/probes/parts.h"

#define RANK_OPTS                                                                                  \
    { .name = "svd", .def = "exact", .words = "exact|power",                                        \
      .help = "exact, or power iterations from a random start that all images share" },             \
    { .name = "iterations", .def = "20", .min = 1, .max = 10000, .whole = 1, .help = "of svd=power" }, \
    { .name = "seed", .def = "0", .min = 0, .max = 9007199254740992.0, .whole = 1,                   \
      .help = "of the start of svd=power; the published code has none" }

/* Map x without its largest singular component, by the options svd, iterations and seed. */
int rank_deflated(probe_build *b, int x);
/* Logits z and features f (-1: none) when `from` is x instead, as VARIANT/logits and VARIANT/features. */
int rank_store(probe_build *b, int from, int x, int z, int f, const char *layer, const char *variant);
/* The penultimate vector that z follows from. */
int rank_features(const probe_build *b, int z);

#endif
