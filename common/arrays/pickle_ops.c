/* The opcodes, one small function each, and their table. */
#include "common/err.h"
#include "common/mem.h"
#include "common/arrays/pickle_machine.h"

#include <string.h>

static int op_proto(machine *m, int op)
{
    uint64_t version;
    int rc = vm_take_number(m, 1, &version);
    (void)op;
    if (rc < 0) return rc;
    if (m->op_at != 0) return vm_refuse(m, "opcode", "PROTO after the start");
    if (version < 1 || version > 5) return vm_refuse(m, "protocol", "protocol is not 1 to 5");
    return 0;
}

static int op_frame(machine *m, int op)
{
    uint64_t length;
    int rc;
    (void)op;
    if (m->frame_end != 0) return vm_refuse(m, "frame", "a frame inside a frame");
    rc = vm_take_number(m, 8, &length);
    if (rc < 0) return rc;
    if (length > m->n - m->at) return vm_refuse(m, "frame", "the frame is longer than the stream");
    m->frame_end = length > 0 ? m->at + (size_t)length : 0;
    return 0;
}

static int op_stop(machine *m, int op)
{
    (void)op;
    if (m->n_marks != 0 || m->n_stack != 1)
        return vm_refuse(m, "stack", "ends with other than one value on the stack");
    m->p->root = m->stack[0];
    m->stopped = 1;
    return 0;
}

static int op_mark(machine *m, int op)
{
    (void)op;
    if (m->n_marks >= PICKLE_MARKS_MAX) return vm_refuse(m, "limit", "nested deeper than 64");
    m->mark[m->n_marks++] = m->n_stack;
    return 0;
}

static int op_constant(machine *m, int op)
{
    return vm_push(m, op == 'N' ? m->none : op == 0x88 ? m->yes : m->no);
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
    int rc = vm_take_line(m, &s, &n);
    if (rc < 0) return rc;
    if (op == 'I' && n == 2 && s[0] == '0' && (s[1] == '0' || s[1] == '1'))
        return vm_push(m, s[1] == '1' ? m->yes : m->no);
    if (op == 'L' && n > 0 && s[n - 1] == 'L') n--;
    rc = parse_decimal(s, n, &v);
    if (rc < 0) return vm_refuse(m, "number", "not a decimal number");
    return rc > 0 ? vm_push_text(m, PICKLE_BIG, s, n, 1) : vm_push_int(m, v);
}

static int op_binint(machine *m, int op)
{
    size_t width = op == 'K' ? 1 : op == 'M' ? 2 : 4;
    uint64_t v;
    int rc = vm_take_number(m, width, &v);
    if (rc < 0) return rc;
    return vm_push_int(m, width == 4 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v);
}

/* Two's complement, little-endian, any length. */
static int op_long(machine *m, int op)
{
    uint64_t n, v = 0;
    const unsigned char *b;
    int rc = vm_take_number(m, op == 0x8a ? 1 : 4, &n);
    if (rc < 0) return rc;
    if (op == 0x8b && n > INT32_MAX) return vm_refuse(m, "number", "negative length");
    rc = vm_take(m, (size_t)n, &b);
    if (rc < 0) return rc;
    if (n > 8) return vm_push_text(m, PICKLE_BIG, b, (size_t)n, 0);
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)b[i] << (8 * i);
    if (n > 0 && n < 8 && (b[n - 1] & 0x80)) v |= ~(uint64_t)0 << (8 * n);
    return vm_push_int(m, (int64_t)v);
}

static int op_binfloat(machine *m, int op)
{
    const unsigned char *b;
    uint64_t bits = 0;
    pickle_node *v = NULL;
    int rc = vm_take(m, 8, &b);
    (void)op;
    if (rc < 0) return rc;
    for (int i = 0; i < 8; i++)
        bits = bits << 8 | b[i];
    rc = vm_push_new(m, PICKLE_FLOAT, &v);
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
    rc = vm_take_number(m, width, &n);
    if (rc < 0) return rc;
    if (op == 'T' && n > INT32_MAX) return vm_refuse(m, "number", "negative length");
    if (n > m->n) return vm_refuse(m, "truncated", "the stream ends inside an opcode");
    rc = vm_take(m, (size_t)n, &b);
    if (rc < 0) return rc;
    return vm_push_text(m, kind, b, (size_t)n, op == 'T' || op == 'U');
}

