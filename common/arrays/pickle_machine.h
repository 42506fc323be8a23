/* The pickle machine between its two files: what opcodes (pickle_ops.c) may do to it (pickle_machine.c).
 * Nobody else includes this. */
#ifndef OUTPOST_PICKLE_MACHINE_H
#define OUTPOST_PICKLE_MACHINE_H

#include "common/arrays/pickle.h"

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
/* All 256; an entry without `run` refuses the stream. */
extern const opcode pickle_opcodes[256];

const char *vm_op_name(const machine *m); /* of the opcode being run */
/* "PATH: pickle-RULE: WHY, byte N (OPCODE)".  Returns ERR_INPUT. */
int vm_refuse(const machine *m, const char *rule, const char *why);
/* The next `count` bytes of the stream. */
int vm_take(machine *m, size_t count, const unsigned char **out);
/* A little-endian number of `width` bytes. */
int vm_take_number(machine *m, size_t width, uint64_t *out);
/* Text up to '\n', which is consumed and not part of it. */
int vm_take_line(machine *m, const char **s, size_t *n);
/* A value, not yet on the stack. */
int vm_new_node(machine *m, pickle_kind kind, pickle_ref *out);
int vm_push(machine *m, pickle_ref r);
/* A new value on the stack; *out (may be NULL) points to it until the next one is made. */
int vm_push_new(machine *m, pickle_kind kind, pickle_node **out);
int vm_push_text(machine *m, pickle_kind kind, const void *s, size_t n, uint32_t tag);
int vm_push_int(machine *m, int64_t i);
/* How many values lie above the last MARK. */
size_t vm_stack_above_mark(const machine *m);
int vm_pop(machine *m, pickle_ref *out);
int vm_top(machine *m, pickle_node **out);
/* The values above the last MARK, which goes; they stay in place until the next push. */
int vm_pop_mark(machine *m, const pickle_ref **first, size_t *n);
/* Appends to a tuple, list, set or dict. */
int vm_add_items(machine *m, pickle_node *v, const pickle_ref *item, size_t n);

#endif
