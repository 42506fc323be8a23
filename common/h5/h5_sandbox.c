#include "common/h5/h5_sandbox.h"
#include "common/err.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 }; /* shadow memory and reports need what the limits forbid */
#else
enum { SANITIZED = 0 };
#endif

typedef struct verdict { /* shared with the child */
    int done, code;
    char text[1024];
} verdict;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void sandbox_lock(void)
{
    pthread_mutex_lock(&lock);
}

void sandbox_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

/* --- child ------------------------------------------------------------------------------------ */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

/* Memory, locks of one process, and the end: nothing that names a file, a process or a network. */
static void filter_calls(void)
{
#ifdef ARCH
#define PASS(nr)                                                                                   \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        PASS(__NR_brk),
        PASS(__NR_mmap),
        PASS(__NR_munmap),
        PASS(__NR_mremap),
        PASS(__NR_madvise),
        PASS(__NR_mprotect),
        PASS(__NR_futex),
        PASS(__NR_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
    };
    struct sock_fprog prog = {.len = sizeof code / sizeof code[0], .filter = code};
    /* an old kernel or a container may not have it; the limits stand without it */
    (void)prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
#undef PASS
#endif
}

static void limit(__rlimit_resource_t what, rlim_t most)
{
    /* at the soft limit of processor time comes SIGXCPU, which tells us why; at the hard one SIGKILL */
    struct rlimit r = {most, what == RLIMIT_CPU ? most + 1 : most};
    (void)setrlimit(what, &r);
}

/* Keeps only `keep`, as descriptor 0. */
static void close_files(int keep)
{
    if (keep != 0) dup2(keep, 0);
    if (SANITIZED) return;
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 1U, ~0U, 0U) == 0) return;
#endif
    for (int fd = 1; fd < 65536; fd++)
        close(fd);
}

static void drop_rights(const sandbox_limits *l, size_t mapped, int keep)
{
    sigset_t calm;
    for (int s = 1; s < 32; s++)
        signal(s, SIG_DFL);
    sigemptyset(&calm); /* a Ctrl-C is the parent's to judge */
    sigaddset(&calm, SIGINT), sigaddset(&calm, SIGTERM), sigaddset(&calm, SIGHUP);
    sigaddset(&calm, SIGUSR1), sigaddset(&calm, SIGUSR2), sigaddset(&calm, SIGTSTP);
    sigprocmask(SIG_SETMASK, &calm, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    close_files(keep);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, l->cpu_s);
    limit(RLIMIT_FSIZE, 0);
    if (SANITIZED) return;
    limit(RLIMIT_NOFILE, 0);
    limit(RLIMIT_NPROC, 0);
    limit(RLIMIT_AS, mapped + l->memory);
    filter_calls();
}

/* --- parent ----------------------------------------------------------------------------------- */

static size_t mapped_now(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL) return (size_t)1 << 40;
    if (fscanf(f, "%lu", &pages) != 1) pages = 0;
    fclose(f);
    return pages == 0 ? (size_t)1 << 40 : pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* 1 when the other end of the pipe closed in time. */
static int wait_end(int fd, unsigned seconds)
{
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        long left, r;
        clock_gettime(CLOCK_MONOTONIC, &now);
        left = (long)seconds * 1000 - (now.tv_sec - start.tv_sec) * 1000 -
               (now.tv_nsec - start.tv_nsec) / 1000000;
        if (left <= 0) return 0;
        r = poll(&p, 1, left > 60000 ? 60000 : (int)left);
        if (r > 0) return 1;
        if (r < 0 && errno != EINTR) return 0;
    }
}

static int judge(const verdict *v, int status, int in_time, const char *path, const char *who)
{
    if (v->done) return v->code == 0 ? 0 : err_set(v->code, "%s: %.1000s", path, v->text);
    if (!in_time || (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU)))
        return err_set(ERR_INPUT,
                       "%s: %s did not come to an end on this file; it is damaged or malicious",
                       path, who);
    if (WIFSIGNALED(status))
        return err_set(ERR_INPUT, "%s: %s crashed on this file (%s); it is damaged or malicious",
                       path, who, strsignal(WTERMSIG(status)));
    return err_set(ERR_INPUT, "%s: %s gave up on this file without a word", path, who);
}

int sandbox_run(int (*work)(void *arg), void *arg, const sandbox_limits *limits, const char *path,
                const char *who)
{
    int rc = 0, ends[2] = {-1, -1}, status = 0, in_time;
    size_t mapped;
    pid_t pid;
    verdict *v = mmap(NULL, sizeof *v, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(v != MAP_FAILED, ERR_ENV, "%s: no memory for the reading process", path);
    CHECK(pipe2(ends, O_CLOEXEC) == 0, ERR_ENV, "%s: no pipe for the reading process: %s", path,
          strerror(errno));
    mapped = mapped_now();
    sandbox_lock();
    pid = fork();
    if (pid == 0) {
        drop_rights(limits, mapped, ends[1]);
        err_clear();
        v->code = work(arg);
        memcpy(v->text, err_text(), strnlen(err_text(), sizeof v->text - 1));
        v->done = 1;
        _exit(0);
    }
    sandbox_unlock();
    CHECK(pid > 0, ERR_ENV, "%s: cannot start the reading process: %s", path, strerror(errno));
    close(ends[1]);
    ends[1] = -1;
    in_time = wait_end(ends[0], limits->wall_s);
    if (!in_time) kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    v->text[sizeof v->text - 1] = '\0';
    if (v->code > 0 || v->code < ERR_ENV) v->code = ERR_INPUT; /* the child's word is no fact */
    rc = judge(v, status, in_time, path, who);
done:
    if (ends[0] >= 0) close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
    if (v != MAP_FAILED) munmap(v, sizeof *v);
    return rc;
}
