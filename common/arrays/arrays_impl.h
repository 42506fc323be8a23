/* What the readers behind common/arrays.h share.  Nobody else includes this. */
#ifndef OUTPOST_ARRAYS_IMPL_H
#define OUTPOST_ARRAYS_IMPL_H

#include "common/arrays.h"
#include "common/arrays/pickle.h"

#include <pthread.h>

enum {
    ARRAYS_MAX = 100000,           /* arrays in one file */
    ARRAYS_NAME_MAX = 1024,        /* bytes of one name */
    ARRAYS_DEPTH_MAX = 64,         /* dicts and lists inside each other */
    ARRAYS_VISITS_MAX = 1000000,   /* values looked at while walking a pickle */
    ARRAYS_PICKLE_MAX = 64 << 20,  /* bytes of a checkpoint's pickle */
    ARRAYS_HEADER_MAX = 100000000, /* bytes of a safetensors header */
    NPY_HEADER_MAX = 65536         /* bytes of an .npy header */
};

struct arrays {
    char *path;
    const unsigned char *bytes; /* the whole file, mapped */
    size_t n_bytes;
    const char *container;
    const char *wrapper;
    array *v;
    size_t n, room;
    size_t *by_name; /* indices in byte order of the names */
    void **owned;    /* names and copies, freed at the end */
    size_t n_owned, owned_room;
    size_t names_bytes, copied_bytes, inflated_bytes;
    pthread_mutex_t lock; /* of sha256 */
    char sha256[65];
};

/* Element layout of data that may need reordering before it is an array. */
typedef struct strided {
    array_type type;
    int rank;
    uint64_t dim[ARRAY_RANK_MAX], stride[ARRAY_RANK_MAX]; /* strides in elements */
    uint64_t offset;      /* first element */
    int swapped;          /* big-endian */
    const unsigned char *data;
    size_t elements;      /* that are behind data */
} strided;

/* Formats one refusal: "PATH: RULE: text".  Returns ERR_INPUT. */
int arrays_refuse(const arrays *a, const char *rule, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Sets count from dim; ERR_INPUT when rank or the product is too large. */
int arrays_shape(const arrays *a, const char *name, const uint64_t *dim, int rank, array *v);
/* Adds an array whose data lies contiguous, little-endian at `data`, aligned or not.  Copies the name. */
int arrays_add(arrays *a, const char *name, size_t name_n, const array *v);
/* Copies the data that is not aligned to its element; the last step of opening. */
int arrays_align(arrays *a);
/* Adds an array in C order out of strided data, copying only where it must. */
int arrays_add_strided(arrays *a, const char *name, size_t name_n, const strided *s);
/* Gives a malloc'ed block to `a`, also when it fails. */
int arrays_own(arrays *a, void *block);
/* `bytes` for copied data, within the budget of four times the file and 64 MiB. */
int arrays_copy_room(arrays *a, size_t bytes, void *out);

/* The readers; each fills `a`. */
int arrays_read_safetensors(arrays *a);
int arrays_read_npy(arrays *a);
int arrays_read_zip(arrays *a); /* npz or PyTorch */
int arrays_read_legacy(arrays *a);
int arrays_read_pickle(arrays *a);
int arrays_read_tar(arrays *a);

/* One .npy: header in head[n_head] of a file or member of `total` bytes. */
typedef struct npy_header {
    array_type type;
    int rank;
    uint64_t dim[ARRAY_RANK_MAX];
    int fortran, swapped;
    size_t data_at; /* where the data begins */
} npy_header;
int arrays_npy_header(const arrays *a, const char *name, const unsigned char *head, size_t n_head,
                      npy_header *h);
/* Adds it; data holds `bytes` bytes. */
int arrays_add_npy(arrays *a, const char *name, size_t name_n, const npy_header *h,
                   const unsigned char *data, size_t bytes);
/* numpy type text "f4", "<i8", "|u1" -> type, byte order; 0 when it is one we read. */
int arrays_numpy_type(const char *s, size_t n, array_type *type, int *swapped);

/* Where a pickle's storages are. */
typedef struct storages {
    /* Data of storage `key`; it must hold at least `numel` elements of `type`. */
    int (*find)(const struct storages *s, const char *key, size_t key_n, array_type type,
                uint64_t numel, const unsigned char **data);
    /* The tensor that persistent id `id` stands for; NULL where ids only name storages. */
    int (*tensor)(const struct storages *s, const pickle *p, pickle_ref id, strided *out);
    void *state;
} storages;
/* Picks the state dict, walks it, adds every tensor and ndarray.  s: NULL for plain pickles. */
int arrays_from_pickle(arrays *a, const pickle *p, const storages *s);
/* Takes a storage's persistent id apart. */
typedef struct storage_id {
    array_type type;
    const char *key;
    size_t key_n;
    uint64_t numel;
} storage_id;
int arrays_storage_id(const arrays *a, const pickle *p, pickle_ref persid, storage_id *id);
/* One ndarray (a CALL of _reconstruct or _frombuffer). */
int arrays_add_ndarray(arrays *a, const pickle *p, pickle_ref r, const char *name, size_t name_n);

#endif
