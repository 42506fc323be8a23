/* Which side the progress line calls the slower one: the loop of a run, played with seconds that are made
 * up, on backends that compute while it waits and on several devices that work beside it. */
#include "common/err.h"
#include "extract/progress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static progress *begin(void)
{
    progress *p = NULL;
    assert_int_equal(progress_open(&p, "none", 1000000, 0), 0);
    return p;
}

/* Seconds per batch of a machine: what decode needs, each of `devices` devices, and the writer. */
typedef struct machine {
    double decode, network, write;
    int devices; /* 0: computes in the loop itself */
} machine;

enum { DEVICES = 8, DEPTH = 2 };

typedef struct play {
    double clock, decoded;                      /* when the next batch is ready */
    double ready[DEVICES], batch[DEVICES * DEPTH]; /* when a device is free; when batches under way are done */
    int under_way, oldest, next;
    progress_times spent;
} play;

static void pass(play *s, double until, double *share)
{
    if (until <= s->clock) return;
    *share += until - s->clock;
    s->clock = until;
}

static void finish(play *s, const machine *m)
{
    int room = m->devices * DEPTH;
    pass(s, s->batch[s->oldest % room], &s->spent.computed);
    s->oldest++;
    s->under_way--;
    pass(s, s->clock + m->write, &s->spent.written);
}

/* The loop of extract/cmd_run.c. */
static void batches(play *s, progress *p, const machine *m, int n)
{
    for (int i = 0; i < n; i++) {
        pass(s, s->decoded, &s->spent.waited);
        s->decoded += m->decode; /* decoding goes on at its own pace, some batches ahead */
        if (s->decoded < s->clock - 4 * m->decode) s->decoded = s->clock - 4 * m->decode;
        if (m->devices == 0) {
            pass(s, s->clock + m->network, &s->spent.computed);
            pass(s, s->clock + m->write, &s->spent.written);
        } else {
            double *at = &s->ready[s->next % m->devices];
            *at = (*at > s->clock ? *at : s->clock) + m->network;
            s->batch[s->next % (m->devices * DEPTH)] = *at;
            s->next++;
            if (++s->under_way == m->devices * DEPTH) finish(s, m);
        }
        progress_update(p, (size_t)i, 0, &s->spent);
    }
    while (s->under_way > 0)
        finish(s, m);
}

static void the_slower_side(void **state)
{
    static const struct {
        machine m;
        const char *slower;
    } cases[] = {
        { { 0.10, 0.20, 0.001, 0 }, "network" }, { { 0.20, 0.10, 0.001, 0 }, "decode" },
        { { 0.10, 0.02, 0.15, 0 }, "writer" },   { { 0.10, 0.20, 0.001, 1 }, "network" },
        { { 0.20, 0.10, 0.001, 1 }, "decode" },  { { 0.10, 0.02, 0.15, 1 }, "writer" },
        /* four devices of 0.2 s take a batch each 0.05 s */
        { { 0.10, 0.20, 0.001, 4 }, "decode" },  { { 0.04, 0.20, 0.001, 4 }, "network" },
        { { 0.04, 0.20, 0.10, 4 }, "writer" },   { { 0.03, 0.20, 0.001, 8 }, "decode" },
        { { 0.02, 0.20, 0.001, 8 }, "network" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        progress *p = begin();
        play s = { .clock = 0 };
        assert_string_equal(progress_slower(p), "-");
        batches(&s, p, &cases[i].m, 500);
        if (strcmp(progress_slower(p), cases[i].slower) != 0)
            fail_msg("case %zu: %s, not %s", i, progress_slower(p), cases[i].slower);
        progress_close(&p);
    }
}

/* What was is forgotten: ten minutes of the one, then one minute of the other. */
static void the_past_fades(void **state)
{
    const machine slow_decode = { 0.2, 0.1, 0.001, 2 }, slow_network = { 0.02, 0.2, 0.001, 2 };
    progress *p = begin();
    play s = { .clock = 0 };
    (void)state;
    batches(&s, p, &slow_decode, 3000);
    assert_string_equal(progress_slower(p), "decode");
    batches(&s, p, &slow_network, 600);
    assert_string_equal(progress_slower(p), "network");
    batches(&s, p, &slow_decode, 300);
    assert_string_equal(progress_slower(p), "decode");
    progress_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_slower_side), cmocka_unit_test(the_past_fades) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
