/* SHA-256, through libcrypto. */
#ifndef OUTPOST_DIGEST_H
#define OUTPOST_DIGEST_H

#include <stddef.h>

typedef struct digest digest;

int digest_new(digest **out);
int digest_update(digest *d, const void *data, size_t bytes);
/* Finishes and starts anew; hex gets 64 digits and a NUL. */
int digest_hex(digest *d, char hex[65]);
/* Same, the 32 raw bytes. */
int digest_raw(digest *d, unsigned char raw[32]);
void digest_free(digest **d);
/* One-shot. */
int digest_of(const void *data, size_t bytes, char hex[65]);
int digest_of_file(const char *path, char hex[65]);

#endif
