/* ab: compares commands by running them interleaved, A B A B ..., on one machine at one time.
 *
 *   ab [options] -- 'command A' -- 'command B' [-- 'command C' ...]
 *
 * A machine that other jobs share, or whose clock drifts, makes two separate readings incomparable;
 * the ratio of neighbours in an interleaved run holds.  Reported are median [min-max] of each
 * command, the ratio of the medians against the first one, and the spread of the pairwise ratios.
 *
 * What is measured (-m): cpu = user + system seconds of the command and its children, wall =
 * seconds, rss = the largest resident set of one process among them (bytes; the kernel's word for
 * a child reaped by wait4 includes its own children).  A command may say how long its measured
 * section took, without its start-up, by a line on its standard output or error:
 *     outpost-bench cpu=SECONDS wall=SECONDS items=COUNT
 * The last such line wins over the rusage (-W ignores it).  With items (or -w) also items/second.
 *
 * The ratio is "how many times better A is": time or bytes of the other by A's, so > 1 favours A.
 * A command that fails stops the comparison with its own output shown: exit 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { COMMANDS_MAX = 8, ROUNDS_MAX = 1000, TAIL = 1 << 16 };

enum metric { CPU, WALL, RSS };
static const char *const metric_name[] = { "cpu", "wall", "rss" };

typedef struct reading {
    double v[3];  /* by metric: seconds, seconds, bytes */
    double items; /* 0 when the command does not say */
    int said;     /* an outpost-bench line was there */
} reading;

typedef struct setup {
    int metric[3]; /* asked for */
    int rounds, warmups, first_core, cores, ignore_line, tsv, verbose;
    double items;
    int n;
    const char *command[COMMANDS_MAX], *label[COMMANDS_MAX];
} setup;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double seconds(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

/* Keeps the last TAIL - 1 bytes of what fd gives until its end; NUL-terminated. */
static void drain(int fd, char *tail)
{
    size_t have = 0;
    for (;;) {
        if (have == TAIL - 1) { /* full: the older half goes */
            memmove(tail, tail + TAIL / 2, TAIL - 1 - TAIL / 2);
            have = TAIL - 1 - TAIL / 2;
        }
        ssize_t got = read(fd, tail + have, TAIL - 1 - have);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        have += (size_t)got;
    }
    tail[have] = '\0';
}

/* The value after " key=" of a line, or `otherwise`. */
static double field(const char *line, const char *key, double otherwise)
{
    char word[32];
    const char *end = strchr(line, '\n'), *at;
    snprintf(word, sizeof word, " %s=", key);
    at = strstr(line, word);
    if (!at || (end && at > end)) return otherwise;
    return strtod(at + strlen(word), NULL);
}

static void read_line(const char *text, reading *r)
{
    const char *line = NULL;
    for (const char *p = text; (p = strstr(p, "outpost-bench ")) != NULL; p++)
        if (p == text || p[-1] == '\n') line = p;
    if (!line) return;
    r->v[CPU] = field(line, "cpu", r->v[CPU]);
    r->v[WALL] = field(line, "wall", r->v[WALL]);
    r->v[RSS] = field(line, "rss", r->v[RSS]);
    r->items = field(line, "items", r->items);
    r->said = 1;
}

static void child(const setup *s, const char *command, int out)
{
    cpu_set_t set;
    int null = open("/dev/null", O_RDONLY);
    if (s->cores > 0) {
        CPU_ZERO(&set);
        for (int i = 0; i < s->cores; i++)
            CPU_SET((size_t)(s->first_core + i), &set);
        if (sched_setaffinity(0, sizeof set, &set)) perror("ab: cannot pin");
    }
    if (null >= 0) dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    perror("ab: /bin/sh");
    _exit(127);
}

/* Runs one command to its end.  0, or 1 after showing what it said. */
static int measure(const setup *s, const char *command, reading *r)
{
    static char tail[TAIL];
    struct rusage use;
    int pipefd[2], status = 0;
    double begin = now();
    pid_t pid;
    if (pipe2(pipefd, O_CLOEXEC) || (pid = fork()) < 0) {
        perror("ab: cannot start a command");
        return 1;
    }
    if (pid == 0) child(s, command, pipefd[1]);
    close(pipefd[1]);
    drain(pipefd[0], tail);
    close(pipefd[0]);
    while (wait4(pid, &status, 0, &use) < 0)
        if (errno != EINTR) return perror("ab: wait4"), 1;
    *r = (reading){ .items = s->items };
    r->v[CPU] = seconds(use.ru_utime) + seconds(use.ru_stime);
    r->v[WALL] = now() - begin;
    r->v[RSS] = 1024.0 * (double)use.ru_maxrss;
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        fprintf(stderr, "ab: failed (%s %d): %s\n%s", WIFEXITED(status) ? "exit" : "signal",
                WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), command, tail);
        return 1;
    }
    if (!s->ignore_line) read_line(tail, r);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct summary {
    double median, min, max;
} summary;

