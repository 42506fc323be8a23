#include "extract/shard.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS_MAX = 1000000, DIGITS = 8 };

typedef struct array_names { /* how a batch system tells a task of a job array who it is; NULL: it does not say */
    const char *system, *index, *first, *last, *step;
} array_names;

static const array_names systems[] = {
    { "Slurm", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_ARRAY_TASK_STEP" },
    { "SGE", "SGE_TASK_ID", "SGE_TASK_FIRST", "SGE_TASK_LAST", "SGE_TASK_STEPSIZE" },
    { "LSF", "LSB_JOBINDEX", NULL, "LSB_JOBINDEX_END", "LSB_JOBINDEX_STEP" },
    { "PBS", "PBS_ARRAY_INDEX", NULL, NULL, NULL },
    { "Torque", "PBS_ARRAYID", NULL, NULL, NULL },
};

/* 1 when `name` is set to a whole number; "undefined" (SGE outside of an array) is not set. */
static int env_number(const char *name, size_t *out)
{
    const char *text = name != NULL ? getenv(name) : NULL;
    size_t n = text != NULL ? strspn(text, "0123456789") : 0;
    if (n == 0 || text[n] != '\0' || n > DIGITS) return 0;
    *out = strtoul(text, NULL, 10);
    return 1;
}

typedef struct task { /* of a job array and of a Slurm step in it */
    const char *system;
    size_t id;           /* the array's own number */
    size_t index, count; /* position among the array's tasks; count 0: the system does not say */
    size_t part, parts;  /* among the tasks of the step */
} task;

static int in_array(task *t, const array_names *v)
{
    size_t first = v->last != NULL ? 1 : 0, last, step = 1;
    if (!env_number(v->index, &t->id)) return 0;
    if (strcmp(v->system, "LSF") == 0 && t->id == 0) return 0; /* a job that is no array */
    t->system = v->system;
    (void)env_number(v->step, &step);
    (void)env_number(v->first, &first);
    if (env_number(v->last, &last) && first <= t->id && t->id <= last && step > 0) {
        t->index = (t->id - first) / step;
        t->count = (last - first) / step + 1;
    }
    return 1;
}

static int ask_system(task *t)
{
    int found = 0;
    *t = (task){ .parts = 1 };
    for (size_t i = 0; i < sizeof systems / sizeof *systems && !found; i++)
        found = in_array(t, &systems[i]);
    if (env_number("SLURM_PROCID", &t->part) && env_number("SLURM_NTASKS", &t->parts) && t->part < t->parts &&
        (t->parts > 1 || !found)) {
        if (!found) t->count = 1;
        t->system = "Slurm";
        return 1;
    }
    t->part = 0;
    t->parts = 1;
    return found;
}

static int parse_count(size_t *out, const char *text)
{
    size_t n = strspn(text, "0123456789");
    if (n == 0 || n > DIGITS - 1 || text[n] != '\0') return 0;
    *out = strtoul(text, NULL, 10);
    return *out >= 1 && *out <= SHARDS_MAX;
}

/* With N given the array's own numbers count, so that tasks which are submitted once more (--array=3,7) are the same shards;
 * number N is shard 0 of arrays that begin at 1. */
static int parse_auto(shard *out, const char *text)
{
    int rc = 0;
    size_t given = 0;
    task t;
    CHECK(text[4] == '\0' || (text[4] == '/' && parse_count(&given, text + 5)), ERR_USAGE,
          "--shard %s: auto or auto/N", text);
    CHECK(ask_system(&t), ERR_USAGE,
          "--shard auto: this is no task of a job array (Slurm, PBS, SGE, LSF) and no Slurm step; --shard I/N "
          "says it by hand");
    CHECK(t.count > 0 || given > 0, ERR_USAGE,
          "--shard auto: %s does not tell how many tasks the array has; say --shard auto/N", t.system);
    *out = (shard){ t.index * t.parts + t.part, t.count * t.parts };
    if (given > 0) *out = (shard){ t.id * t.parts + t.part, given };
    if (out->index >= given && out->index < given + t.parts && given > 0) out->index -= given;
    CHECK(out->index < out->count, ERR_USAGE, "--shard %s: task %zu is beyond that", text, out->index);
done:
    return rc;
}

int shard_parse(shard *out, const char *text)
{
    int rc = 0;
    char index[DIGITS + 1] = "";
    size_t n;
    *out = (shard){ 0, 0 };
    if (text == NULL) goto done;
    if (strncmp(text, "auto", 4) == 0) return parse_auto(out, text);
    n = strspn(text, "0123456789");
    CHECK(n > 0 && n < DIGITS && text[n] == '/' && parse_count(&out->count, text + n + 1), ERR_USAGE,
          "--shard %s: not I/N, as 0/4 for the first of four, nor auto", text);
    memcpy(index, text, n);
    out->index = strtoul(index, NULL, 10);
    CHECK(out->index < out->count, ERR_USAGE, "--shard %s: the last of %zu shards is %zu/%zu", text, out->count,
          out->count - 1, out->count);
done:
    return rc;
}

/* floor(i rows / count), without the product of large numbers. */
static size_t share(size_t i, size_t rows, size_t count)
{
    return i * (rows / count) + i * (rows % count) / count;
}

void shard_rows(const shard *s, size_t rows, size_t *begin, size_t *end)
{
    *begin = s->count > 0 ? share(s->index, rows, s->count) : 0;
    *end = s->count > 0 ? share(s->index + 1, rows, s->count) : rows;
}

int shard_path(char **out, const shard *s, const char *path)
{
    int rc = 0;
    size_t n = strlen(path), stem = n, room = n + 64;
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    if (s->count == 0) return mem_strdup(out, path);
    if (dot != NULL && dot > path && (slash == NULL || dot > slash + 1)) stem = (size_t)(dot - path);
    TRY(mem_new(out, room, 1, "file name"));
    snprintf(*out, room, "%.*s.shard-%zu-of-%zu%s", (int)stem, path, s->index, s->count, path + stem);
done:
    return rc;
}
