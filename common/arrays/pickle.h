/* A restricted pickle reader: bytes -> a tree of inert values.
 * There is no callable in here.  A closed table of opcodes is understood, everything else refuses the
 * file.  GLOBAL only notes a name, REDUCE and NEWOBJ only note that the stream wants that name called
 * with these arguments (PICKLE_CALL), BUILD only notes the state; who reads the tree decides from the
 * global's entry in a closed table whether the call means something (models.md 12.2).
 * The machine is iterative, its stack, marks, memo, nodes and items are capped, and every length is
 * checked against the bytes that are there.  Strings point into the caller's bytes: nothing is copied.
 *
 * Opcodes: PROTO FRAME STOP MARK NONE NEWTRUE NEWFALSE INT LONG BININT BININT1 BININT2 LONG1 LONG4
 * BINFLOAT BINSTRING SHORT_BINSTRING BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES
 * BINBYTES8 BYTEARRAY8 EMPTY_LIST APPEND APPENDS EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_DICT
 * SETITEM SETITEMS EMPTY_SET ADDITEMS FROZENSET BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL
 * STACK_GLOBAL REDUCE NEWOBJ BUILD BINPERSID. */
#ifndef OUTPOST_PICKLE_H
#define OUTPOST_PICKLE_H

#include <stddef.h>
#include <stdint.h>

enum {
    PICKLE_STACK_MAX = 1000000, /* values on the stack */
    PICKLE_MARKS_MAX = 64,      /* nested MARKs */
    PICKLE_MEMO_MAX = 1000000,  /* memo slots */
    PICKLE_NODES_MAX = 2000000, /* values made */
    PICKLE_ITEMS_MAX = 4000000, /* items in all tuples, lists, sets and dicts (a pair counts two) */
    PICKLE_LINE_MAX = 1024      /* bytes of a text argument: global names, INT, LONG */
};

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,   /* u.i is 0 or 1 */
    PICKLE_INT,    /* u.i */
    PICKLE_BIG,    /* an integer beyond 64 bits; tag 0: n bytes, little-endian; tag 1: n digits */
    PICKLE_FLOAT,  /* u.f */
    PICKLE_STR,    /* u.s [n], not terminated; tag 1: a Python 2 string, which may be bytes */
    PICKLE_BYTES,  /* u.s [n] */
    PICKLE_TUPLE,  /* u.items [n] */
    PICKLE_LIST,   /* u.items [n] */
    PICKLE_SET,    /* u.items [n] */
    PICKLE_DICT,   /* u.items [n]: key, value, key, value; OrderedDict too */
    PICKLE_GLOBAL, /* tag: pickle_global; u.pair a: module, b: name (both PICKLE_STR) */
    PICKLE_CALL,   /* tag: state or PICKLE_NO_REF; u.pair a: the PICKLE_GLOBAL, b: a PICKLE_TUPLE */
    PICKLE_PERSID  /* u.pair a: the persistent id */
} pickle_kind;

/* The globals that mean something.  All others are GLOBAL_UNKNOWN. */
typedef enum pickle_global {
    GLOBAL_UNKNOWN,
    GLOBAL_ORDERED_DICT,
    GLOBAL_REBUILD_TENSOR,    /* torch._utils._rebuild_tensor */
    GLOBAL_REBUILD_TENSOR_V2, /* torch._utils._rebuild_tensor_v2 */
    GLOBAL_REBUILD_PARAMETER, /* torch._utils._rebuild_parameter */
    GLOBAL_STORAGE_F64,       /* torch.DoubleStorage; the storages are in array_type order */
    GLOBAL_STORAGE_F32,
    GLOBAL_STORAGE_F16,
    GLOBAL_STORAGE_BF16,
    GLOBAL_STORAGE_I64,
    GLOBAL_STORAGE_I32,
    GLOBAL_STORAGE_I16,
    GLOBAL_STORAGE_I8,
    GLOBAL_STORAGE_U8,
    GLOBAL_STORAGE_BOOL,
    GLOBAL_SIZE,           /* torch.Size */
    GLOBAL_NP_RECONSTRUCT, /* numpy.core.multiarray._reconstruct, numpy._core likewise */
    GLOBAL_NP_FROMBUFFER,  /* numpy.core.numeric._frombuffer */
    GLOBAL_NP_NDARRAY,
    GLOBAL_NP_DTYPE,
    GLOBAL_CODECS_ENCODE, /* only as text -> latin-1 bytes */
    GLOBAL_BYTES,         /* bytes(): how protocol 2 writes the empty one */
    GLOBAL_IGNORED        /* known, inert and of no use here: numpy scalars, Namespace, torch.device */
} pickle_global;

typedef uint32_t pickle_ref;
#define PICKLE_NO_REF UINT32_MAX

typedef struct pickle_node {
    uint32_t kind; /* pickle_kind */
    uint32_t tag;
    size_t n;
    union {
        int64_t i;
        double f;
        const char *s;
        pickle_ref *items;
        struct {
            pickle_ref a, b;
        } pair;
    } u;
} pickle_node;

typedef struct pickle pickle;

/* Reads one pickle from the start of `bytes`, which must outlive the result.  *used: its length, STOP
 * included.  `path` and `base` (offset of bytes[0] in the file) are for messages only.
 * ERR_INPUT: "PATH: pickle-RULE: ..., byte N". */
int pickle_load(pickle **out, const void *bytes, size_t n, const char *path, size_t base,
                size_t *used);
void pickle_free(pickle **p);

pickle_ref pickle_root(const pickle *p);
size_t pickle_count(const pickle *p); /* nodes; refs are below it */
const pickle_node *pickle_at(const pickle *p, pickle_ref r);
/* The pickle_global of a GLOBAL, or of what a CALL calls; -1 for other kinds. */
int pickle_global_of(const pickle *p, pickle_ref r);
/* "module.name" of a GLOBAL, or of what a CALL calls, cut to the room. */
const char *pickle_global_name(const pickle *p, pickle_ref r, char *buf, size_t room);
/* Whether r is a string (or bytes) equal to s. */
int pickle_is(const pickle *p, pickle_ref r, const char *s);
/* Items 0..n-1 of a TUPLE, NULL when r is not a tuple with n_min to n_max items. */
const pickle_ref *pickle_tuple(const pickle *p, pickle_ref r, size_t n_min, size_t n_max,
                               size_t *n);
/* The table that GLOBAL is looked up in. */
pickle_global pickle_global_lookup(const char *module, size_t module_n, const char *name,
                                   size_t name_n);

#endif