static summary summarise(const double *v, int n)
{
    double sorted[ROUNDS_MAX];
    memcpy(sorted, v, (size_t)n * sizeof *v);
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return (summary){ n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]), sorted[0],
                      sorted[n - 1] };
}

/* Cost of one item of work where both sides say how many there were, else of the whole run. */
static double cost(enum metric m, const reading *r)
{
    return r->items > 0 && m != RSS ? r->v[m] / r->items : r->v[m];
}

/* label metric median min max items/s ratio least-pair greatest-pair items */
static void print_tsv(const setup *s, int c, enum metric metric, summary m, double ratio, summary pair,
                      double items)
{
    printf("%s\t%s\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\t%.6g\n", s->label[c],
           metric_name[metric], m.median, m.min, m.max, items > 0 && metric != RSS ? 1 / m.median : 0.0,
           ratio, pair.min, pair.max, items);
}

static void print_text(const setup *s, int c, enum metric metric, summary m, double ratio, summary pair,
                       const reading *last)
{
    double scale = metric == RSS ? 1e-6 : 1.0;
    if (last->items > 0 && metric != RSS)
        printf("%-12s %9.4g items/%s-s [%.4g-%.4g]", s->label[c], 1 / m.median, metric_name[metric],
               1 / m.max, 1 / m.min);
    else
        printf("%-12s %9.4g %s %s [%.4g-%.4g]", s->label[c], m.median * scale,
               metric == RSS ? "MB" : "s", metric_name[metric], m.min * scale, m.max * scale);
    if (c > 0) printf("   %s is %.2fx better [%.2f-%.2f]", s->label[0], ratio, pair.min, pair.max);
    if (!last->said) printf("   (whole process)");
    if (metric != RSS && last->v[metric] < 1.0) printf("   (short: under 1 s)");
    printf("\n");
}

static void report(const setup *s, const reading *all, enum metric metric)
{
    double b[ROUNDS_MAX], q[ROUNDS_MAX];
    summary first = { 0, 0, 0 };
    for (int c = 0; c < s->n; c++) {
        const reading *last = &all[(s->rounds - 1) * s->n + c];
        for (int i = 0; i < s->rounds; i++) {
            double a = cost(metric, &all[i * s->n]);
            b[i] = cost(metric, &all[i * s->n + c]);
            q[i] = a > 0 ? b[i] / a : INFINITY;
        }
        summary m = summarise(b, s->rounds), pair = summarise(q, s->rounds);
        if (c == 0) first = m;
        if (s->tsv)
            print_tsv(s, c, metric, m, m.median / first.median, pair, last->items);
        else
            print_text(s, c, metric, m, m.median / first.median, pair, last);
    }
}

