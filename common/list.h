/* Image lists: which images, in which order, with which label.
 *
 * A list file is lines ended by LF or CR LF; the last end may be missing.  A UTF-8 byte order mark at
 * the very start is skipped.  Blanks (space, tab, VT, FF, CR) around a line do not count; empty lines
 * are skipped.  Duplicates are kept.  Bytes above 127 pass through untouched.
 *   auto     mos when every line is `path group subclass` (two integers at the end), else gen
 *   gen      `path` or `path label`: the last word is the label when it is an integer, so a path may
 *            hold blanks as long as a label follows.  Without a label the whole line is the path, label
 *            -1; such a path may hold blanks only when it ends in an image suffix, else the last word
 *            was meant as a label and is malformed.  (GEN's own reader splits at the last blank in any
 *            case, and gives label 0 to a single word.)
 *   openood  `path label`: split at the first blank, the rest is the label; both must be there
 *   mos      `path group subclass`: split twice from the right; label = subclass, group kept
 * An integer is an optional minus and digits.  A label is -1 (unknown) to 2^63 - 1, a group 0 to 2^31 - 1.
 * Refused: a NUL, an absolute path, a `..` component, a line longer than LIST_LINE_MAX, a list without
 * any image.  Messages say "FILE: list-RULE: line N: ...". */
#ifndef OUTPOST_LIST_H
#define OUTPOST_LIST_H

#include <stddef.h>
#include <stdint.h>

enum { LIST_LINE_MAX = 65536 }; /* bytes of a line, its end not counted */

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
/* The same from memory; `name` stands for the file in messages and as list->name. */
int list_parse(list **out, const char *name, const void *bytes, size_t n, list_format format);
/* All images below root: every regular file (or link to one) whose name ends in a known image suffix
 * (list_image_suffix), in byte order of the relative path; labels -1.  Linked folders are followed unless
 * they lead back into a folder on the way down.  Names that begin with a dot are passed over. */
int list_scan(list **out, const char *root);
void list_free(list **l);

/* Whether path[n] ends in the suffix of an image format, in any case; what is behind it decides the
 * decoder: jpg jpeg jpe jfif png bmp gif webp tif tiff ppm pgm pbm pnm. */
int list_image_suffix(const char *path, size_t n);

#endif
