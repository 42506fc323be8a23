/* The side journal of a feature file being written: PATH.journal (docs/format.md, "Journal").
 * Append-only records, little-endian: magic u32, kind u32, body bytes u32, CRC-32 u32 of the
 * previous record's CRC, kind, length and body; then the body.  A record that is cut short or
 * damaged ends the journal: what follows it was never promised. */
#ifndef OUTPOST_FEATURE_JOURNAL_H
#define OUTPOST_FEATURE_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "common/feature/feature_digest.h"

enum { JOURNAL_HEADER = 1, JOURNAL_COMMIT = 2 };

typedef struct journal_place { /* where a dataset of the header lies */
    char *name;
    uint64_t offset, bytes;
} journal_place;

typedef struct journal_header {
    char *identity_text, *provenance; /* JSON */
    char metadata[65];                /* SHA-256 of the file's bytes outside datasets, finished */
    uint64_t file_bytes, complete_at;
    journal_place *place;
    size_t n_places;
} journal_header;

typedef struct journal_digest {
    uint32_t set, block; /* index into the per-image datasets; status comes last */
    unsigned char sha256[DIGEST_BYTES];
} journal_digest;

typedef struct journal_bad {
    uint64_t row;
    uint32_t status;
    char *reason;
} journal_bad;

/* Rows [begin,end) are in the file and synced.  A begin below the previous end takes back the rows
 * from begin on.  Digests: of all blocks finished in [begin,end), then of each dataset's
 * unfinished block up to `end`, when there is one. */
typedef struct journal_commit {
    uint64_t begin, end;
    const journal_digest *digest;
    size_t n_digests;
    const journal_bad *bad;
    size_t n_bad;
} journal_commit;

typedef struct journal journal;

/* Creates the file with its header, durable.  The name must be free. */
int journal_create(journal **out, const char *path, const journal_header *h);
/* Opens for appending after the last whole record and cuts off what follows.  Calls commit() for
 * each record; its text is borrowed for the call.  *header is NULL, and *out too, when not even the
 * header is whole (the run died before anything was promised); so does an absent file. */
int journal_open(journal **out, const char *path, journal_header **header,
                 int (*commit)(void *arg, const journal_commit *c), void *arg);
/* Reads bytes of a journal without touching any file (inspect, fuzzing).  *used: bytes of whole
 * records. */
int journal_parse(const void *data, size_t bytes, const char *path, journal_header **header,
                  int (*commit)(void *arg, const journal_commit *c), void *arg, size_t *used);
/* Appends and syncs. */
int journal_append(journal *j, const journal_commit *c);
void journal_close(journal **j);
void journal_header_free(journal_header **h);

#endif
