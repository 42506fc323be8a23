/* From a feature_spec to the datasets of the file, in the order in which they are created. */
#ifndef OUTPOST_FEATURE_LAYOUT_H
#define OUTPOST_FEATURE_LAYOUT_H

#include "common/feature_file.h"
#include "common/h5.h"

#define FEATURE_FORMAT "outpost-features"
#define FEATURE_METADATA "digests/_metadata" /* SHA-256 of all bytes that belong to no dataset */

typedef struct feature_layout {
    h5_item *item;    /* [n]; 0..n_sets-1: the spec's, then labels, paths, status, constants,
                              provenance; then one digests/NAME for each of these, and _metadata */
    size_t n, n_data; /* n = 2 * n_data + 1 */
    size_t n_sets, labels, paths, status, constants, provenance;
    uint64_t file_bytes;  /* once the file exists */
    uint64_t complete_at; /* offset of the attribute `complete`, i64 little-endian */
    char identity[65];    /* SHA-256 of identity_text */
    char *identity_text;  /* JSON: everything that decides the bytes of the file but the rows */
} feature_layout;

/* ERR_USAGE: a bad or doubled name, a path longer than path_width, too many datasets. */
int feature_layout_init(feature_layout *l, const feature_spec *spec);
void feature_layout_clear(feature_layout *l);
/* Creates `path` (absent before) with `complete` 0, and fills the offsets. */
int feature_layout_create(feature_layout *l, const feature_spec *spec, const char *path);
/* Bytes of one row; of the whole for a scalar.  Rows: dim[0], 1 for a scalar. */
size_t feature_row_bytes(const h5_item *item);
size_t feature_rows(const h5_item *item);
/* Digest of the bytes of the file outside the n items; `complete_at` (0: nowhere) counts as 1. */
int feature_metadata_digest(int fd, const char *path, uint64_t file_bytes, const h5_item *item,
                            size_t n, uint64_t complete_at, unsigned char out[32]);

#endif
