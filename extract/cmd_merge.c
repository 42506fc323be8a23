/* extract merge: shards -> the file of one run. */
#include "extract/commands.h"
#include "extract/merge.h"
#include "extract/stop.h"
#include "common/err.h"
#include "common/log.h"

#include <stddef.h>

typedef struct merge_config {
    const char *out;
    int force;
    args_strings shards;
} merge_config;

static int cmd_merge(void *config)
{
    const merge_config *c = config;
    int rc = 0;
    merge m = { 0 };
    enum feature_state state = FEATURE_NEW;
    feature_writer *w = NULL;
    size_t done = 0;
    stop_listen();
    TRY(merge_open(&m, c->shards.v, c->shards.n));
    TRY(feature_writer_open(&w, c->out, &m.spec, c->force, &state, &done));
    if (state == FEATURE_COMPLETE) {
        log_info("%s is complete already: %zu rows", c->out, m.rows);
        goto done;
    }
    TRY(merge_copy(&m, w, done, c->out));
    TRY(feature_writer_finish(w));
    log_info("%s: %zu rows of %zu shards", c->out, m.rows, m.n);
done:
    feature_writer_close(&w);
    merge_clear(&m);
    return rc;
}

#define AT(field) offsetof(merge_config, field)
static const opt opts[] = {
    { .name = "out", .letter = 'o', .kind = OPT_STRING, .at = AT(out), .value = "OUT.h5",
      .help = "feature file; an unfinished one is continued", .required = 1 },
    { .name = "force", .kind = OPT_FLAG, .at = AT(force), .help = "start over where OUT.h5 holds something else" },
    { .name = NULL }
};

const command command_merge = {
    .name = "merge",
    .summary = "Joins the shards of a list into the file that one run would have written.",
    .synopsis = "-o OUT.h5 SHARD...",
    .about = "example: extract merge -o val.h5 val.shard-*-of-16.h5\n"
             "Every shard is read back and compared with its digests; all of them must be there, once, and\n"
             "of one run. The result has the same bytes as a run without --shard; the shards stay.\n"
             "Exit: 0 done, 4 a shard is refused or missing, 75 interrupted: the same command continues.",
    .opts = opts,
    .config_size = sizeof(merge_config),
    .words_at = AT(shards),
    .words_min = 1,
    .words_max = -1,
    .run = cmd_merge,
};
