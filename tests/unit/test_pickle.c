/* The pickle machine: each opcode, each global, each limit at the limit and one beyond. */
#include "common/err.h"
#include "common/mem.h"
#include "common/arrays/pickle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Loads bytes[n] from a block of exactly that size, so that a sanitizer sees each byte too many. */
static int load(const void *bytes, size_t n, pickle **p, unsigned char **copy)
{
    size_t used = 0;
    int rc;
    err_clear();
    *p = NULL;
    *copy = malloc(n > 0 ? n : 1);
    assert_non_null(*copy);
    if (n > 0) memcpy(*copy, bytes, n);
    rc = pickle_load(p, *copy, n, "x.pkl", 0, &used);
    if (rc == 0) assert_true(used > 0 && used <= n);
    return rc;
}

/* A short description of a value, as Python would write it, for the tables below. */
static void describe(const pickle *p, pickle_ref r, char *out, size_t room, int depth)
{
    const pickle_node *v = pickle_at(p, r);
    size_t at = 0;
    char name[300];
    if (depth > 4) {
        snprintf(out, room, "...");
        return;
    }
    switch ((pickle_kind)v->kind) {
    case PICKLE_NONE: snprintf(out, room, "None"); return;
    case PICKLE_BOOL: snprintf(out, room, v->u.i ? "True" : "False"); return;
    case PICKLE_INT: snprintf(out, room, "%lld", (long long)v->u.i); return;
    case PICKLE_BIG: snprintf(out, room, "big%zu", v->n); return;
    case PICKLE_FLOAT: snprintf(out, room, "%g", v->u.f); return;
    case PICKLE_STR: snprintf(out, room, "%s'%.*s'", v->tag ? "py2" : "", (int)v->n, v->u.s); return;
    case PICKLE_BYTES: snprintf(out, room, "b'%.*s'", (int)v->n, v->u.s); return;
    case PICKLE_GLOBAL:
        snprintf(out, room, "<%s>", pickle_global_name(p, r, name, sizeof name));
        return;
    case PICKLE_PERSID:
        at = (size_t)snprintf(out, room, "pid:");
        describe(p, v->u.pair.a, out + at, room - at, depth + 1);
        return;
    case PICKLE_CALL:
        at = (size_t)snprintf(out, room, "<%s>", pickle_global_name(p, r, name, sizeof name));
        describe(p, v->u.pair.b, out + at, room - at, depth + 1);
        if (v->tag != PICKLE_NO_REF) {
            at = strlen(out);
            at += (size_t)snprintf(out + at, room - at, "+");
            describe(p, v->tag, out + at, room - at, depth + 1);
        }
        return;
    default: break;
    }
    {
        static const char open[] = "([{{", close[] = ")]}}"; /* tuple, list, set, dict */
        size_t k = v->kind - PICKLE_TUPLE;
        at = (size_t)snprintf(out, room, "%c", open[k]);
        for (size_t i = 0; i < v->n && at + 40 < room; i++) {
            if (i > 0) out[at++] = v->kind == PICKLE_DICT && i % 2 ? ':' : ',';
            describe(p, v->u.items[i], out + at, room - at, depth + 1);
            at = strlen(out);
        }
        snprintf(out + at, room - at, "%c", close[k]);
    }
}

#define BYTES(s) s, sizeof(s) - 1

typedef struct good_case {
    const char *what, *bytes;
    size_t n;
    const char *value;
} good_case;

