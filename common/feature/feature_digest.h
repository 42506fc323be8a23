/* Running SHA-256 digests of blocks of rows: the one arithmetic behind /digests, the journal's commit
 * records, resume and verification (docs/format.md). */
#ifndef OUTPOST_FEATURE_DIGEST_H
#define OUTPOST_FEATURE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

enum { DIGEST_BYTES = 32, DIGEST_BLOCK_ROWS = 1024 };

/* The digests of one dataset of `rows` rows of row_bytes bytes; block b covers the rows
 * [b * 1024, min(rows, (b + 1) * 1024)). */
typedef struct block_digests {
    size_t rows, row_bytes, n_blocks;
    size_t next;           /* rows hashed so far */
    unsigned char *digest; /* [n_blocks,32], valid for the blocks that end at or before `next` */
    void *state;           /* of the block that `next` lies in */
} block_digests;

int block_digests_init(block_digests *b, size_t rows, size_t row_bytes);
void block_digests_clear(block_digests *b);
/* Appends n rows. */
int block_digests_add(block_digests *b, const void *data, size_t n);
/* Appends n rows of the file, read from base + next * row_bytes on. */
int block_digests_add_file(block_digests *b, int fd, const char *path, uint64_t base, size_t n);
/* All blocks from the file at once, several at a time; next must be 0. */
int block_digests_file(block_digests *b, int fd, const char *path, uint64_t base);
/* Digest of the rows of the unfinished block up to `next`, without ending it. */
int block_digests_partial(const block_digests *b, unsigned char out[DIGEST_BYTES]);
/* Goes to row `next`, the start of a block. */
int block_digests_seek(block_digests *b, size_t next);

/* SHA-256 in one go, and of a stretch of a file fed to a running state. */
int sha256_of(const void *data, size_t bytes, unsigned char out[DIGEST_BYTES]);
void sha256_hex(const unsigned char raw[DIGEST_BYTES], char hex[65]);
int sha256_new(void **state);
int sha256_add(void *state, const void *data, size_t bytes);
int sha256_add_file(void *state, int fd, const char *path, uint64_t offset, uint64_t bytes);
/* Finishes and starts anew. */
int sha256_end(void *state, unsigned char out[DIGEST_BYTES]);
void sha256_free(void **state);

#endif
