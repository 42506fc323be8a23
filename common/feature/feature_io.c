#include "common/feature/feature_io.h"
#include "common/err.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { IO_MAX = 1 << 30 }; /* Linux moves at most 2 GiB - 4 KiB a call */

int io_pwrite(int fd, const char *path, const void *data, size_t bytes, uint64_t offset)
{
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = pwrite(fd, p, bytes < IO_MAX ? bytes : IO_MAX, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return err_set(ERR_ENV, "%s: cannot write %zu bytes at %" PRIu64 ": %s", path, bytes,
                           offset, n < 0 ? strerror(errno) : "nothing was taken");
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int io_pread(int fd, const char *path, void *data, size_t bytes, uint64_t offset)
{
    char *p = data;
    while (bytes > 0) {
        ssize_t n = pread(fd, p, bytes < IO_MAX ? bytes : IO_MAX, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return err_set(ERR_ENV, "%s: cannot read %zu bytes at %" PRIu64 ": %s", path, bytes,
                           offset, strerror(errno));
        if (n == 0)
            return err_set(ERR_INPUT, "%s: ends at %" PRIu64 ", %zu bytes early", path, offset,
                           bytes);
        p += n;
        bytes -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int io_sync(int fd, const char *path, int data_only)
{
    int r;
    do
        r = data_only ? fdatasync(fd) : fsync(fd);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return err_set(ERR_ENV, "%s: %s failed, what was written may be lost: %s", path,
                       data_only ? "fdatasync" : "fsync", strerror(errno));
    return 0;
}

int io_sync_dir(const char *path)
{
    int rc = 0, fd = -1, r;
    char *dir = NULL;
    const char *slash = strrchr(path, '/');
    TRY(mem_strdup(&dir, slash != NULL ? path : "."));
    if (slash != NULL) dir[slash == path ? 1 : slash - path] = '\0';
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot open the folder: %s", dir, strerror(errno));
    do
        r = fsync(fd);
    while (r < 0 && errno == EINTR);
    /* some file systems cannot sync a folder and say EINVAL */
    CHECK(r == 0 || errno == EINVAL, ERR_ENV, "%s: fsync of the folder failed: %s", dir,
          strerror(errno));
done:
    if (fd >= 0) close(fd);
    free(dir);
    return rc;
}

static int no_room(int fd, const char *path, uint64_t bytes, int why)
{
    struct statvfs fs;
    struct stat st;
    uint64_t have = 0, avail;
    if (why == EFBIG)
        return err_set(
            ERR_ENV,
            "%s: needs a file of %" PRIu64
            " bytes, more than the file size limit (ulimit -f) or the file system allows",
            path, bytes);
    if (why == EDQUOT)
        return err_set(ERR_ENV, "%s: disk quota: no room for %" PRIu64 " bytes", path, bytes);
    if (fstatvfs(fd, &fs) == 0 && fs.f_blocks > 0 && fstat(fd, &st) == 0) {
        have = (uint64_t)st.st_blocks * 512;
        avail = (uint64_t)fs.f_bavail * fs.f_frsize + have;
        if (avail < bytes)
            return err_set(ERR_ENV,
                           "%s: no space: needs %" PRIu64 " bytes, %" PRIu64 " are free, %" PRIu64
                           " are missing",
                           path, bytes, avail, bytes - avail);
    }
    return err_set(ERR_ENV, "%s: cannot reserve %" PRIu64 " bytes: %s", path, bytes, strerror(why));
}

int io_reserve(int fd, const char *path, uint64_t bytes)
{
    struct statvfs fs;
    struct stat st;
    int r;
    if (bytes == 0) return 0;
    if (bytes > INT64_MAX) return no_room(fd, path, bytes, EFBIG);
    /* asked first, so that a full disk is not filled to the last block for others */
    if (fstatvfs(fd, &fs) == 0 && fs.f_blocks > 0 && fstat(fd, &st) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize + (uint64_t)st.st_blocks * 512 < bytes)
        return no_room(fd, path, bytes, ENOSPC);
    do
        r = posix_fallocate(fd, 0, (off_t)bytes);
    while (r == EINTR);
    return r == 0 ? 0 : no_room(fd, path, bytes, r);
}

int io_size(int fd, const char *path, uint64_t *bytes)
{
    struct stat st;
    if (fstat(fd, &st) < 0) return err_set(ERR_ENV, "%s: cannot stat: %s", path, strerror(errno));
    *bytes = (uint64_t)st.st_size;
    return 0;
}

int io_remove(const char *path)
{
    if (unlink(path) < 0 && errno != ENOENT)
        return err_set(ERR_ENV, "%s: cannot remove: %s", path, strerror(errno));
    return 0;
}

int io_name(char **out, const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    int rc = mem_new(out, na + nb + 1, 1, "file name");
    if (rc < 0) return rc;
    memcpy(*out, a, na);
    memcpy(*out + na, b, nb + 1);
    return 0;
}

void io_ignore_file_size_signal(void)
{
    struct sigaction now;
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && now.sa_handler == SIG_DFL) signal(SIGXFSZ, SIG_IGN);
}
