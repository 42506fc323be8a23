/* A library for LD_PRELOAD that makes one system call of a run fail, or ends the run there.
 *   FAULT=CALL:N:WHAT   CALL: pwrite write fsync fdatasync rename fallocate ftruncate open link close,
 *                       or any; N: the N-th such call, N+: from the N-th on;
 *                       WHAT: an errno number, "short" (pwrite takes half), "kill" (SIGKILL before it) or
 *                       "power": what was not synced is lost by sectors of 512 bytes, each by the toss of
 *                       a coin (POWER_SEED), then SIGKILL; names are kept
 *   FAULT_COUNT=FILE    how many calls of each kind a run made that came to its end */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PWRITE, WRITE, FSYNC, FDATASYNC, RENAME, FALLOCATE, FTRUNCATE, OPEN, LINK, CLOSE, KINDS };
static const char *const kind_name[KINDS] = {"pwrite", "write",     "fsync",     "fdatasync",
                                             "rename", "fallocate", "ftruncate", "open",
                                             "link",   "close"};
static long count[KINDS], total;

enum { PASS, FAIL, SHORT };

/* --- what a power failure takes back ------------------------------------------------------------ */

enum { UNDO_MAX = 65536, SECTOR = 512 };
static struct undo {
    ino_t file;
    int fd; /* our own, for the end */
    off_t at;
    size_t n;
    char *old;
} undo[UNDO_MAX];
static size_t n_undo;

static void remember(int fd, size_t n, off_t at)
{
    struct stat st;
    struct undo *u = &undo[n_undo];
    const char *f = getenv("FAULT");
    ssize_t have;
    if (f == NULL || strstr(f, "power") == NULL || n_undo == UNDO_MAX || fstat(fd, &st) < 0) return;
    *u = (struct undo){st.st_ino, dup(fd), at, n, calloc(1, n)};
    have = pread(fd, u->old, n, at); /* beyond the end: zeros, as a lost sector reads */
    (void)have;
    n_undo++;
}

static void synced(int fd)
{
    struct stat st;
    if (n_undo == 0 || fstat(fd, &st) < 0) return;
    for (size_t i = 0; i < n_undo; i++)
        if (undo[i].file == st.st_ino) undo[i].n = 0;
}

static void power_off(void)
{
    const char *seed = getenv("POWER_SEED");
    unsigned long long r =
        88172645463325252ull + 2862933555777941757ull * strtoull(seed ? seed : "1", NULL, 10);
    for (size_t i = n_undo; i-- > 0;) {
        for (size_t k = 0; k < undo[i].n; k += SECTOR) {
            size_t n = undo[i].n - k < SECTOR ? undo[i].n - k : SECTOR;
            r ^= r << 13, r ^= r >> 7, r ^= r << 17;
            if (r >> 20 & 1)
                syscall(SYS_pwrite64, undo[i].fd, undo[i].old + k, n, undo[i].at + (off_t)k);
        }
    }
    kill(getpid(), SIGKILL);
}

static int decide(int kind)
{
    const char *f = getenv("FAULT");
    char call[32] = "", what[16] = "";
    long at = 0, n;
    int k = 0;
    n = __atomic_add_fetch(&count[kind], 1, __ATOMIC_SEQ_CST);
    long all = __atomic_add_fetch(&total, 1, __ATOMIC_SEQ_CST);
    if (f == NULL || sscanf(f, "%31[^:]:%ld%n", call, &at, &k) != 2) return PASS;
    int sticky = f[k] == '+';
    snprintf(what, sizeof what, "%s", f + k + sticky + 1);
    if (strcmp(call, "any") == 0) n = all;
    else if (strcmp(call, kind_name[kind]) != 0) return PASS;
    if (n != at && !(sticky && n > at)) return PASS;
    if (strcmp(what, "kill") == 0) kill(getpid(), SIGKILL);
    if (strcmp(what, "power") == 0) power_off();
    if (strcmp(what, "short") == 0) return SHORT;
    errno = atoi(what);
    return FAIL;
}

__attribute__((destructor)) static void report(void)
{
    const char *name = getenv("FAULT_COUNT");
    FILE *f = name != NULL ? fopen(name, "w") : NULL;
    if (f == NULL) return;
    fprintf(f, "any %ld\n", total);
    for (int i = 0; i < KINDS; i++)
        fprintf(f, "%s %ld\n", kind_name[i], count[i]);
    fclose(f);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    int d = decide(PWRITE);
    if (d == FAIL) return -1;
    remember(fd, n, at);
    return syscall(SYS_pwrite64, fd, p, d == SHORT && n > 1 ? n / 2 : n, at);
}
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
    return pwrite(fd, p, n, at);
}
ssize_t write(int fd, const void *p, size_t n)
{
    return fd > 2 && decide(WRITE) == FAIL ? -1 : syscall(SYS_write, fd, p, n);
}
int fsync(int fd)
{
    if (decide(FSYNC) == FAIL) return -1;
    synced(fd);
    return (int)syscall(SYS_fsync, fd);
}
int fdatasync(int fd)
{
    if (decide(FDATASYNC) == FAIL) return -1;
    synced(fd);
    return (int)syscall(SYS_fdatasync, fd);
}
int rename(const char *a, const char *b)
{
    return decide(RENAME) == FAIL ? -1 : (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 0);
}
int posix_fallocate(int fd, off_t at, off_t n)
{
    if (decide(FALLOCATE) == FAIL) return errno;
    return syscall(SYS_fallocate, fd, 0, at, n) < 0 ? errno : 0;
}
int posix_fallocate64(int fd, off_t at, off_t n)
{
    return posix_fallocate(fd, at, n);
}
int ftruncate(int fd, off_t n)
{
    return decide(FTRUNCATE) == FAIL ? -1 : (int)syscall(SYS_ftruncate, fd, n);
}
int ftruncate64(int fd, off_t n)
{
    return ftruncate(fd, n);
}
int link(const char *a, const char *b)
{
    return decide(LINK) == FAIL ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0);
}
int close(int fd)
{
    int failed = fd > 2 && decide(CLOSE) == FAIL, why = errno;
    int r = (int)syscall(SYS_close, fd);
    if (failed) errno = why;
    return failed ? -1 : r;
}
int open(const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    return decide(OPEN) == FAIL ? -1 : (int)syscall(SYS_openat, AT_FDCWD, name, flags, mode);
}
int open64(const char *name, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, int) : 0;
    va_end(ap);
    return open(name, flags, mode);
}