static const good_case good[] = {
    { "NONE", BYTES("N."), "None" },
    { "PROTO 1", BYTES("\x80\x01N."), "None" },
    { "PROTO 5", BYTES("\x80\x05N."), "None" },
    { "NEWTRUE", BYTES("\x88."), "True" },
    { "NEWFALSE", BYTES("\x89."), "False" },
    { "INT", BYTES("I42\n."), "42" },
    { "INT negative", BYTES("I-42\n."), "-42" },
    { "INT true", BYTES("I01\n."), "True" },
    { "INT false", BYTES("I00\n."), "False" },
    { "INT largest", BYTES("I9223372036854775807\n."), "9223372036854775807" },
    { "INT smallest", BYTES("I-9223372036854775808\n."), "-9223372036854775808" },
    { "INT beyond", BYTES("I9223372036854775808\n."), "big19" },
    { "LONG", BYTES("L7L\n."), "7" },
    { "LONG without L", BYTES("L7\n."), "7" },
    { "LONG beyond", BYTES("L119547037146038801333356L\n."), "big24" },
    { "BININT", BYTES("J\xff\xff\xff\xff."), "-1" },
    { "BININT positive", BYTES("J\x01\x02\x00\x00."), "513" },
    { "BININT1", BYTES("K\xff."), "255" },
    { "BININT2", BYTES("M\xff\xff."), "65535" },
    { "LONG1 empty", BYTES("\x8a\x00."), "0" },
    { "LONG1 negative", BYTES("\x8a\x01\xff."), "-1" },
    { "LONG1 8 bytes", BYTES("\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f."), "9223372036854775807" },
    { "LONG1 10 bytes", BYTES("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."), "big10" },
    { "LONG4", BYTES("\x8b\x02\x00\x00\x00\x00\x01."), "256" },
    { "BINFLOAT", BYTES("G\x3f\xf8\x00\x00\x00\x00\x00\x00."), "1.5" },
    { "BINSTRING", BYTES("T\x02\x00\x00\x00hi."), "py2'hi'" },
    { "SHORT_BINSTRING", BYTES("U\x02hi."), "py2'hi'" },
    { "BINUNICODE", BYTES("X\x02\x00\x00\x00hi."), "'hi'" },
    { "SHORT_BINUNICODE", BYTES("\x8c\x02hi."), "'hi'" },
    { "BINUNICODE8", BYTES("\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi."), "'hi'" },
    { "BINBYTES", BYTES("B\x02\x00\x00\x00hi."), "b'hi'" },
    { "SHORT_BINBYTES", BYTES("C\x02hi."), "b'hi'" },
    { "BINBYTES8", BYTES("\x8e\x02\x00\x00\x00\x00\x00\x00\x00hi."), "b'hi'" },
    { "BYTEARRAY8", BYTES("\x96\x02\x00\x00\x00\x00\x00\x00\x00hi."), "b'hi'" },
    { "EMPTY_LIST", BYTES("]."), "[]" },
    { "APPEND", BYTES("]K\x01" "aK\x02" "a."), "[1,2]" },
    { "APPENDS", BYTES("](K\x01K\x02" "e."), "[1,2]" },
    { "APPENDS of none", BYTES("](e."), "[]" },
    { "EMPTY_TUPLE", BYTES(")."), "()" },
    { "TUPLE", BYTES("(K\x01K\x02K\x03Nt."), "(1,2,3,None)" },
    { "TUPLE1", BYTES("N\x85."), "(None)" },
    { "TUPLE2", BYTES("NN\x86."), "(None,None)" },
    { "TUPLE3", BYTES("NNN\x87."), "(None,None,None)" },
    { "EMPTY_DICT", BYTES("}."), "{}" },
    { "SETITEM", BYTES("}U\x01" "aK\x01s."), "{py2'a':1}" },
    { "SETITEMS", BYTES("}(K\x01NK\x02Nu."), "{1:None,2:None}" },
    { "EMPTY_SET ADDITEMS", BYTES("\x8f(K\x01\x90."), "{1}" },
    { "FROZENSET", BYTES("(K\x01\x91."), "{1}" },
    { "BINPUT BINGET", BYTES("]q\x05h\x05\x86."), "([],[])" },
    { "LONG_BINPUT LONG_BINGET", BYTES("K\x07r\x00\x01\x00\x00j\x00\x01\x00\x00\x86."), "(7,7)" },
    { "MEMOIZE", BYTES("K\x07\x94h\x00\x86."), "(7,7)" },
    { "GLOBAL", BYTES("cos\nsystem\n."), "<os.system>" },
    { "STACK_GLOBAL", BYTES("\x8c\x02os\x8c\x06system\x93."), "<os.system>" },
    { "REDUCE is not run", BYTES("cos\nsystem\nU\x02id\x85R."), "<os.system>(py2'id')" },
    { "NEWOBJ is not run", BYTES("cos\nsystem\n)\x81."), "<os.system>()" },
    { "BUILD is noted", BYTES("ca\nb\n)R}b."), "<a.b>()+{}" },
    { "a call's result called", BYTES("ca\nb\n)R)R."), "<a.b>()" },
    { "SETITEM on a call", BYTES("ca\nb\n)RK\x01K\x02s."), "<a.b>()" },
    { "APPENDS on a call", BYTES("ca\nb\n)R(K\x01" "e."), "<a.b>()" },
    { "BINPERSID", BYTES("U\x01kQ."), "pid:py2'k'" },
    { "OrderedDict", BYTES("ccollections\nOrderedDict\n)RK\x01Ns."), "{1:None}" },
    { "OrderedDict of pairs", BYTES("ccollections\nOrderedDict\n](K\x01N\x86" "K\x02N\x86" "e\x85R."),
      "{1:None,2:None}" },
    { "OrderedDict with _metadata", BYTES("ccollections\nOrderedDict\n)R}b."), "{}" },
    { "FRAME", BYTES("\x80\x04\x95\x02\x00\x00\x00\x00\x00\x00\x00N."), "None" },
    { "FRAME, then bytes outside", BYTES("\x80\x04\x95\x01\x00\x00\x00\x00\x00\x00\x00]K\x01" "a."), "[1]" },
    { "a list in itself", BYTES("]q\x00h\x00" "a."), "[[[[[...]]]]]" },
};

