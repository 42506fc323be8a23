/* score methods: the list, or one of them with formula, paper, needs and options. */
#include "score/commands.h"

#include "score/methods_print.h"

typedef struct config {
    args_strings words;
    int json;
} config;

static int run(void *p)
{
    const config *c = p;
    return methods_print(stdout, c->words.n > 0 ? c->words.v[0] : NULL, c->json);
}

static const opt opts[] = {
    { "json", 0, OPT_FLAG, offsetof(config, json), NULL, "for programs", NULL, NULL, 0, 0, 0 },
    { NULL, 0, OPT_FLAG, 0, NULL, NULL, NULL, NULL, 0, 0, 0 },
};

const command cmd_methods = {
    .name = "methods",
    .summary = "Lists the methods, or describes one: formula, paper, needs, options.",
    .synopsis = "[NAME] [--json]",
    .opts = opts,
    .config_size = sizeof(config),
    .words_at = offsetof(config, words),
    .words_max = 1,
    .run = run,
};
