/* HDF5, and the only caller of libhdf5.
 * Two halves.  Creating: libhdf5 runs in this process on a file that we make, and is done with it
 * before the first row.  Reading: nobody vouches for the file, so libhdf5 runs in a forked child
 * that has no open files, no way to open one (RLIMIT_NOFILE 0 and, where the kernel has it, a
 * seccomp filter of eight system calls), bounded memory and bounded time; it sees the file as a
 * private memory image.  The child reports what is there in shared memory; the parent believes
 * none of it before checking it against the size of the file.
 *
 * Fork and not exec: glibc keeps malloc usable in the child of a threaded process, the lock in
 * h5_sandbox.c is held across fork so libhdf5's own state is whole, and the child never returns.
 * So reading works at any time, with or without threads in the parent. */
#ifndef OUTPOST_H5_H
#define OUTPOST_H5_H

#include <stddef.h>
#include <stdint.h>

enum { H5_RANK_MAX = 5, H5_NAME_ROOM = 256, H5_OBJECTS_MAX = 1024, H5_TEXT_ROOM = 128 };

enum h5_type { H5_TYPE_F32, H5_TYPE_F64, H5_TYPE_F16, H5_TYPE_I64, H5_TYPE_U8, H5_TYPE_STRING };

typedef struct h5_item {     /* one dataset */
    char name[H5_NAME_ROOM]; /* full, without the leading slash: "taps/layer4" */
    enum h5_type type;
    size_t width; /* bytes of one element */
    int rank;     /* 0: scalar */
    size_t dim[H5_RANK_MAX];
    uint64_t bytes;  /* of the whole dataset as `type` */
    uint64_t offset; /* in the file */
    int direct;      /* reading: the bytes at `offset` are the data; else h5_convert */
} h5_item;

typedef struct h5_attr {
    const char *object; /* "/" or a dataset */
    const char *name;
    size_t n_texts; /* 0: an i64; 1: one fixed string; more: an array of them */
    const char *const *texts;
    int64_t value;
} h5_attr;

/* Sets width (strings keep theirs), bytes.  ERR_INPUT when a size overflows. */
int h5_item_size(h5_item *item);

/* Creates `path`, which must not exist: all datasets contiguous, allocated and unfilled, superblock
 * 0, no times, so equal arguments give equal bytes.  Fills `offset` of each item (0 when empty). */
int h5_create(const char *path, h5_item *items, size_t n, const h5_attr *attrs, size_t n_attrs);

typedef struct h5_listing {
    char format[H5_TEXT_ROOM]; /* root attributes, "" or -1 when absent */
    char identity[H5_TEXT_ROOM];
    int64_t format_version, complete;
    size_t n;
    h5_item item[H5_OBJECTS_MAX]; /* by name */
} h5_listing;

/* What the file holds, for the caller to free().  f64 stays f64 in files whose format starts with
 * "outpost-", else it is reported as f32 and converted.  ERR_INPUT with file, object and rule:
 * anything but plain groups and datasets, hard links, fixed simple shapes of rank 5 at most, floats,
 * integers and strings, filters other than deflate, shuffle and fletcher32, storage that the file's
 * bytes do not back; also when libhdf5 crashes or does not come to an end. */
int h5_list(h5_listing **out, int fd, const char *path);

/* Writes the items that are not direct into out_fd, item i at out_offset[i]; out_fd must be sized.
 * The listing must be of the same file. */
int h5_convert(const h5_listing *l, int fd, const char *path, int out_fd, uint64_t out_bytes,
               const uint64_t *out_offset);

/* "1.10.8" of the library found at run time. */
const char *h5_version(void);

#endif
