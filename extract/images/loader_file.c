/* Image files to bytes, and what is said of those that cannot be used. */
#include "extract/images/loader_parts.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Faults of the machine rather than of the list: the run must stop, not flag the image. */
static int is_environment(int e)
{
    return e == EMFILE || e == ENFILE || e == ENOMEM || e == EIO || e == ESTALE || e == ETIMEDOUT ||
           e == ENOLCK || e == EREMOTEIO;
}

int loader_refuses(const char *name, const char *what)
{
    int e = errno;
    return err_set(is_environment(e) ? ERR_ENV : ERR_INPUT, "%s: %s: %s", name, what, strerror(e));
}

static int read_all(int fd, uint8_t *at, size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        ssize_t k = read(fd, at + *got, n - *got);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return -1;
        if (k == 0) break;
        *got += (size_t)k;
    }
    return 0;
}

int loader_read(worker *k, int root, const char *name, size_t *size)
{
    int rc = 0, fd;
    struct stat st;
    fd = openat(root, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) return loader_refuses(name, "cannot be opened");
    if (fstat(fd, &st) != 0) {
        rc = loader_refuses(name, "cannot be examined");
        goto done;
    }
    CHECK(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", name);
    CHECK(st.st_size <= LOADER_FILE_MAX, ERR_INPUT,
          "%s: file of %lld bytes is above the limit of %d", name, (long long)st.st_size,
          (int)LOADER_FILE_MAX);
    TRY(mem_grow(&k->file, &k->room, (size_t)st.st_size + 1, 1, name));
    if (read_all(fd, k->file, (size_t)st.st_size + 1, size) != 0) {
        rc = loader_refuses(name, "cannot be read");
        goto done;
    }
    CHECK(*size == (size_t)st.st_size, ERR_INPUT, "%s: changed while it was read", name);
done:
    close(fd);
    return rc;
}

int loader_reason(const char *name, const char **out)
{
    char shown[2048], *copy;
    const char *words = err_text();
    size_t n;
    int rc;
    log_printable(shown, sizeof shown, name);
    n = strlen(shown);
    if (strncmp(words, shown, n) == 0 && strncmp(words + n, ": ", 2) == 0) words += n + 2;
    rc = mem_strdup(&copy, words);
    if (rc == 0) *out = copy;
    return rc;
}

void loader_worker_clear(worker *k)
{
    image_clear(&k->im);
    prep_scratch_free(&k->scratch);
    record_memory_clear(&k->record);
    free(k->file);
}
