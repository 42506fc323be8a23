/* `extract inspect` and `extract check` for feature files. */
#ifndef OUTPOST_INSPECT_FEATURE_H
#define OUTPOST_INSPECT_FEATURE_H

#include <stdio.h>

/* Datasets with type and shape, counts of /status, provenance, digests and whether it is finished, as
 * lines or as one JSON object.  Takes OUT.h5.part too, and then says how many rows its journal
 * has.  Reads no rows but /status.  ERR_INPUT as feature_file_open. */
int inspect_feature(FILE *f, const char *path, int json);
/* feature_file_verify, with a line "PATH: ok, ..." on f when every digest matches. */
int check_feature(FILE *f, const char *path);

#endif