static int op_empty(machine *m, int op)
{
    return vm_push_new(m,
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
        rc = vm_pop_mark(m, &item, &n);
        if (rc < 0) return rc;
    } else {
        n = (size_t)(op - 0x84); /* TUPLE1 is 0x85 */
        if (vm_stack_above_mark(m) < n) return vm_refuse(m, "stack", "takes a value from an empty stack");
        m->n_stack -= n;
        item = m->stack + m->n_stack;
    }
    rc = vm_new_node(m, op == 0x91 ? PICKLE_SET : PICKLE_TUPLE, &r);
    if (rc == 0) rc = vm_add_items(m, &m->p->node[r], item, n);
    return rc < 0 ? rc : vm_push(m, r);
}

/* What follows a call on an object that we only note is noted as little: its items are dropped. */
static int add_to_top(machine *m, const pickle_ref *item, size_t n, pickle_kind kind)
{
    pickle_node *v = NULL;
    int rc = vm_top(m, &v);
    if (rc < 0) return rc;
    if (v->kind == PICKLE_CALL && kind != PICKLE_SET) return 0;
    if (v->kind != kind) return vm_refuse(m, "type", "the object below is of another kind");
    return vm_add_items(m, v, item, n);
}

static int op_append(machine *m, int op)
{
    pickle_ref item;
    int rc = vm_pop(m, &item);
    (void)op;
    return rc < 0 ? rc : add_to_top(m, &item, 1, PICKLE_LIST);
}

static int op_setitem(machine *m, int op)
{
    pickle_ref item[2];
    int rc = vm_pop(m, &item[1]);
    (void)op;
    if (rc == 0) rc = vm_pop(m, &item[0]);
    return rc < 0 ? rc : add_to_top(m, item, 2, PICKLE_DICT);
}

static int op_add_many(machine *m, int op)
{
    const pickle_ref *item = NULL;
    size_t n = 0;
    int rc = vm_pop_mark(m, &item, &n);
    if (rc < 0) return rc;
    if (op == 'u' && n % 2 != 0) return vm_refuse(m, "stack", "a key without a value");
    return add_to_top(m, item, n, op == 'e' ? PICKLE_LIST : op == 'u' ? PICKLE_DICT : PICKLE_SET);
}

static int op_put(machine *m, int op)
{
    uint64_t slot = m->n_memoized; /* MEMOIZE */
    pickle_node *v = NULL;
    int rc = 0;
    if (op != 0x94) rc = vm_take_number(m, op == 'q' ? 1 : 4, &slot);
    if (rc == 0) rc = vm_top(m, &v);
    if (rc < 0) return rc;
    if (slot >= PICKLE_MEMO_MAX) return vm_refuse(m, "limit", "memo slot beyond 1000000");
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
    int rc = vm_take_number(m, op == 'h' ? 1 : 4, &slot);
    if (rc < 0) return rc;
    if (slot >= m->n_memo || m->memo[slot] == PICKLE_NO_REF)
        return vm_refuse(m, "memo", "a memo slot that was never filled");
    return vm_push(m, m->memo[slot]);
}

static int push_global(machine *m, pickle_ref module, pickle_ref name)
{
    const pickle_node *a = &m->p->node[module], *b = &m->p->node[name];
    pickle_global id = pickle_global_lookup(a->u.s, a->n, b->u.s, b->n);
    pickle_node *v = NULL;
    int rc = vm_push_new(m, PICKLE_GLOBAL, &v);
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
        int rc = vm_take_line(m, &s, &n);
        if (rc == 0) rc = vm_new_node(m, PICKLE_STR, &part[i]);
        if (rc < 0) return rc;
        m->p->node[part[i]].u.s = s;
        m->p->node[part[i]].n = n;
    }
    return push_global(m, part[0], part[1]);
}