static void usage(FILE *f)
{
    fputs("usage: ab [-r ROUNDS] [-m cpu,wall,rss] [-p CORE[+N]] [-w ITEMS] [-u WARMUPS] [-l A,B,..]\n"
          "          [-W] [-t] [-v] -- 'command A' -- 'command B' [-- 'command C' ...]\n"
          "  -r  runs of each command [5]        -p  pin to CORE, or N cores from CORE on\n"
          "  -m  what to compare, a list [cpu]   -w  work items per run, for items/second\n"
          "  -u  discarded first runs each [1]   -W  whole process: ignore outpost-bench lines\n"
          "  -l  labels, comma-separated         -t  tab-separated output   -v  every reading\n",
          f);
}

static int number(const char *text, long least, long most, long *out)
{
    char *end;
    errno = 0;
    *out = strtol(text, &end, 10);
    return errno || end == text || (*end && *end != '+') || *out < least || *out > most;
}

static int metrics(setup *s, char *value)
{
    memset(s->metric, 0, sizeof s->metric);
    for (char *word = strtok(value, ","); word; word = strtok(NULL, ",")) {
        int m = CPU;
        while (m <= RSS && strcmp(word, metric_name[m])) m++;
        if (m > RSS) return 1;
        s->metric[m] = 1;
    }
    return !s->metric[CPU] && !s->metric[WALL] && !s->metric[RSS];
}

static int option(setup *s, int c, char *value)
{
    long n = 0;
    char *plus, *end;
    switch (c) {
    case 'r': return number(value, 1, ROUNDS_MAX, &n) || (s->rounds = (int)n, 0);
    case 'u': return number(value, 0, ROUNDS_MAX, &n) || (s->warmups = (int)n, 0);
    case 'p':
        if (number(value, 0, CPU_SETSIZE - 1, &n)) return 1;
        s->first_core = (int)n;
        s->cores = 1;
        if (!(plus = strchr(value, '+'))) return 0;
        return number(plus + 1, 1, CPU_SETSIZE - s->first_core, &n) || (s->cores = (int)n, 0);
    case 'w': s->items = strtod(value, &end); return *end || !(s->items > 0);
    case 'm':
        return metrics(s, value);
    case 'l':
        for (int i = 0; i < COMMANDS_MAX && (value = strtok(i ? NULL : value, ",")); i++)
            s->label[i] = value;
        return 0;
    case 'W': return s->ignore_line = 1, 0;
    case 't': return s->tsv = 1, 0;
    case 'v': return s->verbose = 1, 0;
    default: return 1;
    }
}

int main(int argc, char **argv)
{
    static reading all[ROUNDS_MAX * COMMANDS_MAX];
    static char letter[COMMANDS_MAX][2];
    setup s = { .metric = { 1, 0, 0 }, .rounds = 5, .warmups = 1 };
    int c;
    for (int i = 0; i < COMMANDS_MAX; i++) {
        letter[i][0] = (char)('A' + i);
        s.label[i] = letter[i];
    }
    while ((c = getopt(argc, argv, "+r:m:p:w:u:l:Wtvh")) != -1) {
        if (c == 'h') return usage(stdout), 0;
        if (option(&s, c, optarg)) return usage(stderr), 2;
    }
    for (int i = optind; i < argc; i++) {
        if (!strcmp(argv[i], "--")) continue;
        if (s.n == COMMANDS_MAX) return usage(stderr), 2;
        s.command[s.n++] = argv[i];
    }
    if (s.n < 1) return usage(stderr), 2;
    for (int round = -s.warmups; round < s.rounds; round++)
        for (int k = 0; k < s.n; k++) {
            reading r;
            if (measure(&s, s.command[k], &r)) return 1;
            if (round < 0) continue;
            all[round * s.n + k] = r;
            if (s.verbose)
                fprintf(stderr, "round %d %s: cpu %.4g s, wall %.4g s, rss %.4g MB, items %.6g\n", round,
                        s.label[k], r.v[CPU], r.v[WALL], 1e-6 * r.v[RSS], r.items);
        }
    for (int m = CPU; m <= RSS; m++)
        if (s.metric[m]) report(&s, all, (enum metric)m);
    return 0;
}
