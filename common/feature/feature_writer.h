/* Inside of a feature_writer; shared by feature_start.c (new, resume, recognise) and feature_write.c
 * (rows, commits, the end). */
#ifndef OUTPOST_FEATURE_WRITER_H
#define OUTPOST_FEATURE_WRITER_H

#include <pthread.h>

#include "common/feature/feature_digest.h"
#include "common/feature_file.h"
#include "common/feature/feature_journal.h"
#include "common/feature/feature_layout.h"
#include "common/feature/feature_lock.h"

/* Hashing runs beside writing: put() hands a batch over, writes it, and waits. */
typedef struct hash_thread {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    int started, busy, quit, rc;
    size_t n;
    const void *const *data;
    const uint8_t *status;
} hash_thread;

struct feature_writer {
    const feature_spec *spec;
    feature_layout layout;
    char *path, *part, *journal_path;
    char metadata[65]; /* of the finished file */
    int fd, failed, finished;
    size_t next, committed; /* rows written; rows in the journal */
    size_t unsynced;        /* bytes since writing to disk was last asked for */
    journal *journal;
    feature_lock *lock;
    hash_thread hash;
    block_digests *digest; /* [n_data] by item; per-image ones grow with the rows */
    unsigned char *absent; /* one row of any dataset as written for an unreadable image */
    size_t n_images;       /* items that have rows: the spec's and status */
    feature_bad_row *bad;  /* by row; those before bad_committed are in the journal */
    size_t n_bad, bad_room, bad_committed;
};

/* The item of per-image dataset i; the last one is status. */
const h5_item *feature_writer_item(const feature_writer *w, size_t i);
block_digests *feature_writer_digest(feature_writer *w, size_t i);
int feature_writer_add_bad(feature_writer *w, size_t row, uint8_t status, const char *reason);
/* Forgets bad rows from `row` on. */
void feature_writer_drop_bad(feature_writer *w, size_t row);
/* Offsets out of a journal's header.  1: they do not fit the layout. */
int feature_writer_places(feature_writer *w, const journal_header *h);
/* ERR_INPUT saying which setting of ours differs from that of an older file. */
int feature_identity_differs(const char *file, const char *old_identity, const char *old_provenance,
                             const feature_layout *l, const feature_spec *s);
/* Writes what the spec knows in full (labels, paths, constants, provenance) and hashes it;
 * only hashes with fd < 0. */
int feature_writer_known(feature_writer *w, int fd);

#endif
