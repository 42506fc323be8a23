/* extract: images -> features.  The commands are a table; usage and dispatch are made from it. */
#include "extract/commands.h"

static const command *const commands[] = { &command_run,   &command_models, &command_probes,
                                           &command_inspect, &command_check, &command_merge,
                                           &command_bench,  &command_doctor, NULL };

int main(int argc, char **argv)
{
    static const program extract = {
        .name = "extract",
        .summary = "Runs published image classifiers over image lists and stores what they compute.",
        .commands = commands,
        .print_version = extract_print_version,
    };
    return args_main(&extract, argc, argv);
}
