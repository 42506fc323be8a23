/* Groups of classes, for MOS and MaxGroup.
 * The text of an option names them:
 *   mos          the eight groups of the MOS taxonomy, level 0: 398 521 9 7 52 8 3 2 classes
 *   3+4+2        their sizes
 *   FILE         one integer per class (its group, from 0), or the sizes; text, .npy or pickle;
 *                or a list of MOS, "path group class-in-group" by line, whose groups are as large as its
 *                numbers say */
#ifndef OUTPOST_GROUPS_H
#define OUTPOST_GROUPS_H

#include <stddef.h>
#include <stdint.h>

typedef struct class_groups {
    size_t n, classes;
    size_t *size; /* [n] classes of a group, all > 0 */
    int32_t *of;  /* [classes] group of each class, ascending when only sizes were given */
} class_groups;

/* ERR_INPUT for a file that cannot be read or says nothing of the kind. */
int groups_read(class_groups *g, const char *text);
void groups_clear(class_groups *g);

/* The numbers of a file: text with blanks, commas or brackets, or the only array of .npy, .npz, a
 * pickle or a checkpoint.  *v is for the caller to free(). */
int numbers_read(double **v, size_t *n, const char *path);

#endif
