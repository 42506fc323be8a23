#include "common/feature/feature_lock.h"
#include "common/err.h"
#include "common/feature/feature_io.h"
#include "common/log.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FIELD = 128, TEXT = 1024, TRIES = 600, BREAK_S = 2 }; /* 600 naps are some 6 s */

typedef struct holder {
    char host[FIELD], boot[FIELD], space[FIELD], job[FIELD], restart[FIELD];
    long pid;
    unsigned long long start; /* ticks after boot, field 22 of /proc/PID/stat */
} holder;

struct feature_lock {
    int fd; /* of the temporary, which is the lock file itself where hard links exist */
    char *name, *temp, text[TEXT];
};

/* --- who --------------------------------------------------------------------------------------- */

/* First word of a file, or of a link's target; "-" when it cannot be had. */
static void word_of(char out[FIELD], const char *file, int is_link)
{
    ssize_t n = -1;
    if (is_link) {
        n = readlink(file, out, FIELD - 1);
    } else {
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            n = read(fd, out, FIELD - 1);
            close(fd);
        }
    }
    if (n <= 0) n = 1, out[0] = '-';
    out[n] = '\0';
    out[strcspn(out, " \t\r\n")] = '\0';
}

static void env_of(char out[FIELD], const char *name)
{
    const char *v = getenv(name);
    snprintf(out, FIELD, "%s", v != NULL && v[0] != '\0' ? v : "-");
    for (char *p = out; *p != '\0'; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f) *p = '_';
}

/* 0 when there is no such process. */
static unsigned long long start_of(long pid)
{
    char name[64], text[TEXT], *p;
    unsigned long long start = 0;
    ssize_t n = -1;
    int fd;
    snprintf(name, sizeof name, "/proc/%ld/stat", pid);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return 0;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0) return 0;
    text[n] = '\0';
    p = strrchr(text, ')'); /* the program's name may hold anything */
    if (p == NULL) return 0;
    for (int field = 3; p != NULL && field <= 22; field++) {
        p = strchr(p + 1, ' ');
        if (p != NULL && field == 3 && (p[1] == 'Z' || p[1] == 'X'))
            return 0; /* dead, not yet reaped */
    }
    if (p != NULL) start = strtoull(p + 1, NULL, 10);
    return start;
}

static void who_am_i(holder *h)
{
    memset(h, 0, sizeof *h);
    if (gethostname(h->host, sizeof h->host - 1) < 0 || h->host[0] == '\0')
        snprintf(h->host, FIELD, "-");
    word_of(h->boot, "/proc/sys/kernel/random/boot_id", 0);
    word_of(h->space, "/proc/self/ns/pid", 1);
    env_of(h->job, "SLURM_JOB_ID");
    env_of(h->restart, "SLURM_RESTART_COUNT");
    h->pid = (long)getpid();
    h->start = start_of(h->pid);
}

static int holder_text(const holder *h, char text[TEXT])
{
    return snprintf(
        text, TEXT,
        "outpost-lock 1 host %s boot %s space %s pid %ld start %llu job %s restart %s\n", h->host,
        h->boot, h->space, h->pid, h->start, h->job, h->restart);
}

/* 0: no such file; 1: read; 2: there, but not a lock of ours. */
static int read_holder(holder *h, const char *name, char raw[TEXT])
{
    ssize_t n;
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    memset(h, 0, sizeof *h);
    raw[0] = '\0';
    if (fd < 0) return errno == ENOENT ? 0 : 2;
    n = read(fd, raw, TEXT - 1);
    close(fd);
    if (n <= 0) return 2;
    raw[n] = '\0';
    return sscanf(raw,
                  "outpost-lock 1 host %127s boot %127s space %127s pid %ld start %llu job %127s "
                  "restart %127s",
                  h->host, h->boot, h->space, &h->pid, &h->start, h->job, h->restart) == 7
               ? 1
               : 2;
}

