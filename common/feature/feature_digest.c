#include "common/feature/feature_digest.h"
#include "common/err.h"
#include "common/feature/feature_io.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

enum { READ_BYTES = 1 << 20, PARALLEL_BYTES = 16 << 20 }; /* less is not worth waking threads */

static int failed(void)
{
    return err_set(ERR_INTERNAL, "libcrypto: SHA-256 failed");
}

int sha256_of(const void *data, size_t bytes, unsigned char out[DIGEST_BYTES])
{
    return EVP_Digest(data, bytes, out, NULL, EVP_sha256(), NULL) == 1 ? 0 : failed();
}

void sha256_hex(const unsigned char raw[DIGEST_BYTES], char hex[65])
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        hex[2 * i] = digit[raw[i] >> 4];
        hex[2 * i + 1] = digit[raw[i] & 15];
    }
    hex[64] = '\0';
}

int sha256_new(void **state)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (c == NULL) return err_set(ERR_ENV, "libcrypto: no memory for a digest");
    if (EVP_DigestInit_ex(c, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(c);
        return failed();
    }
    *state = c;
    return 0;
}

int sha256_add(void *state, const void *data, size_t bytes)
{
    return EVP_DigestUpdate(state, data, bytes) == 1 ? 0 : failed();
}

int sha256_add_file(void *state, int fd, const char *path, uint64_t offset, uint64_t bytes)
{
    int rc = 0;
    void *buf = NULL;
    TRY(mem_new_aligned(&buf, READ_BYTES, 1, "digest buffer"));
    while (bytes > 0) {
        size_t n = bytes < READ_BYTES ? (size_t)bytes : READ_BYTES;
        TRY(io_pread(fd, path, buf, n, offset));
        TRY(sha256_add(state, buf, n));
        offset += n;
        bytes -= n;
    }
done:
    free(buf);
    return rc;
}

int sha256_end(void *state, unsigned char out[DIGEST_BYTES])
{
    if (EVP_DigestFinal_ex(state, out, NULL) != 1) return failed();
    return EVP_DigestInit_ex(state, EVP_sha256(), NULL) == 1 ? 0 : failed();
}

void sha256_free(void **state)
{
    EVP_MD_CTX_free(*state);
    *state = NULL;
}

int block_digests_init(block_digests *b, size_t rows, size_t row_bytes)
{
    int rc = 0;
    memset(b, 0, sizeof *b);
    b->rows = rows;
    b->row_bytes = row_bytes;
    b->n_blocks = rows / DIGEST_BLOCK_ROWS + (rows % DIGEST_BLOCK_ROWS != 0);
    TRY(mem_new(&b->digest, b->n_blocks, DIGEST_BYTES, "block digests"));
    TRY(sha256_new(&b->state));
done:
    if (rc < 0) block_digests_clear(b);
    return rc;
}

void block_digests_clear(block_digests *b)
{
    free(b->digest);
    sha256_free(&b->state);
    memset(b, 0, sizeof *b);
}

/* Rows from `next` to the end of its block. */
static size_t rows_left(const block_digests *b)
{
    size_t left = DIGEST_BLOCK_ROWS - b->next % DIGEST_BLOCK_ROWS;
    return left < b->rows - b->next ? left : b->rows - b->next;
}

static int advance(block_digests *b, size_t n)
{
    size_t block = b->next / DIGEST_BLOCK_ROWS;
    b->next += n;
    if (b->next % DIGEST_BLOCK_ROWS != 0 && b->next != b->rows) return 0;
    return sha256_end(b->state, b->digest + block * DIGEST_BYTES);
}

int block_digests_add(block_digests *b, const void *data, size_t n)
{
    const unsigned char *p = data;
    if (n > b->rows - b->next)
        return err_set(ERR_INTERNAL, "block digests: more rows than there are");
    while (n > 0) {
        size_t k = rows_left(b);
        int rc;
        if (k > n) k = n;
        rc = sha256_add(b->state, p, k * b->row_bytes);
        if (rc == 0) rc = advance(b, k);
        if (rc < 0) return rc;
        p += k * b->row_bytes;
        n -= k;
    }
    return 0;
}

int block_digests_add_file(block_digests *b, int fd, const char *path, uint64_t base, size_t n)
{
    if (n > b->rows - b->next)
        return err_set(ERR_INTERNAL, "block digests: more rows than there are");
    while (n > 0) {
        size_t k = rows_left(b);
        int rc;
        if (k > n) k = n;
        rc = sha256_add_file(b->state, fd, path, base + (uint64_t)b->next * b->row_bytes,
                             (uint64_t)k * b->row_bytes);
        if (rc == 0) rc = advance(b, k);
        if (rc < 0) return rc;
        n -= k;
    }
    return 0;
}

int block_digests_file(block_digests *b, int fd, const char *path, uint64_t base)
{
    int bad = 0;
    const size_t block = (size_t)DIGEST_BLOCK_ROWS * b->row_bytes;
#pragma omp parallel for schedule(dynamic) reduction(| : bad) if (b->rows * b->row_bytes >= PARALLEL_BYTES)
    for (size_t k = 0; k < b->n_blocks; k++) {
        size_t rows = b->rows - k * DIGEST_BLOCK_ROWS;
        void *state = NULL;
        if (rows > DIGEST_BLOCK_ROWS) rows = DIGEST_BLOCK_ROWS;
        if (sha256_new(&state) < 0 ||
            sha256_add_file(state, fd, path, base + k * block, (uint64_t)rows * b->row_bytes) < 0 ||
            sha256_end(state, b->digest + k * DIGEST_BYTES) < 0) {
            err_clear(); /* words belong to one thread: they are found again below */
            bad = 1;
        }
        sha256_free(&state);
    }
    if (bad) return block_digests_add_file(b, fd, path, base, b->rows);
    b->next = b->rows;
    return 0;
}

int block_digests_partial(const block_digests *b, unsigned char out[DIGEST_BYTES])
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    int ok =
        c != NULL && EVP_MD_CTX_copy_ex(c, b->state) == 1 && EVP_DigestFinal_ex(c, out, NULL) == 1;
    EVP_MD_CTX_free(c);
    return ok ? 0 : failed();
}

int block_digests_seek(block_digests *b, size_t next)
{
    if (next > b->rows || (next % DIGEST_BLOCK_ROWS != 0 && next != b->rows))
        return err_set(ERR_INTERNAL, "block digests: row %zu starts no block", next);
    b->next = next;
    return EVP_DigestInit_ex(b->state, EVP_sha256(), NULL) == 1 ? 0 : failed();
}
