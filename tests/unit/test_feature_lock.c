/* One live writer: stale locks give way, live ones do not, and of many that come at once one wins,
 * with flock and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/feature/feature_lock.h"
#include "common/log.h"
#include "feature_fixture.h"

static int flock_broken;

/* Stands in front of libc's: a file system without flock says ENOLCK (NFS) or ENOSYS (Lustre). */
int flock(int fd, int operation)
{
    if (flock_broken) {
        errno = flock_broken;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static char dir[64], out[128], name[160];

static int setup(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "%s/outpost-lock-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(dir) == NULL) return -1;
    snprintf(out, sizeof out, "%s/out.h5", dir);
    snprintf(name, sizeof name, "%s.lock", out);
    log_open("test", LOG_QUIET);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
    return 0;
}

static int teardown(void **unused)
{
    char command[128];
    (void)unused;
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static void ok(int rc)
{
    if (rc != 0) print_message("# rc %d: %s\n", rc, err_text());
    assert_int_equal(rc, 0);
}

static void refused(const char *words)
{
    feature_lock *l = NULL;
    int rc = feature_lock_take(&l, out);
    if (rc != ERR_ENV || strstr(err_text(), words) == NULL)
        print_message("# rc %d: %s\n", rc, err_text());
    assert_int_equal(rc, ERR_ENV);
    assert_non_null(strstr(err_text(), words));
    assert_null(l);
    err_clear();
}

static void taken(void)
{
    feature_lock *l = NULL;
    ok(feature_lock_take(&l, out));
    assert_int_equal(access(name, F_OK), 0);
    feature_lock_drop(&l);
    assert_int_not_equal(access(name, F_OK), 0);
}

/* The text of our own lock with one word replaced: what = "host" and so on. */
static void plant(const char *what, const char *value)
{
    feature_lock *l = NULL;
    char text[1024], made[2048], key[32], *at, *end;
    size_t n;
    ok(feature_lock_take(&l, out));
    unsigned char *p = fixture_read(name, &n);
    feature_lock_drop(&l);
    assert_true(n < sizeof text);
    memcpy(text, p, n);
    text[n] = '\0';
    free(p);
    snprintf(key, sizeof key, " %s ", what);
    at = strstr(text, key);
    assert_non_null(at);
    at += strlen(key);
    end = at + strcspn(at, " \n");
    snprintf(made, sizeof made, "%.*s%s%s", (int)(at - text), text, value, end);
    fixture_save(name, made, strlen(made));
}

static long dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    waitpid(pid, NULL, 0);
    return (long)pid;
}

static void who_is_stale(void **unused)
{
    char pid[32];
    (void)unused;
    for (flock_broken = 0; flock_broken <= ENOLCK; flock_broken += ENOLCK) {
        snprintf(pid, sizeof pid, "%ld", dead_pid());
        taken();
        plant("pid", pid), taken(); /* nobody has that number */
        plant("pid", "1"), taken(); /* somebody has, but started at another time */
        plant("start", "1"), taken();
        plant("boot", "00000000-0000-0000-0000-000000000000"), taken();
        plant("host", "elsewhere"), refused("on elsewhere"), unlink(name);
        plant("space", "pid:[1]"), refused("another process is writing it"), unlink(name);
        fixture_save(name, "mine!\n", 6), refused("not readable as a lock"), unlink(name);
    }
    flock_broken = 0;
}

static void requeued_job_takes_over(void **unused)
{
    (void)unused;
    setenv("SLURM_JOB_ID", "4711", 1);
    plant("host", "othernode");
    refused("Slurm job 4711"); /* another step of the same run */
    setenv("SLURM_RESTART_COUNT", "1", 1);
    taken(); /* the run before the requeue has ended */
    plant("host", "othernode");
    setenv("SLURM_JOB_ID", "4712", 1);
    refused("Slurm job 4711");
    unlink(name);
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_RESTART_COUNT");
}

static void live_ones_hold(void **unused)
{
    feature_lock *l = NULL;
    int ready[2];
    char byte;
    pid_t pid;
    (void)unused;
    ok(feature_lock_take(&l, out));
    refused("another process is writing it");
    feature_lock_beat(l);
    feature_lock_drop(&l);
    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        if (feature_lock_take(&l, out) != 0 || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    refused("another process is writing it");
    flock_broken = ENOSYS;
    refused("another process is writing it");
    flock_broken = 0;
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    taken();
    close(ready[0]), close(ready[1]);
}

/* Killed while it broke a stale lock: the next one gets through all the same. */
static void killed_breaker_is_no_obstacle(void **unused)
{
    char pid[32], gate[176];
    size_t n;
    (void)unused;
    snprintf(gate, sizeof gate, "%s.break", name);
    snprintf(pid, sizeof pid, "%ld", dead_pid());
    plant("pid", pid);
    unsigned char *p = fixture_read(name, &n);
    fixture_save(gate, p, n);
    free(p);
    taken();
    assert_int_not_equal(access(gate, F_OK), 0);
}

/* K processes at once before a fresh name or a stale lock. */
static void race(int kind, size_t rounds)
{
    enum { K = 6 };
    char stale[32];
    for (size_t r = 0; r < rounds; r++) {
        int go[2], said[2], hold[2], won = 0;
        pid_t pid[K];
        snprintf(stale, sizeof stale, "%ld", dead_pid());
        unlink(name);
        if (kind > 0) plant("pid", stale);
        assert_true(pipe(go) == 0 && pipe(said) == 0 && pipe(hold) == 0);
        for (int i = 0; i < K; i++) {
            pid[i] = fork();
            if (pid[i] != 0) continue;
            feature_lock *l = NULL;
            char byte;
            close(go[1]), close(hold[1]);
            if (read(go[0], &byte, 1) < 0) _exit(1);
            byte = feature_lock_take(&l, out) == 0 ? 'W' : 'L';
            if (write(said[1], &byte, 1) != 1) _exit(1);
            if (read(hold[0], &byte, 1) < 0) _exit(1); /* holds on until all have spoken */
            _exit(0);
        }
        close(go[1]);
        for (int i = 0; i < K; i++) {
            char byte = 0;
            assert_int_equal(read(said[0], &byte, 1), 1);
            won += byte == 'W';
        }
        close(hold[1]);
        for (int i = 0; i < K; i++)
            waitpid(pid[i], NULL, 0);
        close(go[0]), close(said[0]), close(said[1]), close(hold[0]);
        if (won != 1) print_message("# round %zu of kind %d: %d winners\n", r, kind, won);
        assert_int_equal(won, 1);
    }
}

static void one_of_many_wins(void **unused)
{
    const char *v = getenv("LOCK_RACES");
    size_t rounds = v != NULL ? strtoul(v, NULL, 10) : 100;
    (void)unused;
    for (int kind = 0; kind < 2; kind++) {
        race(kind, rounds);
        flock_broken = ENOLCK;
        race(kind, rounds);
        flock_broken = 0;
    }
    print_message("# %zu races, one winner each\n", 4 * rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_stale),     cmocka_unit_test(requeued_job_takes_over),
        cmocka_unit_test(live_ones_hold),   cmocka_unit_test(killed_breaker_is_no_obstacle),
        cmocka_unit_test(one_of_many_wins),
    };
    return cmocka_run_group_tests_name("feature_lock", tests, setup, teardown);
}
