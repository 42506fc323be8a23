/* score --version: this build, and the libraries found at run time. */
#include <cblas.h>
#include <jansson.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/h5.h"
#include "extract/plugin.h"
#include "score/commands.h"

/* cblas.h of OpenBLAS declares these; its reference twin does not. */
#ifndef OPENBLAS_CONST
extern char *openblas_get_config(void);
extern int openblas_get_parallel(void);
#endif

static const char *threading(int kind)
{
    static const char *const names[] = { "sequential", "pthreads", "OpenMP" };
    return kind >= 0 && kind < 3 ? names[kind] : "unknown";
}

static const char *compiler(void)
{
#ifdef __clang__
    return __VERSION__;
#else
    return "gcc " __VERSION__;
#endif
}

/* What the plugin says of itself and the devices, or why there is none; no device is opened. */
static void print_cuda(FILE *f, char *text)
{
    char *line, *rest = text;
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0')
            fprintf(f, "%-10s %s\n", strncmp(line, "cuda:", 5) == 0 ? "" : "CUDA", line);
}

int score_version(FILE *f, int json)
{
    int rc = 0;
    char *dump, cuda[4096];
    json_t *o;
    plugin_describe(cuda, sizeof cuda);
    if (!json) {
        fprintf(f,
                "score (outpost) %s\n"
                "compiler   %s\n"
                "OpenBLAS   %s, threads: %s\n"
                "HDF5       %s\n"
                "jansson    %s\n"
                "cores      %d\n",
                OUTPOST_VERSION, compiler(), openblas_get_config(),
                threading(openblas_get_parallel()), h5_version(), jansson_version_str(),
                omp_get_max_threads());
        print_cuda(f, cuda);
        fprintf(f, "licence    MIT\n");
        return 0;
    }
    if (strlen(cuda) > 0 && cuda[strlen(cuda) - 1] == '\n') cuda[strlen(cuda) - 1] = '\0';
    o = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:i, s:s, s:s}", "program", "score",
                  "version", OUTPOST_VERSION, "compiler", compiler(), "openblas", "config",
                  openblas_get_config(), "threads", threading(openblas_get_parallel()), "hdf5",
                  h5_version(), "jansson", jansson_version_str(), "cores", omp_get_max_threads(),
                  "cuda", cuda, "licence", "MIT");
    dump = o != NULL ? json_dumps(o, JSON_INDENT(1)) : NULL;
    CHECK(dump != NULL, ERR_ENV, "no memory for the version");
    fprintf(f, "%s\n", dump);
done:
    if (dump != NULL) free(dump);
    json_decref(o);
    return rc;
}
