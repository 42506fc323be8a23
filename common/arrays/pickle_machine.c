#include "common/err.h"
#include "common/mem.h"
#include "common/arrays/pickle_machine.h"

#include <string.h>

const char *vm_op_name(const machine *m)
{
    const char *name = m->op_at < m->n ? pickle_opcodes[m->bytes[m->op_at]].name : NULL;
    return name != NULL ? name : "no opcode";
}

int vm_refuse(const machine *m, const char *rule, const char *why)
{
    err_set(ERR_INPUT, "%s: pickle-%s: %s, byte %zu (%s)", m->path, rule, why, m->base + m->op_at,
            vm_op_name(m));
    return ERR_INPUT;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The next `count` bytes.  An opcode with its arguments may not straddle the end of a frame: CPython's
 * two unpicklers disagree on what such a stream means. */
int vm_take(machine *m, size_t count, const unsigned char **out)
{
    if (count > m->n - m->at) return vm_refuse(m, "truncated", "the stream ends inside an opcode");
    if (m->frame_end != 0 && count > m->frame_end - m->at)
        return vm_refuse(m, "frame", "an opcode runs over the end of its frame");
    *out = m->bytes + m->at;
    m->at += count;
    return 0;
}

int vm_take_number(machine *m, size_t width, uint64_t *out)
{
    const unsigned char *b;
    uint64_t v = 0;
    int rc = vm_take(m, width, &b);
    if (rc < 0) return rc;
    for (size_t i = 0; i < width; i++)
        v |= (uint64_t)b[i] << (8 * i);
    *out = v;
    return 0;
}

/* A text argument up to '\n', which is consumed and not part of it. */
int vm_take_line(machine *m, const char **s, size_t *n)
{
    size_t left = (m->frame_end != 0 ? m->frame_end : m->n) - m->at;
    const unsigned char *b = m->bytes + m->at;
    const unsigned char *end = left > 0 ? memchr(b, '\n', left) : NULL;
    if (end == NULL) return vm_refuse(m, "truncated", "a text argument has no newline");
    *n = (size_t)(end - b);
    if (*n > PICKLE_LINE_MAX) return vm_refuse(m, "limit", "a text argument is longer than 1024 bytes");
    *s = (const char *)b;
    return vm_take(m, *n + 1, &b);
}

/* ---- values ---------------------------------------------------------------------------------- */

int vm_new_node(machine *m, pickle_kind kind, pickle_ref *out)
{
    pickle *p = m->p;
    int rc;
    if (p->n >= PICKLE_NODES_MAX) return vm_refuse(m, "limit", "more than 2000000 values");
    rc = mem_grow(&p->node, &p->room, p->n + 1, sizeof *p->node, "pickle values");
    if (rc < 0) return rc;
    memset(&p->node[p->n], 0, sizeof *p->node);
    p->node[p->n].kind = kind;
    *out = (pickle_ref)p->n++;
    return 0;
}

int vm_push(machine *m, pickle_ref r)
{
    int rc;
    if (m->n_stack >= PICKLE_STACK_MAX) return vm_refuse(m, "limit", "stack deeper than 1000000");
    rc = mem_grow(&m->stack, &m->stack_room, m->n_stack + 1, sizeof *m->stack, "pickle stack");
    if (rc < 0) return rc;
    m->stack[m->n_stack++] = r;
    return 0;
}

int vm_push_new(machine *m, pickle_kind kind, pickle_node **out)
{
    pickle_ref r;
    int rc = vm_new_node(m, kind, &r);
    if (rc == 0) rc = vm_push(m, r);
    if (rc == 0 && out != NULL) *out = &m->p->node[r];
    return rc;
}

int vm_push_text(machine *m, pickle_kind kind, const void *s, size_t n, uint32_t tag)
{
    pickle_node *v = NULL;
    int rc = vm_push_new(m, kind, &v);
    if (rc < 0) return rc;
    v->u.s = s;
    v->n = n;
    v->tag = tag;
    return 0;
}

int vm_push_int(machine *m, int64_t i)
{
    pickle_node *v = NULL;
    int rc = vm_push_new(m, PICKLE_INT, &v);
    if (rc == 0) v->u.i = i;
    return rc;
}

size_t vm_stack_above_mark(const machine *m)
{
    return m->n_stack - (m->n_marks > 0 ? m->mark[m->n_marks - 1] : 0);
}

int vm_pop(machine *m, pickle_ref *out)
{
    if (vm_stack_above_mark(m) == 0) return vm_refuse(m, "stack", "takes a value from an empty stack");
    *out = m->stack[--m->n_stack];
    return 0;
}

int vm_top(machine *m, pickle_node **out)
{
    if (vm_stack_above_mark(m) == 0) return vm_refuse(m, "stack", "needs a value on an empty stack");
    *out = &m->p->node[m->stack[m->n_stack - 1]];
    return 0;
}

/* The values above the last MARK, which goes. */
int vm_pop_mark(machine *m, const pickle_ref **first, size_t *n)
{
    size_t height;
    if (m->n_marks == 0) return vm_refuse(m, "stack", "there is no MARK");
    height = m->mark[--m->n_marks];
    *n = m->n_stack - height;
    *first = *n > 0 ? m->stack + height : NULL;
    m->n_stack = height; /* the values stay in place until the next push */
    return 0;
}

/* Appends to a tuple, list, set or dict; tag is the room of u.items. */
int vm_add_items(machine *m, pickle_node *v, const pickle_ref *item, size_t n)
{
    size_t room = v->tag;
    int rc;
    if (n == 0) return 0;
    if (n > PICKLE_ITEMS_MAX - m->n_items) return vm_refuse(m, "limit", "more than 4000000 items");
    if (v->n + n > room) {
        if (room == 0) { /* a tuple, or a list filled at once: exact */
            rc = mem_new(&v->u.items, n, sizeof *item, "pickle items");
            room = n;
        } else {
            rc = mem_grow(&v->u.items, &room, v->n + n, sizeof *item, "pickle items");
        }
        if (rc < 0) return rc;
        v->tag = (uint32_t)room;
    }
    memcpy(v->u.items + v->n, item, n * sizeof *item);
    v->n += n;
    m->n_items += n;
    return 0;
}
