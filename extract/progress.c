#include "extract/progress.h"
#include "common/log.h"
#include "common/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum mode { MODE_NONE, MODE_BAR, MODE_PLAIN, MODE_JSON };

struct progress {
    enum mode mode;
    size_t total, begun, done, bad;
    double started, shown, rate_at; /* seconds */
    size_t rate_done;
    double rate;                    /* images/s, smoothed */
    progress_times spent, recent;   /* recent: older seconds count less */
    int drawn;
};

static progress *on_screen; /* whose bar owns the terminal's last line */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void wipe(void)
{
    if (on_screen != NULL && on_screen->drawn) fputs("\r\033[K", stderr);
    if (on_screen != NULL) on_screen->drawn = 0;
}

int progress_open(progress **out, const char *mode, size_t total, size_t done)
{
    progress *p = NULL;
    int rc = mem_new(&p, 1, sizeof *p, "progress");
    const char *term = getenv("TERM");
    int terminal = isatty(STDERR_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    if (rc < 0) return rc;
    p->mode = strcmp(mode, "bar") == 0    ? MODE_BAR
              : strcmp(mode, "plain") == 0 ? MODE_PLAIN
              : strcmp(mode, "json") == 0  ? MODE_JSON
              : strcmp(mode, "none") == 0  ? MODE_NONE
              : terminal                   ? MODE_BAR
                                           : MODE_PLAIN;
    if (log_level_now() < LOG_INFO && p->mode != MODE_JSON) p->mode = MODE_NONE;
    p->total = total;
    p->begun = p->done = p->rate_done = done;
    p->started = p->shown = p->rate_at = now();
    if (p->mode == MODE_BAR) {
        on_screen = p;
        log_set_line_wiper(wipe);
    }
    *out = p;
    return 0;
}

const char *progress_slower(const progress *p)
{
    const progress_times *t = &p->recent;
    double all = t->waited + t->computed + t->written;
    if (!(all > 0)) return "-";
    if (t->waited > 0.2 * all) return "decode";
    return t->written > t->computed ? "writer" : "network";
}

/* The loop does nothing else, so what it spent is the time that passed. */
static void add_recent(progress *p, const progress_times *spent)
{
    static const double SPAN = 10; /* seconds after which a share counts 1/e */
    progress_times *t = &p->recent;
    double waited = spent->waited - p->spent.waited, computed = spent->computed - p->spent.computed;
    double written = spent->written - p->spent.written;
    double keep = exp(-(waited + computed + written) / SPAN);
    t->waited = keep * t->waited + waited;
    t->computed = keep * t->computed + computed;
    t->written = keep * t->written + written;
    p->spent = *spent;
}

static void clock_text(char *text, size_t room, double seconds)
{
    long s = seconds < 0 ? 0 : (long)(seconds + 0.5);
    if (s >= 3600) snprintf(text, room, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, room, "%ld:%02ld", s / 60, s % 60);
}

static int columns(void)
{
    struct winsize w;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

static void draw_bar(progress *p, const char *eta)
{
    char tail[160], bar[64];
    double part = p->total > 0 ? (double)p->done / (double)p->total : 1;
    int n = snprintf(tail, sizeof tail, " %zu/%zu  %.1f images/s  ETA %s  %s", p->done, p->total,
                     p->rate, eta, progress_slower(p));
    int width, filled;
    if (p->bad > 0) n += snprintf(tail + n, sizeof tail - (size_t)n, "  %zu bad", p->bad);
    width = columns() - n - 8;
    if (width > 40) width = 40;
    if (width < 4) width = 0;
    filled = (int)(part * width);
    for (int i = 0; i < width; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[width] = '\0';
    n = columns() - width - 6; /* room for the tail: a bar never wraps */
    fprintf(stderr, "\r\033[K%3.0f%% %s%.*s", 100 * part, bar, n > 0 ? n : 0, tail);
    fflush(stderr);
    p->drawn = 1;
}

static void show(progress *p, double t)
{
    char eta[32];
    clock_text(eta, sizeof eta, p->rate > 0 ? (double)(p->total - p->done) / p->rate : 0);
    if (p->rate <= 0) snprintf(eta, sizeof eta, "-");
    if (p->mode == MODE_BAR) draw_bar(p, eta);
    else if (p->mode == MODE_PLAIN)
        log_info("%zu/%zu images  %.1f images/s  ETA %s  bottleneck %s  bad %zu", p->done, p->total,
                 p->rate, eta, progress_slower(p), p->bad);
    else if (p->mode == MODE_JSON)
        fprintf(stderr,
                "{\"done\":%zu,\"total\":%zu,\"images_per_s\":%.3f,\"bad\":%zu,\"elapsed_s\":%.1f,"
                "\"bottleneck\":\"%s\"}\n",
                p->done, p->total, p->rate, p->bad, t - p->started, progress_slower(p));
    p->shown = t;
}

void progress_update(progress *p, size_t done, size_t bad, const progress_times *spent)
{
    double t = now(), every = p->mode == MODE_BAR ? 0.2 : p->mode == MODE_JSON ? 1 : 30;
    p->done = done;
    p->bad = bad;
    add_recent(p, spent);
    if (t - p->rate_at >= 0.5) {
        double fresh = (double)(done - p->rate_done) / (t - p->rate_at);
        p->rate = p->rate > 0 ? 0.7 * p->rate + 0.3 * fresh : fresh;
        p->rate_at = t;
        p->rate_done = done;
    }
    if (p->mode != MODE_NONE && t - p->shown >= every) show(p, t);
}

void progress_close(progress **pp)
{
    progress *p = *pp;
    double t = now();
    if (p == NULL) return;
    if (p->mode == MODE_BAR) {
        wipe();
        on_screen = NULL;
        log_set_line_wiper(NULL);
    }
    if (t > p->started) p->rate = (double)(p->done - p->begun) / (t - p->started);
    if (p->mode == MODE_JSON) show(p, t);
    free(p);
    *pp = NULL;
}
