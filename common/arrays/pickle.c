#include "common/arrays/pickle.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/arrays/pickle_machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int run(machine *m)
{
    int rc = 0;
    TRY(vm_new_node(m, PICKLE_NONE, &m->none));
    TRY(vm_new_node(m, PICKLE_BOOL, &m->yes));
    TRY(vm_new_node(m, PICKLE_BOOL, &m->no));
    m->p->node[m->yes].u.i = 1;
    while (!m->stopped) {
        const unsigned char *op;
        m->op_at = m->at;
        if (m->at == m->frame_end) m->frame_end = 0;
        TRY(vm_take(m, 1, &op));
        CHECK(pickle_opcodes[*op].run != NULL, ERR_INPUT,
              "%s: pickle-opcode: opcode 0x%02x (%s) is not in the table, byte %zu", m->path,
              (unsigned)*op, vm_op_name(m), m->base + m->op_at);
        TRY(pickle_opcodes[*op].run(m, *op));
    }
done:
    return rc;
}

int pickle_load(pickle **out, const void *bytes, size_t n, const char *path, size_t base,
                size_t *used)
{
    machine m = { .bytes = bytes, .n = n, .path = path, .base = base };
    int rc = mem_new(&m.p, 1, sizeof *m.p, "pickle");
    if (rc == 0) rc = run(&m);
    free(m.stack);
    free(m.memo);
    if (rc < 0) {
        pickle_free(&m.p);
        return rc;
    }
    *used = m.at;
    *out = m.p;
    return 0;
}

void pickle_free(pickle **p)
{
    if (*p == NULL) return;
    for (size_t i = 0; i < (*p)->n; i++) {
        const pickle_node *v = &(*p)->node[i];
        if (v->kind >= PICKLE_TUPLE && v->kind <= PICKLE_DICT) free(v->u.items);
    }
    free((*p)->node);
    free(*p);
    *p = NULL;
}

/* ---- looking at the tree ---------------------------------------------------------------------- */

pickle_ref pickle_root(const pickle *p)
{
    return p->root;
}

size_t pickle_count(const pickle *p)
{
    return p->n;
}

const pickle_node *pickle_at(const pickle *p, pickle_ref r)
{
    return &p->node[r];
}

static const pickle_node *global_behind(const pickle *p, pickle_ref r)
{
    const pickle_node *v = &p->node[r];
    if (v->kind == PICKLE_CALL) v = &p->node[v->u.pair.a];
    return v->kind == PICKLE_GLOBAL ? v : NULL;
}

int pickle_global_of(const pickle *p, pickle_ref r)
{
    const pickle_node *g = global_behind(p, r);
    return g != NULL ? (int)g->tag : -1;
}

const char *pickle_global_name(const pickle *p, pickle_ref r, char *buf, size_t room)
{
    const pickle_node *g = global_behind(p, r), *a, *b;
    buf[0] = '\0';
    if (g == NULL) return buf;
    a = &p->node[g->u.pair.a];
    b = &p->node[g->u.pair.b];
    snprintf(buf, room, "%.*s.%.*s", (int)a->n, a->u.s, (int)b->n, b->u.s);
    return buf;
}

int pickle_is(const pickle *p, pickle_ref r, const char *s)
{
    const pickle_node *v = &p->node[r];
    return (v->kind == PICKLE_STR || v->kind == PICKLE_BYTES) && v->n == strlen(s) &&
           memcmp(v->u.s, s, v->n) == 0;
}

const pickle_ref *pickle_tuple(const pickle *p, pickle_ref r, size_t n_min, size_t n_max, size_t *n)
{
    static const pickle_ref nothing[1];
    const pickle_node *v = &p->node[r];
    if (v->kind != PICKLE_TUPLE || v->n < n_min || v->n > n_max) return NULL;
    if (n != NULL) *n = v->n;
    return v->n > 0 ? v->u.items : nothing;
}
