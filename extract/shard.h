/* Which part of a list this process extracts: --shard I/N|auto|auto/N.
 * Shard I of N, 0 <= I < N, has rows floor(I R / N) up to floor((I + 1) R / N) of R, so that the files one behind the
 * other are in list order: `extract merge`. */
#ifndef OUTPOST_SHARD_H
#define OUTPOST_SHARD_H

#include <stddef.h>

typedef struct shard {
    size_t index, count; /* count 0: the whole list */
} shard;

/* NULL: the whole list.  "auto" asks the batch system: the index among the tasks of a job array (Slurm, PBS, SGE, LSF) and among
 * the tasks of a Slurm step.  "auto/N" takes the array's own numbers, 0 to N - 1 or 1 to N: for systems that do not
 * tell how many tasks there are (PBS), and so that a task submitted once more is the same shard.  ERR_USAGE: malformed, or no batch
 * system to ask. */
int shard_parse(shard *out, const char *text);
void shard_rows(const shard *s, size_t rows, size_t *begin, size_t *end);
/* "val.h5" -> "val.shard-3-of-16.h5": shards of one command line have a file each; a copy of `path` when s is the whole
 * list.  *out is the caller's to free. */
int shard_path(char **out, const shard *s, const char *path);

#endif