static void opcodes_give_their_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        pickle *p;
        unsigned char *copy;
        char value[512] = "";
        if (load(good[i].bytes, good[i].n, &p, &copy) != 0) fail_msg("%s: %s", good[i].what, err_text());
        describe(p, pickle_root(p), value, sizeof value, 0);
        if (strcmp(value, good[i].value) != 0)
            fail_msg("%s: %s, not %s", good[i].what, value, good[i].value);
        pickle_free(&p);
        free(copy);
    }
}

/* Every proper prefix of every good stream ends before its STOP and is refused. */
static void prefixes_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        for (size_t n = 0; n < good[i].n; n++) {
            pickle *p;
            unsigned char *copy;
            assert_int_equal(load(good[i].bytes, n, &p, &copy), ERR_INPUT);
            assert_null(p);
            free(copy);
        }
}

static const struct bad_case {
    const char *what, *bytes;
    size_t n;
    const char *rule;
} bad[] = {
    { "nothing", BYTES(""), "pickle-truncated" },
    { "POP", BYTES("NN0."), "pickle-opcode" },
    { "POP_MARK", BYTES("N(1."), "pickle-opcode" },
    { "DUP", BYTES("N2\x86."), "pickle-opcode" },
    { "FLOAT", BYTES("F1.5\n."), "pickle-opcode" },
    { "STRING", BYTES("S'a'\n."), "pickle-opcode" },
    { "UNICODE", BYTES("Va\n."), "pickle-opcode" },
    { "PERSID", BYTES("Pa\n."), "pickle-opcode" },
    { "LIST", BYTES("(l."), "pickle-opcode" },
    { "DICT", BYTES("(d."), "pickle-opcode" },
    { "PUT", BYTES("Np0\n."), "pickle-opcode" },
    { "GET", BYTES("Ng0\n."), "pickle-opcode" },
    { "INST", BYTES("(ios\nsystem\n."), "pickle-opcode" },
    { "OBJ", BYTES("(cos\nsystem\no."), "pickle-opcode" },
    { "EXT1", BYTES("\x82\x01."), "pickle-opcode" },
    { "EXT2", BYTES("\x83\x01\x00."), "pickle-opcode" },
    { "EXT4", BYTES("\x84\x01\x00\x00\x00."), "pickle-opcode" },
    { "NEWOBJ_EX", BYTES("ca\nb\n)}\x92."), "pickle-opcode" },
    { "NEXT_BUFFER", BYTES("\x97."), "pickle-opcode" },
    { "READONLY_BUFFER", BYTES("N\x98."), "pickle-opcode" },
    { "byte 0", BYTES("\0."), "pickle-opcode" },
    { "byte 0xff", BYTES("\xff."), "pickle-opcode" },
    { "PROTO 0", BYTES("\x80\x00N."), "pickle-protocol" },
    { "PROTO 6", BYTES("\x80\x06N."), "pickle-protocol" },
    { "PROTO later", BYTES("N\x80\x02."), "pickle-opcode" },
    { "STOP on nothing", BYTES("."), "pickle-stack" },
    { "STOP on two", BYTES("NN."), "pickle-stack" },
    { "STOP under a MARK", BYTES("N(."), "pickle-stack" },
    { "TUPLE without MARK", BYTES("Nt."), "pickle-stack" },
    { "TUPLE2 of one", BYTES("N\x86."), "pickle-stack" },
    { "TUPLE1 through a MARK", BYTES("N(\x85."), "pickle-stack" },
    { "APPEND on nothing", BYTES("Na."), "pickle-stack" },
    { "APPEND to None", BYTES("NNa."), "pickle-type" },
    { "APPEND to a dict", BYTES("}Na."), "pickle-type" },
    { "SETITEM in a list", BYTES("]NNs."), "pickle-type" },
    { "SETITEM in a tuple", BYTES(")NNs."), "pickle-type" },
    { "SETITEMS odd", BYTES("}(Nu."), "pickle-stack" },
    { "ADDITEMS to a list", BYTES("](N\x90."), "pickle-type" },
    { "BINGET of nothing", BYTES("h\x00."), "pickle-memo" },
    { "BINGET of a hole", BYTES("Nq\x05h\x04\x86."), "pickle-memo" },
    { "LONG_BINGET far", BYTES("j\xff\xff\xff\xff."), "pickle-memo" },
    { "BINPUT of nothing", BYTES("q\x00."), "pickle-stack" },
    { "GLOBAL without newline", BYTES("cos\nsystem"), "pickle-truncated" },
    { "STACK_GLOBAL of a number", BYTES("K\x01\x8c\x01" "a\x93."), "pickle-type" },
    { "REDUCE of a number", BYTES("K\x01)R."), "pickle-type" },
    { "REDUCE with a list", BYTES("ca\nb\n]R."), "pickle-type" },
    { "BUILD on a list", BYTES("]}b."), "pickle-type" },
    { "BUILD on a global", BYTES("ca\nb\n}b."), "pickle-type" },
    { "BUILD twice", BYTES("ca\nb\n)R}b}b."), "pickle-type" },
    { "OrderedDict of a dict", BYTES("ccollections\nOrderedDict\n}\x85R."), "pickle-type" },
    { "OrderedDict of triples", BYTES("ccollections\nOrderedDict\n]NNN\x87" "a\x85R."), "pickle-type" },
    { "OrderedDict of two", BYTES("ccollections\nOrderedDict\n]]\x86R."), "pickle-type" },
    { "INT of letters", BYTES("Iabc\n."), "pickle-number" },
    { "INT of nothing", BYTES("I\n."), "pickle-number" },
    { "INT of a minus", BYTES("I-\n."), "pickle-number" },
    { "LONG4 negative", BYTES("\x8b\xff\xff\xff\xff."), "pickle-number" },
    { "BINSTRING negative", BYTES("T\xff\xff\xff\xff."), "pickle-number" },
    { "BINUNICODE too long", BYTES("X\xff\xff\xff\x7f."), "pickle-truncated" },
    { "BINUNICODE8 huge", BYTES("\x8d\xff\xff\xff\xff\xff\xff\xff\xff."), "pickle-truncated" },
    { "BINBYTES8 huge", BYTES("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."), "pickle-truncated" },
    { "FRAME beyond the end", BYTES("\x80\x04\x95\x03\x00\x00\x00\x00\x00\x00\x00N."), "pickle-frame" },
    { "FRAME huge", BYTES("\x95\xff\xff\xff\xff\xff\xff\xff\xffN."), "pickle-frame" },
    { "FRAME in a FRAME", BYTES("\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x95\x02\x00\x00\x00\x00\x00\x00\x00N."),
      "pickle-frame" },
    { "argument over a FRAME's end", BYTES("\x95\x01\x00\x00\x00\x00\x00\x00\x00K\x01."), "pickle-frame" },
    { "text over a FRAME's end", BYTES("\x95\x02\x00\x00\x00\x00\x00\x00\x00I1\n."), "pickle-truncated" },
};

