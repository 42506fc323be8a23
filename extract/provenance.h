/* What decides the bytes of an output, as JSON: stored in it, and compared when a run resumes.
 * Paths, threads, batch and progress are left out: they cannot change a value. */
#ifndef OUTPOST_PROVENANCE_H
#define OUTPOST_PROVENANCE_H

#include "common/list.h"
#include "extract/session.h"
#include "extract/shard.h"

typedef struct provenance_input {
    const session *s;
    const session_options *o;
    const list *images;
    size_t rows;          /* of the list that are extracted, by all shards */
    shard part;           /* this one; a file of the whole list does not mention it */
    const char *checkpoint_name;
    size_t views;         /* of each image; the list has each one so often; 0: none */
    int seed;
} provenance_input;

/* *json is the caller's to free. */
int provenance_make(char **json, const provenance_input *in);

#endif
