/* Zip archives that nobody vouches for: .npz and PyTorch .pth.  The only caller of libzip.
 * The central directory is read twice, by us (to know where data lies in the file, so that stored
 * members are used in place) and by libzip with its consistency checks; where the two disagree on a
 * name, size, method or CRC the archive is refused, so there is no second reading of a file.
 * Also refused: encryption, methods other than stored and deflated, duplicate names, members that
 * overlap, absolute names and names with `..` or a backslash.  zip64 is understood. */
#ifndef OUTPOST_ZIP_H
#define OUTPOST_ZIP_H

#include <stddef.h>
#include <stdint.h>

enum { ARCHIVE_MEMBERS_MAX = 200000, ARCHIVE_NAME_MAX = 1024 };

typedef struct archive_member {
    char *name;
    size_t size, packed; /* bytes of the data, and in the file */
    uint32_t crc;
    int stored;          /* 1: method 0, 0: deflated */
    size_t at;           /* where the (packed) data begins in the file */
} archive_member;

typedef struct archive archive;

/* Reads the directory of the archive in bytes[n], which must outlive the result. */
int archive_open(archive **out, const void *bytes, size_t n, const char *path);
void archive_close(archive **z);
size_t archive_count(const archive *z);
const archive_member *archive_at(const archive *z, size_t i); /* directory order */
const archive_member *archive_find(const archive *z, const char *name);

/* The data of a stored member, in place, its CRC checked.  ERR_INPUT when it is compressed. */
int archive_map(const archive *z, const archive_member *m, const unsigned char **data);
/* The first bytes of a member, at most n; *got says how many there are.  No CRC check. */
int archive_head(const archive *z, const archive_member *m, unsigned char *head, size_t n,
                    size_t *got);
/* Inflates a whole member into buf[m->size] and checks its CRC. */
int archive_read(const archive *z, const archive_member *m, unsigned char *buf);

#endif
