/* hash_weights NET GAIN FILE.safetensors: weights of any network made by hash, as the golden rows
 * have them (tests/lib/hash_golden.h); GAIN is the second column of tests/golden/nets.tsv.
 * For programs that need some checkpoint: benchmarks, tests of the command line. */
#include "common/err.h"
#include "extract/model.h"
#include "tests/lib/hash_golden.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int rc = 0;
    graph *g = NULL;
    const model *m = NULL;
    CHECK(argc == 4, ERR_USAGE, "usage: hash_weights NET GAIN FILE.safetensors");
    m = model_find(argv[1]);
    CHECK(m != NULL, ERR_USAGE, "no network '%s'", argv[1]);
    TRY(model_build(&g, m, m->classes));
    TRY(hash_write_weights(argv[3], g, m->key_layouts, strtod(argv[2], NULL)));
done:
    if (rc < 0) fprintf(stderr, "hash_weights: %s\n", err_text());
    graph_free(&g);
    return rc < 0 ? err_exit_status(rc) : 0;
}