static void bad_streams_are_refused_by_rule(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        pickle *p;
        unsigned char *copy;
        int rc = load(bad[i].bytes, bad[i].n, &p, &copy);
        if (rc != ERR_INPUT) fail_msg("%s: accepted (%d)", bad[i].what, rc);
        if (strstr(err_text(), bad[i].rule) == NULL)
            fail_msg("%s: not %s but %s", bad[i].what, bad[i].rule, err_text());
        if (strncmp(err_text(), "x.pkl: pickle-", 14) != 0 || strstr(err_text(), ", byte ") == NULL)
            fail_msg("%s: no file or place in: %s", bad[i].what, err_text());
        free(copy);
    }
}

/* All 256 bytes: what is in no table refuses, and nothing reads past the end. */
static void every_byte_as_an_opcode(void **state)
{
    static const char known[] =
        "N(.ILJKMGTUXBC]})taesuqrhjcRbQ\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x93\x94"
        "\x95\x96";
    (void)state;
    for (int op = 0; op < 256; op++) {
        char bytes[3] = { 'N', (char)op, '.' };
        pickle *p;
        unsigned char *copy;
        int rc = load(bytes, 3, &p, &copy), in_table = op != 0 && strchr(known, op) != NULL;
        int unknown = rc == ERR_INPUT && strstr(err_text(), "is not in the table") != NULL;
        assert_int_equal(unknown, !in_table);
        pickle_free(&p);
        free(copy);
    }
}

