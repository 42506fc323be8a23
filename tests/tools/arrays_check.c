/* arrays_check [-v] FILE...: opens each file as untrusted arrays and prints one line,
 *   FILE <tab> ok <tab> container <tab> wrapper <tab> arrays <tab> elements <tab> sha256
 *   FILE <tab> refused <tab> rule <tab> message
 * sha256 is over name, NUL, type, shape, NUL and data of the arrays in byte order of the names.  -v adds a
 * line per array.  FILE "-" reads names from stdin.  Exit status 0: each file got a verdict. */
#include "common/arrays.h"
#include "common/digest.h"
#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *x, const void *y)
{
    return strcmp((*(const array *const *)x)->name, (*(const array *const *)y)->name);
}

/* The identity of one array, as the Python twin (tests/tools/arrays_reference.py) forms it. */
static void add(digest *d, const array *v)
{
    char shape[ARRAY_RANK_MAX * 24 + 16];
    int n = snprintf(shape, sizeof shape, "%s", array_type_name(v->type));
    for (int i = 0; i < v->rank; i++)
        n += snprintf(shape + n, sizeof shape - (size_t)n, ",%zu", v->dim[i]);
    digest_update(d, v->name, strlen(v->name) + 1);
    digest_update(d, shape, (size_t)n + 1);
    if (v->count > 0) digest_update(d, v->data, v->count * array_type_size(v->type));
}

static void print_array(const array *v)
{
    char hex[65] = "";
    digest_of(v->data, v->count * array_type_size(v->type), hex);
    printf("\t%s\t%s\t[", v->name, array_type_name(v->type));
    for (int i = 0; i < v->rank; i++)
        printf("%s%zu", i > 0 ? "," : "", v->dim[i]);
    printf("]\t%s\n", hex);
}

static void print_good(const char *path, const arrays *a, int verbose)
{
    size_t n = arrays_count(a), elements = 0;
    const array **v = calloc(n > 0 ? n : 1, sizeof *v);
    digest *d = NULL;
    char hex[65] = "";
    if (v == NULL || digest_new(&d) < 0) exit(1);
    for (size_t i = 0; i < n; i++) {
        v[i] = arrays_at(a, i);
        elements += v[i]->count;
    }
    qsort(v, n, sizeof *v, by_name);
    for (size_t i = 0; i < n; i++)
        add(d, v[i]);
    digest_hex(d, hex);
    printf("%s\tok\t%s\t%s\t%zu\t%zu\t%s\n", path, arrays_container(a), arrays_wrapper(a), n,
           elements, hex);
    for (size_t i = 0; verbose && i < n; i++)
        print_array(v[i]);
    digest_free(&d);
    free(v);
}

static void check(const char *path, int verbose)
{
    arrays *a = NULL;
    int rc;
    err_clear();
    rc = arrays_open(&a, path);
    if (rc == 0) {
        print_good(path, a, verbose);
    } else {
        const char *text = err_text(), *rule = text + strlen(path) + 2;
        const char *end = strlen(text) > strlen(path) + 2 ? strchr(rule, ':') : NULL;
        printf("%s\t%s\t%.*s\t%s\n", path, rc == ERR_INPUT ? "refused" : "failed",
               end != NULL ? (int)(end - rule) : 1, end != NULL ? rule : "?", text);
    }
    arrays_close(&a);
}

int main(int argc, char **argv)
{
    int verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    for (int i = 1 + verbose; i < argc; i++) {
        char line[4096];
        if (strcmp(argv[i], "-") != 0) {
            check(argv[i], verbose);
            continue;
        }
        while (fgets(line, sizeof line, stdin) != NULL) {
            line[strcspn(line, "\n")] = '\0';
            check(line, verbose);
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}