static int is_stale(const holder *h, const holder *me)
{
    int same_job = strcmp(h->job, "-") != 0 && strcmp(h->job, me->job) == 0;
    if (same_job && strcmp(h->restart, me->restart) != 0) return 1;
    if (strcmp(h->host, me->host) != 0) return 0;
    if (strcmp(h->boot, me->boot) != 0)
        return strcmp(h->boot, "-") != 0 && strcmp(me->boot, "-") != 0;
    if (strcmp(h->space, me->space) != 0)
        return 0; /* another container: its pids are not visible */
    if (h->pid == me->pid && h->start == me->start)
        return 0; /* this very process, a second writer */
    return start_of(h->pid) != h->start;
}

/* --- taking ------------------------------------------------------------------------------------ */

/* 1: flock says that somebody has it; 0: free, or flock does not work here. */
static int flocked(const char *name)
{
    int busy, fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return 0;
    busy = flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
    close(fd);
    return busy;
}

/* Gives our finished file the name.  1: done; 0: somebody has the name; ERR_ENV. */
static int claim(const char *temp, const char *name, const char *text)
{
    struct stat st;
    int fd;
    size_t n = strlen(text);
    if (link(temp, name) == 0) return 1;
    if (stat(temp, &st) == 0 && st.st_nlink == 2) return 1; /* NFS lost the answer, not the link */
    if (errno == EEXIST) return 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return err_set(ERR_ENV, "%s: cannot create: %s", name, strerror(errno));
    /* a file system without hard links */
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0)
        return errno == EEXIST ? 0
                               : err_set(ERR_ENV, "%s: cannot create: %s", name, strerror(errno));
    if (write(fd, text, n) != (ssize_t)n) {
        close(fd);
        unlink(name);
        return err_set(ERR_ENV, "%s: cannot write: %s", name, strerror(errno));
    }
    close(fd);
    return 1;
}

static long age_of(const char *name)
{
    struct stat st;
    return stat(name, &st) == 0 ? (long)(time(NULL) - st.st_mtime) : 0;
}

static int refuse(const char *path, const char *name, const holder *h, int kind)
{
    if (kind == 2)
        return err_set(ERR_ENV, "%s: %s is in the way and not readable as a lock of this program",
                       path, name);
    return err_set(
        ERR_ENV,
        "%s: another process is writing it: pid %ld on %s%s%s, last sign of life %ld s ago; if it "
        "is gone, remove %s",
        path, h->pid, h->host, strcmp(h->job, "-") != 0 ? ", Slurm job " : "",
        strcmp(h->job, "-") != 0 ? h->job : "", age_of(name), name);
}

/* Removes a lock that is stale, under the second lock.  Whoever loses the race just looks again. */
static int break_stale(const feature_lock *l, const holder *me)
{
    int rc = 0, won;
    char *gate = NULL, raw[TEXT];
    holder h;
    TRY(io_name(&gate, l->name, ".break"));
    TRY(claim(l->temp, gate, l->text));
    won = rc;
    rc = 0;
    if (!won) { /* its holder has it for microseconds, unless it was killed right there; the wait
                   keeps two that see it dead from taking each other's */
        if (age_of(gate) >= BREAK_S && read_holder(&h, gate, raw) == 1 && is_stale(&h, me))
            unlink(gate);
        goto done;
    }
    if (read_holder(&h, l->name, raw) == 1 && is_stale(&h, me) && !flocked(l->name)) {
        log_warn("%s: left by pid %ld on %s, which is gone; taken over", l->name, h.pid, h.host);
        unlink(l->name);
    }
    unlink(gate);
done:
    free(gate);
    return rc;
}

static int take(feature_lock *l, const char *path, const holder *me)
{
    holder h;
    char raw[TEXT];
    for (int i = 0; i < TRIES; i++) {
        struct timespec nap = {0, 1000000L * (1 + (i * 7 + getpid()) % 20)};
        int kind, got = claim(l->temp, l->name, l->text);
        if (got != 0) return got < 0 ? got : 0;
        kind = read_holder(&h, l->name, raw);
        if (kind == 0) continue;
        /* without hard links a lock is unfinished for a moment */
        if (kind == 2 && i < TRIES - 1 && age_of(l->name) < BREAK_S) {
            nanosleep(&nap, NULL);
            continue;
        }
        if (kind == 2 || !is_stale(&h, me) || flocked(l->name))
            return refuse(path, l->name, &h, kind);
        if (break_stale(l, me) < 0) return ERR_ENV;
        if (i > 0) nanosleep(&nap, NULL);
    }
    return refuse(path, l->name, &h, 1);
}

