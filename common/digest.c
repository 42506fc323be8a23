#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"

#include <openssl/evp.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RAW = 32, BLOCK = 1 << 20 };

struct digest {
    EVP_MD_CTX *ctx;
};

static int start(digest *d)
{
    if (EVP_DigestInit_ex(d->ctx, EVP_sha256(), NULL) != 1)
        return err_set(ERR_INTERNAL, "SHA-256: libcrypto does not offer it");
    return 0;
}

int digest_new(digest **out)
{
    int rc = 0;
    digest *d = NULL;
    TRY(mem_new(&d, 1, sizeof *d, "digest"));
    d->ctx = EVP_MD_CTX_new();
    CHECK(d->ctx != NULL, ERR_ENV, "SHA-256: no memory");
    TRY(start(d));
    *out = d;
    d = NULL; /* handed over */
done:
    digest_free(&d);
    return rc;
}

int digest_update(digest *d, const void *data, size_t bytes)
{
    if (EVP_DigestUpdate(d->ctx, data, bytes) != 1)
        return err_set(ERR_INTERNAL, "SHA-256: libcrypto failed");
    return 0;
}

int digest_raw(digest *d, unsigned char raw[32])
{
    if (EVP_DigestFinal_ex(d->ctx, raw, NULL) != 1)
        return err_set(ERR_INTERNAL, "SHA-256: libcrypto failed");
    return start(d);
}

int digest_hex(digest *d, char hex[65])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char raw[RAW];
    int rc = digest_raw(d, raw);
    if (rc < 0) return rc;
    for (int i = 0; i < RAW; i++) {
        hex[2 * i] = digit[raw[i] >> 4];
        hex[2 * i + 1] = digit[raw[i] & 15];
    }
    hex[2 * RAW] = '\0';
    return 0;
}

void digest_free(digest **d)
{
    if (*d == NULL) return;
    EVP_MD_CTX_free((*d)->ctx);
    free(*d);
    *d = NULL;
}

int digest_of(const void *data, size_t bytes, char hex[65])
{
    int rc = 0;
    digest *d = NULL;
    TRY(digest_new(&d));
    TRY(digest_update(d, data, bytes));
    TRY(digest_hex(d, hex));
done:
    digest_free(&d);
    return rc;
}

int digest_of_file(const char *path, char hex[65])
{
    int rc = 0, fd = -1;
    struct stat st;
    digest *d = NULL;
    unsigned char *block = NULL;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    CHECK(fd >= 0, ERR_INPUT, "%s: cannot open: %s", path, strerror(errno));
    CHECK(fstat(fd, &st) == 0, ERR_ENV, "%s: cannot stat: %s", path, strerror(errno));
    CHECK(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", path);
    TRY(mem_new(&block, BLOCK, 1, "digest block"));
    TRY(digest_new(&d));
    for (;;) {
        ssize_t got = read(fd, block, BLOCK);
        if (got < 0 && errno == EINTR) continue;
        CHECK(got >= 0, ERR_ENV, "%s: read error: %s", path, strerror(errno));
        if (got == 0) break;
        TRY(digest_update(d, block, (size_t)got));
    }
    TRY(digest_hex(d, hex));
done:
    digest_free(&d);
    free(block);
    if (fd >= 0) close(fd);
    return rc;
}
