/* Keys, shapes and number of the parameters of every network, in its first key layout, against
 * PyTorch's implementations (tests/golden/keys.tsv: a digest of the sorted lines "key AxBxC\n",
 * trailing dimensions of 1 left out).  Needs no weights. */
#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"
#include "extract/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 192 };

static int test_number, failures;

static void check(int ok, const char *net, const char *what, const char *said)
{
    test_number++;
    failures += !ok;
    printf("%s %d - %s: %s%s%s\n", ok ? "ok" : "not ok", test_number, net, what,
           ok ? "" : ": ", ok ? "" : said);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* The digest of the graph's parameters in layout `l` (NULL: by the graph's names), as
 * tests/golden/make_keys.py makes it. */
static int digest_of_keys(char hex[65], const graph *g, const layout *l)
{
    int rc = 0;
    size_t n = graph_params(g), room = 0;
    char(*line)[LINE] = NULL, *text = NULL;
    TRY(mem_new(&line, n, sizeof *line, "lines"));
    TRY(mem_new(&text, n, sizeof *line, "text"));
    for (size_t i = 0; i < n; i++) {
        const param *p = graph_param(g, (int)i);
        char key[KEY_MAX] = "";
        int at, rank = p->rank, parts = l != NULL ? layout_key(l, p, key, sizeof key, 0) : 1;
        CHECK(parts == 1, ERR_INPUT, "%s: not one tensor in a file", p->name);
        CHECK(strlen(l != NULL ? key : p->name) < LINE / 2, ERR_INPUT, "%s: a long name", p->name);
        at = snprintf(line[i], LINE, "%s ", l != NULL ? key : p->name);
        while (rank > 1 && p->dim[rank - 1] == 1)
            rank--;
        for (int k = 0; k < rank; k++)
            at += snprintf(line[i] + at, (size_t)(LINE - at), "%s%zu", k > 0 ? "x" : "", p->dim[k]);
        snprintf(line[i] + at, (size_t)(LINE - at), "\n");
    }
    qsort(line, n, sizeof *line, by_text);
    for (size_t i = 0; i < n; i++)
        room += (size_t)sprintf(text + room, "%s", line[i]);
    TRY(digest_of(text, room, hex));
done:
    free(text);
    free(line);
    return rc;
}

static void test_network(const char *net, size_t parameters, const char *sha)
{
    const model *m = model_find(net);
    graph *g = NULL;
    char hex[65] = "", said[64];
    if (m == NULL || model_build(&g, m, m->classes) < 0 || digest_of_keys(hex, g, m->key_layouts) < 0) {
        check(0, net, "the network", m == NULL ? "is not there" : err_text());
    } else {
        snprintf(said, sizeof said, "%zu, not %zu", graph_parameter_count(g), parameters);
        check(graph_parameter_count(g) == parameters, net, "number of parameters", said);
        check(strcmp(hex, sha) == 0, net, "keys and shapes", "differ");
    }
    graph_free(&g);
    err_clear();
}

int main(int argc, char **argv)
{
    char line[512], net[64], sha[72];
    size_t parameters;
    const char *path = "tests/golden/keys.tsv";
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        printf("1..0 # SKIP %s is not here: run from the project's root\n", path);
        return 0;
    }
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] != '#' && sscanf(line, "%63s %*d %zu %71s", net, &parameters, sha) == 3 &&
            (argc < 2 || strcmp(argv[1], net) == 0))
            test_network(net, parameters, sha);
    fclose(f);
    printf("1..%d\n", test_number);
    return failures > 0;
}