/* ---- limits -------------------------------------------------------------------------------------- */

typedef struct stream {
    char *v;
    size_t n, room;
} stream;

static void put(stream *s, const char *bytes, size_t n)
{
    assert_int_equal(mem_grow(&s->v, &s->room, s->n + n, 1, "test"), 0);
    memcpy(s->v + s->n, bytes, n);
    s->n += n;
}

static void repeat(stream *s, const char *bytes, size_t n, size_t times)
{
    for (size_t i = 0; i < times; i++)
        put(s, bytes, n);
}

static int load_stream(stream *s)
{
    pickle *p;
    unsigned char *copy;
    int rc = load(s->v, s->n, &p, &copy);
    pickle_free(&p);
    free(copy);
    s->n = 0;
    return rc;
}

static void refused_by_limit(stream *s)
{
    assert_int_equal(load_stream(s), ERR_INPUT);
    assert_non_null(strstr(err_text(), "pickle-limit"));
}

static void limits_hold_at_the_limit_and_one_beyond(void **state)
{
    stream s = { 0 };
    char line[PICKLE_LINE_MAX + 8];
    (void)state;
    for (size_t extra = 0; extra < 2; extra++) { /* stack: values, then one tuple of them */
        put(&s, "(", 1);
        repeat(&s, "N", 1, PICKLE_STACK_MAX + extra);
        put(&s, "t.", 2);
        if (extra == 0)
            assert_int_equal(load_stream(&s), 0);
        else
            refused_by_limit(&s);
    }
    for (size_t extra = 0; extra < 2; extra++) { /* nesting of MARKs */
        repeat(&s, "(", 1, PICKLE_MARKS_MAX + extra);
        repeat(&s, "t", 1, PICKLE_MARKS_MAX + extra);
        put(&s, ".", 1);
        if (extra == 0)
            assert_int_equal(load_stream(&s), 0);
        else
            refused_by_limit(&s);
    }
    for (uint32_t extra = 0; extra < 2; extra++) { /* memo slots */
        uint32_t slot = PICKLE_MEMO_MAX - 1 + extra;
        char op[5] = { 'r', (char)slot, (char)(slot >> 8), (char)(slot >> 16), 0 };
        put(&s, "N", 1);
        put(&s, op, 5);
        put(&s, ".", 1);
        if (extra == 0)
            assert_int_equal(load_stream(&s), 0);
        else
            refused_by_limit(&s);
    }
    for (size_t extra = 0; extra < 2; extra++) { /* values; 3 are the shared constants */
        put(&s, "]", 1);
        repeat(&s, "K\x01" "a", 3, PICKLE_NODES_MAX - 4 + extra);
        put(&s, ".", 1);
        if (extra == 0)
            assert_int_equal(load_stream(&s), 0);
        else
            refused_by_limit(&s);
    }
    for (size_t extra = 0; extra < 2; extra++) { /* items, shared ones counted each */
        put(&s, "]", 1);
        repeat(&s, "Na", 2, PICKLE_ITEMS_MAX + extra);
        put(&s, ".", 1);
        if (extra == 0)
            assert_int_equal(load_stream(&s), 0);
        else
            refused_by_limit(&s);
    }
    memset(line, 'a', sizeof line);
    for (size_t extra = 0; extra < 2; extra++) { /* text arguments */
        put(&s, "c", 1);
        put(&s, line, PICKLE_LINE_MAX + extra);
        put(&s, "\nb\n.", 4);
        if (extra == 0)
            assert_int_equal(load_stream(&s), 0);
        else
            refused_by_limit(&s);
    }
    free(s.v);
}

/* ---- globals ------------------------------------------------------------------------------------- */

