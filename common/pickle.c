#include "common/pickle.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pickle {
    pickle_node *node;
    size_t n, room;
    pickle_ref root;
};

typedef struct machine {
    pickle *p;
    const unsigned char *bytes;
    size_t n, at, op_at; /* op_at: where the opcode being run begins */
    size_t frame_end;    /* 0 outside frames */
    pickle_ref *stack;
    size_t n_stack, stack_room;
    size_t mark[PICKLE_MARKS_MAX]; /* stack heights */
    size_t n_marks;
    pickle_ref *memo; /* PICKLE_NO_REF: undefined */
    size_t n_memo, memo_room, n_memoized;
    size_t n_items;
    pickle_ref none, yes, no; /* shared */
    int stopped;
    const char *path;
    size_t base;
} machine;

typedef struct opcode {
    const char *name;
    int (*run)(machine *m, int op);
} opcode;
static const opcode opcodes[256];


static const char *op_name(const machine *m)
{
    const char *name = m->op_at < m->n ? opcodes[m->bytes[m->op_at]].name : NULL;
    return name != NULL ? name : "no opcode";
}

static int refuse(const machine *m, const char *rule, const char *why)
{
    err_set(ERR_INPUT, "%s: pickle-%s: %s, byte %zu (%s)", m->path, rule, why, m->base + m->op_at,
            op_name(m));
    return ERR_INPUT;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* The next `count` bytes.  An opcode with its arguments may not straddle the end of a frame: CPython's
 * two unpicklers disagree on what such a stream means. */
static int take(machine *m, size_t count, const unsigned char **out)
{
    if (count > m->n - m->at) return refuse(m, "truncated", "the stream ends inside an opcode");
    if (m->frame_end != 0 && count > m->frame_end - m->at)
        return refuse(m, "frame", "an opcode runs over the end of its frame");
    *out = m->bytes + m->at;
    m->at += count;
    return 0;
}

static int take_number(machine *m, size_t width, uint64_t *out)
{
    const unsigned char *b;
    uint64_t v = 0;
    int rc = take(m, width, &b);
    if (rc < 0) return rc;
    for (size_t i = 0; i < width; i++)
        v |= (uint64_t)b[i] << (8 * i);
    *out = v;
    return 0;
}

/* A text argument up to '\n', which is consumed and not part of it. */
static int take_line(machine *m, const char **s, size_t *n)
{
    size_t left = (m->frame_end != 0 ? m->frame_end : m->n) - m->at;
    const unsigned char *b = m->bytes + m->at;
    const unsigned char *end = left > 0 ? memchr(b, '\n', left) : NULL;
    if (end == NULL) return refuse(m, "truncated", "a text argument has no newline");
    *n = (size_t)(end - b);
    if (*n > PICKLE_LINE_MAX) return refuse(m, "limit", "a text argument is longer than 1024 bytes");
    *s = (const char *)b;
    return take(m, *n + 1, &b);
}

/* ---- values ---------------------------------------------------------------------------------- */

static int new_node(machine *m, pickle_kind kind, pickle_ref *out)
{
    pickle *p = m->p;
    int rc;
    if (p->n >= PICKLE_NODES_MAX) return refuse(m, "limit", "more than 2000000 values");
    rc = mem_grow(&p->node, &p->room, p->n + 1, sizeof *p->node, "pickle values");
    if (rc < 0) return rc;
    memset(&p->node[p->n], 0, sizeof *p->node);
    p->node[p->n].kind = kind;
    *out = (pickle_ref)p->n++;
    return 0;
}

static int push(machine *m, pickle_ref r)
{
    int rc;
    if (m->n_stack >= PICKLE_STACK_MAX) return refuse(m, "limit", "stack deeper than 1000000");
    rc = mem_grow(&m->stack, &m->stack_room, m->n_stack + 1, sizeof *m->stack, "pickle stack");
    if (rc < 0) return rc;
    m->stack[m->n_stack++] = r;
    return 0;
}

static int push_new(machine *m, pickle_kind kind, pickle_node **out)
{
    pickle_ref r;
    int rc = new_node(m, kind, &r);
    if (rc == 0) rc = push(m, r);
    if (rc == 0 && out != NULL) *out = &m->p->node[r];
    return rc;
}

static int push_text(machine *m, pickle_kind kind, const void *s, size_t n, uint32_t tag)
{
    pickle_node *v = NULL;
    int rc = push_new(m, kind, &v);
    if (rc < 0) return rc;
    v->u.s = s;
    v->n = n;
    v->tag = tag;
    return 0;
}

static int push_int(machine *m, int64_t i)
{
    pickle_node *v = NULL;
    int rc = push_new(m, PICKLE_INT, &v);
    if (rc == 0) v->u.i = i;
    return rc;
}

static size_t stack_above_mark(const machine *m)
{
    return m->n_stack - (m->n_marks > 0 ? m->mark[m->n_marks - 1] : 0);
}

static int pop(machine *m, pickle_ref *out)
{
    if (stack_above_mark(m) == 0) return refuse(m, "stack", "takes a value from an empty stack");
    *out = m->stack[--m->n_stack];
    return 0;
}

static int top(machine *m, pickle_node **out)
{
    if (stack_above_mark(m) == 0) return refuse(m, "stack", "needs a value on an empty stack");
    *out = &m->p->node[m->stack[m->n_stack - 1]];
    return 0;
}

/* The values above the last MARK, which goes. */
static int pop_mark(machine *m, const pickle_ref **first, size_t *n)
{
    size_t height;
    if (m->n_marks == 0) return refuse(m, "stack", "there is no MARK");
    height = m->mark[--m->n_marks];
    *n = m->n_stack - height;
    *first = *n > 0 ? m->stack + height : NULL;
    m->n_stack = height; /* the values stay in place until the next push */
    return 0;
}

/* Appends to a tuple, list, set or dict; tag is the room of u.items. */
static int add_items(machine *m, pickle_node *v, const pickle_ref *item, size_t n)
{
    size_t room = v->tag;
    int rc;
    if (n == 0) return 0;
    if (n > PICKLE_ITEMS_MAX - m->n_items) return refuse(m, "limit", "more than 4000000 items");
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

/* ---- opcodes --------------------------------------------------------------------------------- */

static int op_proto(machine *m, int op)
{
    uint64_t version;
    int rc = take_number(m, 1, &version);
    (void)op;
    if (rc < 0) return rc;
    if (m->op_at != 0) return refuse(m, "opcode", "PROTO after the start");
    if (version < 1 || version > 5) return refuse(m, "protocol", "protocol is not 1 to 5");
    return 0;
}

static int op_frame(machine *m, int op)
{
    uint64_t length;
    int rc;
    (void)op;
    if (m->frame_end != 0) return refuse(m, "frame", "a frame inside a frame");
    rc = take_number(m, 8, &length);
    if (rc < 0) return rc;
    if (length > m->n - m->at) return refuse(m, "frame", "the frame is longer than the stream");
    m->frame_end = length > 0 ? m->at + (size_t)length : 0;
    return 0;
}

static int op_stop(machine *m, int op)
{
    (void)op;
    if (m->n_marks != 0 || m->n_stack != 1)
        return refuse(m, "stack", "ends with other than one value on the stack");
    m->p->root = m->stack[0];
    m->stopped = 1;
    return 0;
}

static int op_mark(machine *m, int op)
{
    (void)op;
    if (m->n_marks >= PICKLE_MARKS_MAX) return refuse(m, "limit", "nested deeper than 64");
    m->mark[m->n_marks++] = m->n_stack;
    return 0;
}

static int op_constant(machine *m, int op)
{
    return push(m, op == 'N' ? m->none : op == 0x88 ? m->yes : m->no);
}

/* Decimal text -> int64; 1 when it does not fit, -1 when it is not a number. */
static int parse_decimal(const char *s, size_t n, int64_t *out)
{
    int minus = n > 0 && s[0] == '-';
    uint64_t v = 0, most = (uint64_t)INT64_MAX + (uint64_t)minus;
    if (n == (size_t)minus) return -1;
    for (size_t i = (size_t)minus; i < n; i++)
        if (s[i] < '0' || s[i] > '9') return -1;
    for (size_t i = (size_t)minus; i < n; i++) {
        uint64_t d = (uint64_t)(s[i] - '0');
        if (v > (most - d) / 10) return 1;
        v = v * 10 + d;
    }
    *out = minus ? -(int64_t)(v - 1) - 1 : (int64_t)v;
    if (v == 0) *out = 0;
    return 0;
}

/* INT: "00" and "01" are the booleans of protocols 0 and 1.  LONG: digits and an 'L'. */
static int op_int_text(machine *m, int op)
{
    const char *s;
    size_t n;
    int64_t v = 0;
    int rc = take_line(m, &s, &n);
    if (rc < 0) return rc;
    if (op == 'I' && n == 2 && s[0] == '0' && (s[1] == '0' || s[1] == '1'))
        return push(m, s[1] == '1' ? m->yes : m->no);
    if (op == 'L' && n > 0 && s[n - 1] == 'L') n--;
    rc = parse_decimal(s, n, &v);
    if (rc < 0) return refuse(m, "number", "not a decimal number");
    return rc > 0 ? push_text(m, PICKLE_BIG, s, n, 1) : push_int(m, v);
}

static int op_binint(machine *m, int op)
{
    size_t width = op == 'K' ? 1 : op == 'M' ? 2 : 4;
    uint64_t v;
    int rc = take_number(m, width, &v);
    if (rc < 0) return rc;
    return push_int(m, width == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

/* Two's complement, little-endian, any length. */
static int op_long(machine *m, int op)
{
    uint64_t n, v = 0;
    const unsigned char *b;
    int rc = take_number(m, op == 0x8a ? 1 : 4, &n);
    if (rc < 0) return rc;
    if (op == 0x8b && n > INT32_MAX) return refuse(m, "number", "negative length");
    rc = take(m, (size_t)n, &b);
    if (rc < 0) return rc;
    if (n > 8) return push_text(m, PICKLE_BIG, b, (size_t)n, 0);
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)b[i] << (8 * i);
    if (n > 0 && n < 8 && (b[n - 1] & 0x80)) v |= ~(uint64_t)0 << (8 * n);
    return push_int(m, (int64_t)v);
}

static int op_binfloat(machine *m, int op)
{
    const unsigned char *b;
    uint64_t bits = 0;
    pickle_node *v = NULL;
    int rc = take(m, 8, &b);
    (void)op;
    if (rc < 0) return rc;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | b[i];
    rc = push_new(m, PICKLE_FLOAT, &v);
    if (rc == 0) memcpy(&v->u.f, &bits, sizeof bits);
    return rc;
}

/* Strings and bytes: a length of 1, 4 or 8 bytes, then that many bytes. */
static int op_text(machine *m, int op)
{
    size_t width = 4;
    pickle_kind kind = PICKLE_STR;
    uint64_t n;
    const unsigned char *b;
    int rc;
    if (op == 'U' || op == 0x8c || op == 'C') width = 1;
    if (op == 0x8d || op == 0x8e || op == 0x96) width = 8;
    if (op == 'B' || op == 'C' || op == 0x8e || op == 0x96) kind = PICKLE_BYTES;
    rc = take_number(m, width, &n);
    if (rc < 0) return rc;
    if (op == 'T' && n > INT32_MAX) return refuse(m, "number", "negative length");
    if (n > m->n) return refuse(m, "truncated", "the stream ends inside an opcode");
    rc = take(m, (size_t)n, &b);
    if (rc < 0) return rc;
    return push_text(m, kind, b, (size_t)n, op == 'T' || op == 'U');
}

static int op_empty(machine *m, int op)
{
    return push_new(m,
                    op == ']'   ? PICKLE_LIST
                    : op == '}' ? PICKLE_DICT
                    : op == ')' ? PICKLE_TUPLE
                                : PICKLE_SET,
                    NULL);
}

static int op_tuple(machine *m, int op)
{
    const pickle_ref *item = NULL;
    size_t n = 0;
    pickle_ref r;
    int rc;
    if (op == 't' || op == 0x91) { /* TUPLE, FROZENSET */
        rc = pop_mark(m, &item, &n);
        if (rc < 0) return rc;
    } else {
        n = (size_t)(op - 0x84); /* TUPLE1 is 0x85 */
        if (stack_above_mark(m) < n) return refuse(m, "stack", "takes a value from an empty stack");
        m->n_stack -= n;
        item = m->stack + m->n_stack;
    }
    rc = new_node(m, op == 0x91 ? PICKLE_SET : PICKLE_TUPLE, &r);
    if (rc == 0) rc = add_items(m, &m->p->node[r], item, n);
    return rc < 0 ? rc : push(m, r);
}

/* What follows a call on an object that we only note is noted as little: its items are dropped. */
static int add_to_top(machine *m, const pickle_ref *item, size_t n, pickle_kind kind)
{
    pickle_node *v = NULL;
    int rc = top(m, &v);
    if (rc < 0) return rc;
    if (v->kind == PICKLE_CALL && kind != PICKLE_SET) return 0;
    if (v->kind != kind) return refuse(m, "type", "the object below is of another kind");
    return add_items(m, v, item, n);
}

static int op_append(machine *m, int op)
{
    pickle_ref item;
    int rc = pop(m, &item);
    (void)op;
    return rc < 0 ? rc : add_to_top(m, &item, 1, PICKLE_LIST);
}

static int op_setitem(machine *m, int op)
{
    pickle_ref item[2];
    int rc = pop(m, &item[1]);
    (void)op;
    if (rc == 0) rc = pop(m, &item[0]);
    return rc < 0 ? rc : add_to_top(m, item, 2, PICKLE_DICT);
}

static int op_add_many(machine *m, int op)
{
    const pickle_ref *item = NULL;
    size_t n = 0;
    int rc = pop_mark(m, &item, &n);
    if (rc < 0) return rc;
    if (op == 'u' && n % 2 != 0) return refuse(m, "stack", "a key without a value");
    return add_to_top(m, item, n, op == 'e' ? PICKLE_LIST : op == 'u' ? PICKLE_DICT : PICKLE_SET);
}

static int op_put(machine *m, int op)
{
    uint64_t slot = m->n_memoized; /* MEMOIZE */
    pickle_node *v = NULL;
    int rc = 0;
    if (op != 0x94) rc = take_number(m, op == 'q' ? 1 : 4, &slot);
    if (rc == 0) rc = top(m, &v);
    if (rc < 0) return rc;
    if (slot >= PICKLE_MEMO_MAX) return refuse(m, "limit", "memo slot beyond 1000000");
    rc = mem_grow(&m->memo, &m->memo_room, (size_t)slot + 1, sizeof *m->memo, "pickle memo");
    if (rc < 0) return rc;
    while (m->n_memo <= slot)
        m->memo[m->n_memo++] = PICKLE_NO_REF;
    if (m->memo[slot] == PICKLE_NO_REF) m->n_memoized++;
    m->memo[slot] = m->stack[m->n_stack - 1];
    return 0;
}

static int op_get(machine *m, int op)
{
    uint64_t slot;
    int rc = take_number(m, op == 'h' ? 1 : 4, &slot);
    if (rc < 0) return rc;
    if (slot >= m->n_memo || m->memo[slot] == PICKLE_NO_REF)
        return refuse(m, "memo", "a memo slot that was never filled");
    return push(m, m->memo[slot]);
}

static int push_global(machine *m, pickle_ref module, pickle_ref name)
{
    const pickle_node *a = &m->p->node[module], *b = &m->p->node[name];
    pickle_global id = pickle_global_lookup(a->u.s, a->n, b->u.s, b->n);
    pickle_node *v = NULL;
    int rc = push_new(m, PICKLE_GLOBAL, &v);
    if (rc < 0) return rc;
    v->tag = (uint32_t)id;
    v->u.pair.a = module;
    v->u.pair.b = name;
    return 0;
}

static int op_global(machine *m, int op)
{
    pickle_ref part[2];
    (void)op;
    for (int i = 0; i < 2; i++) {
        const char *s;
        size_t n;
        int rc = take_line(m, &s, &n);
        if (rc == 0) rc = new_node(m, PICKLE_STR, &part[i]);
        if (rc < 0) return rc;
        m->p->node[part[i]].u.s = s;
        m->p->node[part[i]].n = n;
    }
    return push_global(m, part[0], part[1]);
}

static int op_stack_global(machine *m, int op)
{
    pickle_ref module = 0, name = 0;
    int rc = pop(m, &name);
    (void)op;
    if (rc == 0) rc = pop(m, &module);
    if (rc < 0) return rc;
    if (m->p->node[module].kind != PICKLE_STR || m->p->node[name].kind != PICKLE_STR)
        return refuse(m, "type", "a global's name is not text");
    if (m->p->node[module].n > PICKLE_LINE_MAX || m->p->node[name].n > PICKLE_LINE_MAX)
        return refuse(m, "limit", "a global's name is longer than 1024 bytes");
    return push_global(m, module, name);
}

/* OrderedDict() or OrderedDict([(key, value), ...]), as Python 2 wrote it. */
static int ordered_dict(machine *m, const pickle_node *args)
{
    pickle_ref dict, list = PICKLE_NO_REF;
    int rc;
    if (args->n > 1) return refuse(m, "type", "OrderedDict with more than one argument");
    if (args->n == 1) list = args->u.items[0];
    rc = new_node(m, PICKLE_DICT, &dict);
    if (rc == 0) rc = push(m, dict);
    if (rc < 0 || list == PICKLE_NO_REF) return rc;
    if (m->p->node[list].kind != PICKLE_LIST)
        return refuse(m, "type", "OrderedDict of something that is no list");
    for (size_t i = 0; rc == 0 && i < m->p->node[list].n; i++) {
        const pickle_node *pair = &m->p->node[m->p->node[list].u.items[i]];
        if ((pair->kind != PICKLE_TUPLE && pair->kind != PICKLE_LIST) || pair->n != 2)
            return refuse(m, "type", "OrderedDict of something that is no pair");
        rc = add_items(m, &m->p->node[dict], pair->u.items, 2);
    }
    return rc;
}

/* REDUCE and NEWOBJ: what would be called, and with what, is written down. */
static int op_call(machine *m, int op)
{
    pickle_ref callee = 0, args = 0;
    pickle_node *v = NULL;
    int rc = pop(m, &args);
    (void)op;
    if (rc == 0) rc = pop(m, &callee);
    if (rc < 0) return rc;
    if (m->p->node[callee].kind == PICKLE_CALL) { /* what a call would give is called */
        pickle_node first = m->p->node[m->p->node[callee].u.pair.a];
        rc = new_node(m, PICKLE_GLOBAL, &callee);
        if (rc < 0) return rc;
        first.tag = GLOBAL_UNKNOWN;
        m->p->node[callee] = first;
    }
    if (m->p->node[callee].kind != PICKLE_GLOBAL)
        return refuse(m, "type", "calls something that is not a global");
    if (m->p->node[args].kind != PICKLE_TUPLE)
        return refuse(m, "type", "the arguments are not a tuple");
    if (m->p->node[callee].tag == GLOBAL_ORDERED_DICT)
        return ordered_dict(m, &m->p->node[args]);
    rc = push_new(m, PICKLE_CALL, &v);
    if (rc < 0) return rc;
    v->tag = PICKLE_NO_REF;
    v->u.pair.a = callee;
    v->u.pair.b = args;
    return 0;
}

static int op_build(machine *m, int op)
{
    pickle_ref state = 0;
    pickle_node *v = NULL;
    int rc = pop(m, &state);
    (void)op;
    if (rc == 0) rc = top(m, &v);
    if (rc < 0) return rc;
    if (v->kind == PICKLE_DICT) return 0; /* a state dict's _metadata: version numbers of layers */
    if (v->kind != PICKLE_CALL) return refuse(m, "type", "gives a state to a plain value");
    if (v->tag != PICKLE_NO_REF) return refuse(m, "type", "gives a second state to one object");
    v->tag = state;
    return 0;
}

static int op_persid(machine *m, int op)
{
    pickle_ref id = 0;
    pickle_node *v = NULL;
    int rc = pop(m, &id);
    (void)op;
    if (rc == 0) rc = push_new(m, PICKLE_PERSID, &v);
    if (rc == 0) v->u.pair.a = id;
    return rc;
}

/* Names of all opcodes, for messages; those without a function refuse the file. */
static const opcode opcodes[256] = {
    [0x80] = { "PROTO", op_proto },
    [0x95] = { "FRAME", op_frame },
    ['.'] = { "STOP", op_stop },
    ['('] = { "MARK", op_mark },
    ['N'] = { "NONE", op_constant },
    [0x88] = { "NEWTRUE", op_constant },
    [0x89] = { "NEWFALSE", op_constant },
    ['I'] = { "INT", op_int_text },
    ['L'] = { "LONG", op_int_text },
    ['J'] = { "BININT", op_binint },
    ['K'] = { "BININT1", op_binint },
    ['M'] = { "BININT2", op_binint },
    [0x8a] = { "LONG1", op_long },
    [0x8b] = { "LONG4", op_long },
    ['G'] = { "BINFLOAT", op_binfloat },
    ['T'] = { "BINSTRING", op_text },
    ['U'] = { "SHORT_BINSTRING", op_text },
    ['X'] = { "BINUNICODE", op_text },
    [0x8c] = { "SHORT_BINUNICODE", op_text },
    [0x8d] = { "BINUNICODE8", op_text },
    ['B'] = { "BINBYTES", op_text },
    ['C'] = { "SHORT_BINBYTES", op_text },
    [0x8e] = { "BINBYTES8", op_text },
    [0x96] = { "BYTEARRAY8", op_text },
    [']'] = { "EMPTY_LIST", op_empty },
    ['}'] = { "EMPTY_DICT", op_empty },
    [')'] = { "EMPTY_TUPLE", op_empty },
    [0x8f] = { "EMPTY_SET", op_empty },
    ['t'] = { "TUPLE", op_tuple },
    [0x85] = { "TUPLE1", op_tuple },
    [0x86] = { "TUPLE2", op_tuple },
    [0x87] = { "TUPLE3", op_tuple },
    [0x91] = { "FROZENSET", op_tuple },
    ['a'] = { "APPEND", op_append },
    ['e'] = { "APPENDS", op_add_many },
    ['s'] = { "SETITEM", op_setitem },
    ['u'] = { "SETITEMS", op_add_many },
    [0x90] = { "ADDITEMS", op_add_many },
    ['q'] = { "BINPUT", op_put },
    ['r'] = { "LONG_BINPUT", op_put },
    [0x94] = { "MEMOIZE", op_put },
    ['h'] = { "BINGET", op_get },
    ['j'] = { "LONG_BINGET", op_get },
    ['c'] = { "GLOBAL", op_global },
    [0x93] = { "STACK_GLOBAL", op_stack_global },
    ['R'] = { "REDUCE", op_call },
    [0x81] = { "NEWOBJ", op_call },
    ['b'] = { "BUILD", op_build },
    ['Q'] = { "BINPERSID", op_persid },

    ['0'] = { "POP", NULL },
    ['1'] = { "POP_MARK", NULL },
    ['2'] = { "DUP", NULL },
    ['F'] = { "FLOAT", NULL },
    ['S'] = { "STRING", NULL },
    ['V'] = { "UNICODE", NULL },
    ['P'] = { "PERSID", NULL },
    ['l'] = { "LIST", NULL },
    ['d'] = { "DICT", NULL },
    ['p'] = { "PUT", NULL },
    ['g'] = { "GET", NULL },
    ['i'] = { "INST", NULL },
    ['o'] = { "OBJ", NULL },
    [0x82] = { "EXT1", NULL },
    [0x83] = { "EXT2", NULL },
    [0x84] = { "EXT4", NULL },
    [0x92] = { "NEWOBJ_EX", NULL },
    [0x97] = { "NEXT_BUFFER", NULL },
    [0x98] = { "READONLY_BUFFER", NULL },
};

static int run(machine *m)
{
    int rc = 0;
    TRY(new_node(m, PICKLE_NONE, &m->none));
    TRY(new_node(m, PICKLE_BOOL, &m->yes));
    TRY(new_node(m, PICKLE_BOOL, &m->no));
    m->p->node[m->yes].u.i = 1;
    while (!m->stopped) {
        const unsigned char *op;
        m->op_at = m->at;
        if (m->at == m->frame_end) m->frame_end = 0;
        TRY(take(m, 1, &op));
        CHECK(opcodes[*op].run != NULL, ERR_INPUT,
              "%s: pickle-opcode: opcode 0x%02x (%s) is not in the table, byte %zu", m->path,
              (unsigned)*op, op_name(m), m->base + m->op_at);
        TRY(opcodes[*op].run(m, *op));
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
