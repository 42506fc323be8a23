/* Compares every byte of a feature file with its digests. */
#include "common/err.h"
#include "common/feature/feature_digest.h"
#include "common/feature/feature_io.h"
#include "common/feature/feature_layout.h"
#include "common/feature/feature_reader.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int verify_item(const feature_file *f, const h5_item *it)
{
    int rc = 0;
    char name[H5_NAME_ROOM + 16];
    const h5_item *digests;
    block_digests b = {0};
    unsigned char *want = NULL;
    snprintf(name, sizeof name, "digests/%s", it->name);
    digests = feature_file_item(f, name);
    CHECK(digests != NULL, ERR_INPUT, "%s: /%s has no digests", f->path, it->name);
    TRY(block_digests_init(&b, feature_rows(it), feature_row_bytes(it)));
    CHECK(digests->bytes == b.n_blocks * DIGEST_BYTES, ERR_INPUT,
          "%s: /%s has %" PRIu64 " bytes, not %zu digests", f->path, name, digests->bytes,
          b.n_blocks);
    TRY(mem_new(&want, digests->bytes, 1, f->path));
    TRY(io_pread(f->fd, f->path, want, digests->bytes, digests->offset));
    TRY(block_digests_file(&b, f->fd, f->path, it->offset));
    for (size_t k = 0; k < b.n_blocks; k++) {
        size_t left = b.rows - k * DIGEST_BLOCK_ROWS,
               n = left < DIGEST_BLOCK_ROWS ? left : DIGEST_BLOCK_ROWS;
        CHECK(memcmp(b.digest + k * DIGEST_BYTES, want + k * DIGEST_BYTES, DIGEST_BYTES) == 0,
              ERR_INPUT,
              "%s: /%s, rows %zu to %zu do not match their digest (block %zu): the file is damaged",
              f->path, it->name, k * DIGEST_BLOCK_ROWS, k * DIGEST_BLOCK_ROWS + n - 1, k);
    }
done:
    free(want);
    block_digests_clear(&b);
    return rc;
}

int feature_file_verify(const char *path)
{
    int rc = 0;
    feature_file *f = NULL;
    TRY(feature_file_open(&f, path)); /* compares the metadata already */
    CHECK(feature_file_is_ours(f), ERR_INPUT,
          "%s: not written by this program, so it has no digests", path);
    for (size_t i = 0; i < f->list->n; i++)
        if (strncmp(f->list->item[i].name, "digests/", 8) != 0)
            TRY(verify_item(f, &f->list->item[i]));
done:
    feature_file_close(&f);
    return rc;
}
