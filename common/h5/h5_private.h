/* Shared by the h5_*.c files only: everything here speaks libhdf5. */
#ifndef OUTPOST_H5_PRIVATE_H
#define OUTPOST_H5_PRIVATE_H

#include "common/h5.h"

#include <hdf5.h>

/* libhdf5 initialised once, with no exit handler (it crashes after write errors) and no words of its
 * own on stderr.  ERR_ENV when the library cannot start. */
int h5_start(void);
/* The innermost reason on libhdf5's error stack; valid until the next call. */
const char *h5_why(void);
/* The file's type of an item, for the caller to H5Tclose. */
hid_t h5_type_of(const h5_item *item);
/* IEEE half precision, little or big endian. */
hid_t h5_half(int big_endian);
/* Opens the image of a file read-only, copying nothing. */
int h5_open_image(hid_t *file, void *image, size_t bytes);
/* A text or integer attribute; untouched, or -1, when absent. */
int h5_read_text(hid_t object, const char *name, char text[H5_TEXT_ROOM]);
int h5_read_int(hid_t object, const char *name, int64_t *value);
/* The whole of one dataset, as the type that the item says; `out` is zero-filled. */
int h5_read_item(const h5_item *it, hid_t file, unsigned char *out);
/* Child side of h5_list and h5_convert. */
int h5_scan(h5_listing *l, void *image, size_t bytes);
int h5_read_items(const h5_listing *l, void *image, size_t bytes, unsigned char *out,
                  size_t out_bytes, const uint64_t *out_offset);

#endif