static void globals_are_a_closed_table(void **state)
{
    static const struct {
        const char *module, *name;
        pickle_global id;
    } expect[] = {
        { "collections", "OrderedDict", GLOBAL_ORDERED_DICT },
        { "torch._utils", "_rebuild_tensor", GLOBAL_REBUILD_TENSOR },
        { "torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR_V2 },
        { "torch._utils", "_rebuild_parameter", GLOBAL_REBUILD_PARAMETER },
        { "torch", "DoubleStorage", GLOBAL_STORAGE_F64 },
        { "torch", "FloatStorage", GLOBAL_STORAGE_F32 },
        { "torch", "HalfStorage", GLOBAL_STORAGE_F16 },
        { "torch", "BFloat16Storage", GLOBAL_STORAGE_BF16 },
        { "torch", "LongStorage", GLOBAL_STORAGE_I64 },
        { "torch", "IntStorage", GLOBAL_STORAGE_I32 },
        { "torch", "ShortStorage", GLOBAL_STORAGE_I16 },
        { "torch", "CharStorage", GLOBAL_STORAGE_I8 },
        { "torch", "ByteStorage", GLOBAL_STORAGE_U8 },
        { "torch", "BoolStorage", GLOBAL_STORAGE_BOOL },
        { "torch", "Size", GLOBAL_SIZE },
        { "numpy.core.multiarray", "_reconstruct", GLOBAL_NP_RECONSTRUCT },
        { "numpy._core.multiarray", "_reconstruct", GLOBAL_NP_RECONSTRUCT },
        { "numpy.core.numeric", "_frombuffer", GLOBAL_NP_FROMBUFFER },
        { "numpy._core.numeric", "_frombuffer", GLOBAL_NP_FROMBUFFER },
        { "numpy", "ndarray", GLOBAL_NP_NDARRAY },
        { "numpy", "dtype", GLOBAL_NP_DTYPE },
        { "_codecs", "encode", GLOBAL_CODECS_ENCODE },
        { "builtins", "bytes", GLOBAL_BYTES },
        { "argparse", "Namespace", GLOBAL_IGNORED },
        { "numpy.core.multiarray", "scalar", GLOBAL_IGNORED },
        { "torch", "device", GLOBAL_IGNORED },
        { "os", "system", GLOBAL_UNKNOWN },
        { "builtins", "eval", GLOBAL_UNKNOWN },
        { "torch", "load", GLOBAL_UNKNOWN },
        { "torch._utils", "_rebuild_sparse_tensor", GLOBAL_UNKNOWN },
        { "torch._utils", "_rebuild_qtensor", GLOBAL_UNKNOWN },
        { "torch.storage", "_load_from_bytes", GLOBAL_UNKNOWN },
        { "torch", "QInt8Storage", GLOBAL_UNKNOWN },
        { "torch", "ComplexFloatStorage", GLOBAL_UNKNOWN },
        { "torch", "FloatStorag", GLOBAL_UNKNOWN },
        { "torch", "FloatStorages", GLOBAL_UNKNOWN },
        { "Torch", "FloatStorage", GLOBAL_UNKNOWN },
        { "", "", GLOBAL_UNKNOWN },
    };
    (void)state;
    for (size_t i = 0; i < sizeof expect / sizeof expect[0]; i++)
        if (pickle_global_lookup(expect[i].module, strlen(expect[i].module), expect[i].name,
                                 strlen(expect[i].name)) != expect[i].id)
            fail_msg("%s.%s", expect[i].module, expect[i].name);
}

/* A known function's result, called again, must not pass for the function. */
static void calling_a_call_makes_it_unknown(void **state)
{
    pickle *p;
    unsigned char *copy;
    (void)state;
    assert_int_equal(load(BYTES("ctorch._utils\n_rebuild_tensor_v2\n)R)R."), &p, &copy), 0);
    assert_int_equal(pickle_global_of(p, pickle_root(p)), GLOBAL_UNKNOWN);
    pickle_free(&p);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opcodes_give_their_value),
        cmocka_unit_test(prefixes_are_refused),
        cmocka_unit_test(bad_streams_are_refused_by_rule),
        cmocka_unit_test(every_byte_as_an_opcode),
        cmocka_unit_test(limits_hold_at_the_limit_and_one_beyond),
        cmocka_unit_test(globals_are_a_closed_table),
        cmocka_unit_test(calling_a_call_makes_it_unknown),
    };
    return cmocka_run_group_tests_name("pickle", tests, NULL, NULL);
}
