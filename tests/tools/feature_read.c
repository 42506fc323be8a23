/* feature_read FILE...: what the reader makes of each file, one line each:
 *   FILE<TAB>read|refused<TAB>exit status<TAB>message or shapes
 * Every byte of what is read is touched.  --sums adds a SHA-256 per dataset, for comparison with h5py. */
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "common/feature/feature_digest.h"
#include "common/feature_file.h"

static int show(const char *path, int sums)
{
    feature_file *f = NULL;
    unsigned char raw[DIGEST_BYTES];
    char hex[65];
    int rc = feature_file_open(&f, path);
    if (rc < 0) {
        printf("%s\trefused\t%d\t%s\n", path, err_exit_status(rc), err_text());
        err_clear();
        return rc;
    }
    printf("%s\tread\t0\t", path);
    for (size_t i = 0; i < feature_file_count(f); i++) {
        const feature_table *t = feature_file_at(f, i);
        size_t bytes = feature_type_size(t->type);
        printf("%s%s:%s", i > 0 ? " " : "", t->name, feature_type_name(t->type));
        for (int d = 0; d < t->rank; d++) {
            printf("%c%zu", d > 0 ? 'x' : ':', t->dim[d]);
            bytes *= t->dim[d];
        }
        if (sha256_of(t->data != NULL ? t->data : "", bytes, raw) < 0) return -1;
        sha256_hex(raw, hex);
        if (sums) printf(":%s", hex);
    }
    for (size_t i = 0; sums && i < feature_file_paths(f); i++) {
        char text[4096];
        printf(" path=%s", feature_file_path(f, i, text, sizeof text));
    }
    if (sums && feature_file_provenance(f) != NULL)
        printf(" provenance=%s", feature_file_provenance(f));
    printf("\n");
    feature_file_close(&f);
    return 0;
}

int main(int argc, char **argv)
{
    int sums = argc > 1 && strcmp(argv[1], "--sums") == 0;
    for (int i = 1 + sums; i < argc; i++)
        show(argv[i], sums);
    return 0;
}
