/* A result file that is there whole or not at all: written beside its place, then renamed. */
#ifndef OUTPOST_OUTFILE_H
#define OUTPOST_OUTFILE_H

#include <stdio.h>

typedef struct outfile {
    FILE *f;
    char *path;
    char *temp; /* NULL: written directly (standard output, a pipe, a device) */
} outfile;

/* Whether the folder is there and can be written: asked before hours of work.  ERR_ENV. */
int outfile_check(const char *path);
/* "-" is standard output.  ERR_ENV. */
int outfile_open(outfile *o, const char *path);
/* Flushes to disk, checks the close, renames.  ERR_ENV; the old file is untouched then. */
int outfile_commit(outfile *o);
/* Removes what is unfinished; nothing to do after a commit, or on zeroes. */
void outfile_abandon(outfile *o);
/* For writers that need a name and not a stream: PATH.part.PID, for the caller to free(). */
int outfile_temp_name(char **temp, const char *path);

#endif
