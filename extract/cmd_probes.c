/* extract probes [NAME]: what --probe can add to a run. */
#include "extract/commands.h"
#include "extract/probes/probe.h"

typedef struct probes_config {
    args_strings words;
} probes_config;

static int cmd_probes(void *config)
{
    const probes_config *c = config;
    return probes_print(c->words.n > 0 ? c->words.v[0] : NULL);
}

const command command_probes = {
    .name = "probes",
    .summary = "Lists what --probe can compute, or describes one: paper, datasets, options.",
    .synopsis = "[NAME]",
    .about = "example: extract probes odin",
    .config_size = sizeof(probes_config),
    .words_at = offsetof(probes_config, words),
    .words_max = 1,
    .run = cmd_probes,
};
