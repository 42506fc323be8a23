/* extract inspect FILE: any checkpoint or feature file; extract check FILE...: verifies digests. */
#include "extract/commands.h"
#include "extract/inspect_checkpoint.h"
#include "extract/inspect_feature.h"
#include "common/err.h"
#include "common/log.h"

#include <stdio.h>
#include <string.h>

typedef struct inspect_config {
    int json;
    args_strings words;
} inspect_config;

/* HDF5 superblocks begin at 0, 512, 1024, 2048 ... */
static int is_hdf5(const char *path)
{
    static const unsigned char magic[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    unsigned char head[8];
    FILE *f = fopen(path, "rb");
    int yes = 0;
    if (f == NULL) return 0;
    for (long at = 0; !yes && at <= 1L << 20; at = at == 0 ? 512 : 2 * at) {
        if (fseek(f, at, SEEK_SET) != 0 || fread(head, 1, 8, f) != 8) break;
        yes = memcmp(head, magic, 8) == 0;
    }
    fclose(f);
    return yes;
}

static int cmd_inspect(void *config)
{
    const inspect_config *c = config;
    const char *path = c->words.v[0];
    return is_hdf5(path) ? inspect_feature(stdout, path, c->json)
                         : inspect_checkpoint(stdout, path, c->json);
}

static int cmd_check(void *config)
{
    const inspect_config *c = config;
    int worst = 0;
    for (size_t i = 0; i < c->words.n; i++) {
        int rc = check_feature(stdout, c->words.v[i]);
        if (rc == 0) continue;
        worst = rc;
        if (i + 1 == c->words.n) break; /* main prints the last one */
        log_error("%s", err_text());
        err_clear();
    }
    return worst < 0 && err_text()[0] == '\0' ? err_set(worst, "not every file is intact") : worst;
}

static const opt inspect_opts[] = {
    { .name = "json", .kind = OPT_FLAG, .at = offsetof(inspect_config, json),
      .help = "machine-readable" },
    { .name = NULL }
};

const command command_inspect = {
    .name = "inspect",
    .summary = "Shows what is in a checkpoint or feature file.",
    .synopsis = "FILE [--json]",
    .about = "example: extract inspect resnet50.pth",
    .opts = inspect_opts,
    .config_size = sizeof(inspect_config),
    .words_at = offsetof(inspect_config, words),
    .words_min = 1,
    .words_max = 1,
    .run = cmd_inspect,
};

const command command_check = {
    .name = "check",
    .summary = "Re-reads feature files and compares every block with its digest.",
    .synopsis = "FILE...",
    .about = "Exit: 0 all intact, 4 a file is damaged or not finished.",
    .config_size = sizeof(inspect_config),
    .words_at = offsetof(inspect_config, words),
    .words_min = 1,
    .words_max = -1,
    .run = cmd_check,
};
