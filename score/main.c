#include "score/commands.h"

static const command *const commands[] = { &cmd_run, &cmd_sweep, &cmd_compare, &cmd_fit, &cmd_methods, NULL };

static const program score = {
    .name = "score",
    .summary = "Post-hoc out-of-distribution scores on cached features.",
    .commands = commands,
    .print_version = score_version,
};

int main(int argc, char **argv)
{
    return args_main(&score, argc, argv);
}
