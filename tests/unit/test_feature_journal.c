/* The journal cut off and flipped at every byte, with every row that it no longer promises lost from
 * the file: the run goes on and ends in the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/feature/feature_journal.h"
#include "common/log.h"
#include "feature_fixture.h"

static const char *const provenance = "{\"model\":\"m\"}";

static void ok(int rc)
{
    if (rc != 0) print_message("# rc %d: %s\n", rc, err_text());
    assert_int_equal(rc, 0);
}

typedef struct seen {
    uint64_t end;
    size_t commits, digests, bad;
} seen;

static int on_commit(void *arg, const journal_commit *c)
{
    seen *s = arg;
    s->end = c->end;
    s->commits++;
    s->digests += c->n_digests;
    s->bad += c->n_bad;
    return 0;
}

/* A run of 1300 rows, four commits, stopped at row 1200. */
typedef struct stopped {
    fixture x;
    char part[160], journal[160];
    unsigned char *p, *j, *want;
    size_t np, nj, n;
} stopped;

static void stopped_init(stopped *s)
{
    fixture whole;
    log_open("test", LOG_QUIET);
    fixture_init(&whole, 1300, 4, provenance);
    ok(fixture_run(&whole, 1300, 100, 1));
    s->want = fixture_read(whole.file, &s->n);
    fixture_clear(&whole);
    fixture_init(&s->x, 1300, 4, provenance);
    ok(fixture_run(&s->x, 1200, 300, 1));
    snprintf(s->part, sizeof s->part, "%s.part", s->x.file);
    snprintf(s->journal, sizeof s->journal, "%s.journal", s->x.file);
    s->p = fixture_read(s->part, &s->np);
    s->j = fixture_read(s->journal, &s->nj);
}

static void stopped_clear(stopped *s)
{
    free(s->p), free(s->j), free(s->want);
    fixture_clear(&s->x);
}

/* Writes this journal, and the file without the rows that it does not promise; goes on to the end. */
static void go_on(const stopped *s, const unsigned char *j, size_t nj)
{
    journal_header *h = NULL;
    seen got = {0};
    size_t used, n;
    unsigned char *p = malloc(s->np), *have;
    memcpy(p, s->p, s->np);
    ok(journal_parse(j, nj, "x", &h, on_commit, &got, &used));
    assert_true(used <= nj);
    for (size_t i = 0; h != NULL && i < h->n_places; i++)
        if (i < 5 || strcmp(h->place[i].name, "status") == 0) {
            uint64_t row = h->place[i].bytes / 1300;
            memset(p + h->place[i].offset + got.end * row, 0xdb, (1300 - got.end) * row);
        }
    journal_header_free(&h);
    fixture_save(s->part, p, s->np);
    fixture_save(s->journal, j, nj);
    ok(fixture_run(&s->x, 1300, 250, 2));
    have = fixture_read(s->x.file, &n);
    assert_int_equal(n, s->n);
    assert_memory_equal(have, s->want, n);
    free(have);
    free(p);
    unlink(s->x.file);
}

static void torn_at_every_byte(void **unused)
{
    stopped s;
    seen got = {0};
    journal_header *h = NULL;
    size_t used, steps = 0;
    (void)unused;
    stopped_init(&s);
    ok(journal_parse(s.j, s.nj, "x", &h, on_commit, &got, &used));
    assert_int_equal(used, s.nj);
    assert_int_equal(got.end, 1200);
    assert_int_equal(got.commits, 4);
    assert_int_equal(got.digests, (1 + 1 + 1 + 2) * 6);
    journal_header_free(&h);
    for (size_t n = 0; n <= s.nj; n += n > 600 && n < s.nj - 1400 ? 13 : 1, steps++)
        go_on(&s, s.j, n);
    print_message("# %zu lengths of a journal of %zu bytes\n", steps, s.nj);
    stopped_clear(&s);
}

static void flipped_at_every_byte(void **unused)
{
    stopped s;
    (void)unused;
    stopped_init(&s);
    for (size_t at = 0; at < s.nj; at += 3) {
        s.j[at] ^= (unsigned char)(1u << at % 8);
        go_on(&s, s.j, s.nj);
        s.j[at] ^= (unsigned char)(1u << at % 8);
    }
    stopped_clear(&s);
}

static void foreign_tails_are_ignored(void **unused)
{
    stopped s;
    unsigned char *j;
    (void)unused;
    stopped_init(&s);
    j = malloc(2 * s.nj);
    memcpy(j, s.j, s.nj);
    memcpy(j + s.nj, s.j, s.nj); /* whole records, right checksums, of another journal */
    go_on(&s, j, 2 * s.nj);
    memset(j + s.nj, 0, s.nj);
    go_on(&s, j, 2 * s.nj);
    memset(j + s.nj, 0xff, s.nj);
    go_on(&s, j, 2 * s.nj);
    free(j);
    unlink(s.journal);
    fixture_save(s.part, s.p, s.np); /* a file without a journal promises nothing */
    ok(fixture_run(&s.x, 1300, 100, 1));
    unlink(s.x.file);
    fixture_save(s.journal, s.j, s.nj); /* a journal without its file neither */
    ok(fixture_run(&s.x, 1300, 100, 1));
    stopped_clear(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torn_at_every_byte),
        cmocka_unit_test(flipped_at_every_byte),
        cmocka_unit_test(foreign_tails_are_ignored),
    };
    return cmocka_run_group_tests_name("feature_journal", tests, NULL, NULL);
}