static int op_stack_global(machine *m, int op)
{
    pickle_ref module = 0, name = 0;
    int rc = vm_pop(m, &name);
    (void)op;
    if (rc == 0) rc = vm_pop(m, &module);
    if (rc < 0) return rc;
    if (m->p->node[module].kind != PICKLE_STR || m->p->node[name].kind != PICKLE_STR)
        return vm_refuse(m, "type", "a global's name is not text");
    if (m->p->node[module].n > PICKLE_LINE_MAX || m->p->node[name].n > PICKLE_LINE_MAX)
        return vm_refuse(m, "limit", "a global's name is longer than 1024 bytes");
    return push_global(m, module, name);
}

/* OrderedDict() or OrderedDict([(key, value), ...]), as Python 2 wrote it. */
static int ordered_dict(machine *m, const pickle_node *args)
{
    pickle_ref dict, list = PICKLE_NO_REF;
    int rc;
    if (args->n > 1) return vm_refuse(m, "type", "OrderedDict with more than one argument");
    if (args->n == 1) list = args->u.items[0];
    rc = vm_new_node(m, PICKLE_DICT, &dict);
    if (rc == 0) rc = vm_push(m, dict);
    if (rc < 0 || list == PICKLE_NO_REF) return rc;
    if (m->p->node[list].kind != PICKLE_LIST)
        return vm_refuse(m, "type", "OrderedDict of something that is no list");
    for (size_t i = 0; rc == 0 && i < m->p->node[list].n; i++) {
        const pickle_node *pair = &m->p->node[m->p->node[list].u.items[i]];
        if ((pair->kind != PICKLE_TUPLE && pair->kind != PICKLE_LIST) || pair->n != 2)
            return vm_refuse(m, "type", "OrderedDict of something that is no pair");
        rc = vm_add_items(m, &m->p->node[dict], pair->u.items, 2);
    }
    return rc;
}

/* REDUCE and NEWOBJ: what would be called, and with what, is written down. */
static int op_call(machine *m, int op)
{
    pickle_ref callee = 0, args = 0;
    pickle_node *v = NULL;
    int rc = vm_pop(m, &args);
    (void)op;
    if (rc == 0) rc = vm_pop(m, &callee);
    if (rc < 0) return rc;
    if (m->p->node[callee].kind == PICKLE_CALL) { /* what a call would give is called */
        pickle_node first = m->p->node[m->p->node[callee].u.pair.a];
        rc = vm_new_node(m, PICKLE_GLOBAL, &callee);
        if (rc < 0) return rc;
        first.tag = GLOBAL_UNKNOWN;
        m->p->node[callee] = first;
    }
    if (m->p->node[callee].kind != PICKLE_GLOBAL)
        return vm_refuse(m, "type", "calls something that is not a global");
    if (m->p->node[args].kind != PICKLE_TUPLE)
        return vm_refuse(m, "type", "the arguments are not a tuple");
    if (m->p->node[callee].tag == GLOBAL_ORDERED_DICT)
        return ordered_dict(m, &m->p->node[args]);
    rc = vm_push_new(m, PICKLE_CALL, &v);
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
    int rc = vm_pop(m, &state);
    (void)op;
    if (rc == 0) rc = vm_top(m, &v);
    if (rc < 0) return rc;
    if (v->kind == PICKLE_DICT) return 0; /* a state dict's _metadata: version numbers of layers */
    if (v->kind != PICKLE_CALL) return vm_refuse(m, "type", "gives a state to a plain value");
    if (v->tag != PICKLE_NO_REF) return vm_refuse(m, "type", "gives a second state to one object");
    v->tag = state;
    return 0;
}

static int op_persid(machine *m, int op)
{
    pickle_ref id = 0;
    pickle_node *v = NULL;
    int rc = vm_pop(m, &id);
    (void)op;
    if (rc == 0) rc = vm_push_new(m, PICKLE_PERSID, &v);
    if (rc == 0) v->u.pair.a = id;
    return rc;
}

/* Names of all opcodes, for messages; those without a function refuse the file. */
const opcode pickle_opcodes[256] = {
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
