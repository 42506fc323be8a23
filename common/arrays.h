/* Named arrays out of a file that nobody vouches for: checkpoints and cached features.
 * The container is told by its bytes, never by its name: .safetensors, PyTorch zip, PyTorch legacy
 * stream, PyTorch tar (before 0.1.10), .npy, .npz, numpy pickles (GEN/ViM .pkl).  Nothing is ever
 * executed: pickle.h and pickle_globals.c have the closed tables of opcodes and globals.
 * Data is little-endian, C order.
 *
 * Names.  safetensors, npz: as in the file (npz without .npy).  A single array (.npy, a pickled ndarray,
 * a saved tensor) is named "", the items of a list or tuple "0", "1", ...; nested dicts join their keys
 * by dots.  A checkpoint that wraps its state dict is opened at the first of these keys that holds
 * tensors: state_dict_ema, state_dict, model, model_ema, net, model_state_dict, model_state.  Prefixes
 * such as `module.` stay.  Inside the state dict an object made by a global that is not in the table
 * refuses the file; beside it anything may stand.
 *
 * Every refusal is ERR_INPUT and reads "FILE: RULE: text", with the byte or the tensor's name. */
#ifndef OUTPOST_ARRAYS_H
#define OUTPOST_ARRAYS_H

#include <stddef.h>
#include <stdint.h>

enum { ARRAY_RANK_MAX = 8 };

typedef enum array_type {
    ARRAY_F64, ARRAY_F32, ARRAY_F16, ARRAY_BF16,
    ARRAY_I64, ARRAY_I32, ARRAY_I16, ARRAY_I8, ARRAY_U8, ARRAY_BOOL
} array_type;

typedef struct array {
    const char *name;             /* full dotted key, prefixes as in the file */
    array_type type;
    int rank;                     /* 0: scalar */
    size_t dim[ARRAY_RANK_MAX];
    size_t count;                 /* product of dim */
    const void *data;             /* count elements, contiguous, aligned to the element; lives with
                                     `arrays`, in the mapped file wherever it can */
} array;

typedef struct arrays arrays;

/* Opens and fully validates the file's structure.  ERR_INPUT with file, rule and place. */
int arrays_open(arrays **out, const char *path);
void arrays_close(arrays **a);

size_t arrays_count(const arrays *a);
const array *arrays_at(const arrays *a, size_t i);          /* file order */
const array *arrays_find(const arrays *a, const char *name); /* NULL when absent */
/* "safetensors", "pytorch-zip", "pytorch-legacy", "pytorch-tar", "npy", "npz", "pickle" */
const char *arrays_container(const arrays *a);
/* Which wrapper key was descended into ("state_dict", "" for none). */
const char *arrays_wrapper(const arrays *a);
/* SHA-256 of the whole file, hex; computed on the first call.  "" when libcrypto fails. */
const char *arrays_sha256(const arrays *a);

size_t array_type_size(array_type t);
const char *array_type_name(array_type t); /* "F32" */
/* Converts to f32 (round to nearest even from f64); count floats. */
void array_to_f32(const array *a, float *dst);
/* Converts integers to i64.  ERR_INPUT for float types. */
int array_to_i64(const array *a, int64_t *dst);

#endif
