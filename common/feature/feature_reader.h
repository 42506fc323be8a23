/* Inside of a feature_file; shared by feature_read.c, feature_verify.c and inspect_feature.c. */
#ifndef OUTPOST_FEATURE_READER_H
#define OUTPOST_FEATURE_READER_H

#include "common/feature_file.h"
#include "common/h5.h"

struct feature_file {
    char *path;
    int fd;
    uint64_t bytes;
    h5_listing *list;
    feature_table *table; /* the items that are numbers, by name; names belong to `list` */
    size_t n_tables;
    unsigned char *map, *extra; /* the file; converted data */
    uint64_t extra_bytes;
    uint64_t *extra_offset; /* [list->n] of items that are not mapped from the file */
    const h5_item *paths;
    const unsigned char *path_text;
    char *provenance;
    char digest[65];
};

const char *feature_file_identity(const feature_file *f);
/* NULL when there is no such dataset. */
const h5_item *feature_file_item(const feature_file *f, const char *name);
/* Offset of the attribute `complete` is not known to a reader; an unfinished file has no digests. */
int feature_file_check_metadata(const feature_file *f);

#endif
