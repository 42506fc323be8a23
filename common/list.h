/* Image lists: which images, in which order, with which label.
 * Formats (docs/format.md, methods-seeds 9.1), one image a line:
 *   gen      `path` or `path label`: split once, from the right, on blanks; one word: label -1
 *   openood  `path label`, the label may be -1
 *   mos      `path group subclass`; label = subclass, group kept
 * The closed grammar is in list.c; errors name file, line and rule, before any image is read. */
#ifndef OUTPOST_LIST_H
#define OUTPOST_LIST_H

#include <stddef.h>
#include <stdint.h>

typedef enum list_format { LIST_AUTO, LIST_GEN, LIST_OPENOOD, LIST_MOS } list_format;

typedef struct list {
    size_t n;
    const char **path;   /* [n] relative to the root, UTF-8 or raw bytes, no NUL */
    int64_t *label;      /* [n] -1 unknown */
    int32_t *group;      /* [n] or NULL; MOS group lists only */
    size_t path_max;     /* longest path in bytes */
    char sha256[65];     /* of the list file; of the sorted paths joined by '\n' for list_scan */
    char *text;          /* owns the bytes that path points into */
    char *name;          /* file name without folders, or "" for list_scan */
} list;

/* Reads a list file.  ERR_INPUT: NUL byte, absolute or `..` path, malformed label, empty list. */
int list_read(list **out, const char *file, list_format format);
/* All images below root, by extension-free content check deferred to the decoder: every regular file
 * whose name ends in a known image suffix, in byte order of the relative path; labels -1. */
int list_scan(list **out, const char *root);
void list_free(list **l);

#endif
