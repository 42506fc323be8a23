/* libFuzzer target: any bytes as a pickle; the tree it gives is sound. */
#include "common/err.h"
#include "common/arrays/pickle.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ref(const pickle *p, pickle_ref r)
{
    if (r >= pickle_count(p)) abort();
}

/* Every value refers to values only, and every text lies within the stream. */
static void check_node(const pickle *p, pickle_ref r, const uint8_t *data, size_t size)
{
    const pickle_node *v = pickle_at(p, r);
    const char *begin = (const char *)data;
    char name[128];
    switch ((pickle_kind)v->kind) {
    case PICKLE_BIG:
    case PICKLE_STR:
    case PICKLE_BYTES:
        if (v->u.s < begin || v->n > size || v->u.s > begin + size - v->n) abort();
        break;
    case PICKLE_DICT:
        if (v->n % 2 != 0) abort(); /* fall through */
    case PICKLE_TUPLE:
    case PICKLE_LIST:
    case PICKLE_SET:
        for (size_t i = 0; i < v->n; i++)
            check_ref(p, v->u.items[i]);
        break;
    case PICKLE_CALL:
        check_ref(p, v->u.pair.a);
        check_ref(p, v->u.pair.b);
        if (pickle_at(p, v->u.pair.a)->kind != PICKLE_GLOBAL ||
            pickle_at(p, v->u.pair.b)->kind != PICKLE_TUPLE)
            abort();
        if (v->tag != PICKLE_NO_REF) check_ref(p, v->tag);
        if (strlen(pickle_global_name(p, r, name, sizeof name)) >= sizeof name) abort();
        break;
    case PICKLE_GLOBAL:
        if (v->tag > GLOBAL_IGNORED) abort();
        check_ref(p, v->u.pair.a);
        check_ref(p, v->u.pair.b);
        break;
    case PICKLE_PERSID: check_ref(p, v->u.pair.a); break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pickle *p = NULL;
    size_t used = 0;
    int rc;
    err_clear();
    rc = pickle_load(&p, data, size, "fuzz", 0, &used);
    if (rc != 0) {
        if (rc != ERR_INPUT || strncmp(err_text(), "fuzz: pickle-", 13) != 0 || p != NULL) abort();
        return 0;
    }
    if (used == 0 || used > size) abort();
    check_ref(p, pickle_root(p));
    for (size_t i = 0; i < pickle_count(p); i++)
        check_node(p, (pickle_ref)i, data, size);
    pickle_free(&p);
    return 0;
}