/* A temporary killed before it had its text still has its name: .HOST.PID.START.SERIAL */
static int is_orphan(const char *tail, const holder *me)
{
    holder h = *me;
    size_t n = strlen(me->host);
    if (tail[0] != '.' || strncmp(tail + 1, me->host, n) != 0) return 0;
    if (sscanf(tail + 1 + n, ".%ld.%llu.", &h.pid, &h.start) != 2) return 0;
    return is_stale(&h, me);
}

/* Runs killed while they took the lock have left their temporaries, and gates. */
static void sweep(const feature_lock *l, const holder *me)
{
    const char *slash = strrchr(l->name, '/'), *base = slash != NULL ? slash + 1 : l->name;
    size_t n = strlen(base);
    int dir = -1;
    DIR *d = NULL;
    char *folder = NULL;
    struct dirent *e;
    if (mem_strdup(&folder, slash != NULL ? l->name : ".") < 0) return;
    if (slash != NULL) folder[slash == l->name ? 1 : slash - l->name] = '\0';
    d = opendir(folder);
    dir = d != NULL ? dirfd(d) : -1;
    while (d != NULL && (e = readdir(d)) != NULL) {
        holder h;
        char raw[TEXT], *full = NULL;
        if (strncmp(e->d_name, base, n) != 0 || e->d_name[n] != '.') continue;
        if (mem_new(&full, strlen(folder) + strlen(e->d_name) + 2, 1, "file name") < 0) break;
        sprintf(full, "%s/%s", folder, e->d_name);
        switch (read_holder(&h, full, raw)) {
        case 1:
            if (is_stale(&h, me)) unlinkat(dir, e->d_name, 0);
            break;
        case 2:
            if (raw[0] == '\0' && is_orphan(e->d_name + n, me)) unlinkat(dir, e->d_name, 0);
            break;
        default:
            break;
        }
        free(full);
    }
    if (d != NULL) closedir(d);
    free(folder);
}

int feature_lock_take(feature_lock **out, const char *path)
{
    int rc = 0, n;
    feature_lock *l = NULL;
    holder me;
    char tail[FIELD + 64];
    static int serial;
    who_am_i(&me);
    TRY(mem_new(&l, 1, sizeof *l, path));
    l->fd = -1;
    n = holder_text(&me, l->text);
    TRY(io_name(&l->name, path, ".lock"));
    snprintf(tail, sizeof tail, ".%s.%ld.%llu.%d", me.host, me.pid, me.start,
             __atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED));
    TRY(io_name(&l->temp, l->name, tail));
    l->fd = open(l->temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    CHECK(l->fd >= 0, ERR_ENV, "%s: cannot create: %s", l->temp, strerror(errno));
    TRY(io_pwrite(l->fd, l->temp, l->text, (size_t)n, 0));
    TRY(io_sync(l->fd, l->temp,
                0)); /* after a power failure it must still say which boot it is of */
    (void)flock(l->fd, LOCK_EX | LOCK_NB); /* held from before the name exists */
    TRY(take(l, path, &me));
    unlink(l->temp);
    sweep(l, &me);
    *out = l;
done:
    if (rc < 0 && l != NULL && l->temp != NULL) unlink(l->temp);
    if (rc < 0 && l != NULL) {
        if (l->fd >= 0) close(l->fd);
        free(l->name);
        free(l->temp);
        free(l);
    }
    return rc;
}

void feature_lock_beat(feature_lock *l)
{
    (void)utimensat(AT_FDCWD, l->name, NULL, AT_SYMLINK_NOFOLLOW);
}

void feature_lock_drop(feature_lock **l)
{
    holder h;
    char raw[TEXT];
    if (*l == NULL) return;
    /* a requeued run of the same job may have taken it over */
    if (read_holder(&h, (*l)->name, raw) == 1 && strcmp(raw, (*l)->text) == 0) unlink((*l)->name);
    close((*l)->fd);
    free((*l)->name);
    free((*l)->temp);
    free(*l);
    *l = NULL;
}
