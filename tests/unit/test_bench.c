/* common/bench.c: the benchmarks of datalists/ and files that are refused, with line and rule. */
#include "common/bench.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/err.h"

static char path[] = "/tmp/outpost-bench-XXXXXX";

static void put(const char *text, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static int read_text(bench **b, const char *text)
{
    err_clear();
    put(text, strlen(text));
    return bench_read(b, path);
}

#define HEAD "benchmark: x\nsets:\n"
#define TWO "  - {role: id, name: a}\n  - {role: ood, name: b}\n"

static void a_small_one(void **state)
{
    bench *b = NULL;
    const bench_set *s;
    (void)state;
    assert_int_equal(read_text(&b, "# words\nbenchmark: x-1\ntitle: \"a: b\"\nfpr95: mos\nsets:\n"
                                   "  - role: id\n    name: val\n    images: 12\n"
                                   "  - {role: ood, name: far_1, group: far, list: l.txt, format: gen,\n"
                                   "     sha256: 0123456789abcdef, root: dtd/images}\n"
                                   "  - {role: csid, name: c}\n  - {role: val-ood, name: v}\n"), 0);
    assert_string_equal(b->name, "x-1");
    assert_string_equal(b->title, "a: b");
    assert_string_equal(b->fpr95, "mos");
    assert_int_equal(b->n, 4);
    s = bench_find(b, BENCH_OOD, "far_1");
    assert_non_null(s);
    assert_ptr_equal(s, bench_find(b, BENCH_OOD, NULL));
    assert_string_equal(s->group, "far");
    assert_string_equal(s->list, "l.txt");
    assert_string_equal(s->root, "dtd/images");
    assert_int_equal(s->line, 9);
    assert_int_equal(bench_find(b, BENCH_ID, NULL)->images, 12);
    assert_null(bench_find(b, BENCH_TRAIN, NULL));
    assert_null(bench_find(b, BENCH_CSID, "far_1"));
    bench_free(&b);
    assert_null(b);
}

static void published_ones(void **state)
{
    static const struct { const char *name; size_t near, far, csid; } want[] = {
        { "gen-imagenet", 0, 0, 0 },       { "mos-imagenet", 0, 0, 0 },
        { "openood-imagenet1k", 2, 3, 3 }, { "openood-cifar10", 2, 4, 1 },
        { "openood-cifar100", 2, 4, 0 },   { "himplos-cifar", 0, 0, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        char file[200];
        bench *b = NULL;
        size_t near = 0, far = 0, csid = 0;
        snprintf(file, sizeof file, "datalists/%s.yaml", want[i].name);
        if (bench_read(&b, file) != 0) fail_msg("%s", err_text());
        assert_string_equal(b->name, want[i].name);
        for (size_t s = 0; s < b->n; s++) {
            const char *g = b->set[s].group;
            near += g != NULL && strcmp(g, "near") == 0;
            far += g != NULL && strcmp(g, "far") == 0;
            csid += b->set[s].role == BENCH_CSID;
        }
        assert_int_equal(near, want[i].near);
        assert_int_equal(far, want[i].far);
        assert_int_equal(csid, want[i].csid);
        bench_free(&b);
    }
}

static void refused(void **state)
{
    static const struct { const char *text, *rule; } bad[] = {
        { "", "bench-empty: line 1" },
        { "[]", "bench-nesting: line 1" },
        { "just words", "bench-nesting: line 1" },
        { "benchmark: x\n", "bench-missing: line 1: no set of role 'id'" },
        { "sets:\n" TWO, "bench-missing: line 1: no 'benchmark'" },
        { HEAD "  - {role: id, name: a}\n", "no set of role 'ood'" },
        { HEAD TWO "  - {role: ood, name: b}\n", "bench-twice: line 5: a second set 'b'" },
        { HEAD TWO "  - {role: id, name: c}\n", "bench-twice: line 5: a second set of role 'id'" },
        { HEAD TWO "  - {role: odd, name: c}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, nmae: c}\n", "bench-key: line 5: did you mean 'name'" },
        { HEAD TWO "  - {role: ood}\n", "bench-missing: line 5: no 'name'" },
        { HEAD TWO "  - {role: ood, name: c, name: d}\n", "bench-twice: line 5: a second 'name'" },
        { HEAD TWO "  - {role: ood, name: ../c}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: .c}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: 'c\x1b[31m'}\n", "bench-syntax: line" },
        { HEAD TWO "  - {role: ood, name: \"c\\e[31m\"}\n", "c\\x1b[31m" },
        { HEAD TWO "  - {role: ood, name: \"c\\0d\"}\n", "NUL" },
        { HEAD TWO "  - {role: csid, name: c, group: near}\n", "bench-group: line 5" },
        { HEAD TWO "  - {role: ood, name: c, group: middle}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: c, images: -3}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: c, images: 0x10}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: c, images: 99999999999999999999}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: c, sha256: 0123}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: c, sha256: 0123456789ABCDEF}\n", "bench-value: line 5" },
        { HEAD TWO "  - {role: ood, name: c, format: csv}\n", "bench-value: line 5" },
        { "fpr95: 95\n" HEAD TWO, "bench-value: line 1" },
        { HEAD TWO "  - {role: ood, name: [c]}\n", "bench-nesting: line 5" },
        { HEAD TWO "  - - a\n", "bench-nesting: line 5" },
        { HEAD "  a: b\n", "bench-nesting: line 3" },
        { "benchmark: &a x\nsets:\n" TWO, "bench-alias: line 1" },
        { "benchmark: x\ntitle: *a\nsets:\n" TWO, "bench-" },
        { "benchmark: !!str x\nsets:\n" TWO, "bench-alias: line 1" },
        { HEAD TWO "---\nbenchmark: y\n", "bench-document: line 5" },
        { HEAD TWO "\tx: y\n", "bench-syntax: line 5" },
        { HEAD "  - {role: id, name: a\n", "bench-syntax: line" },
        { "benchmark: \xff\xfe\n", "bench-syntax: line 1" },
        { "a: &a [x,x]\nb: &b [*a,*a]\n", "bench-key: line 1" },
        { "? {a: b}\n: c\n", "bench-nesting: line 1" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        bench *b = NULL;
        if (read_text(&b, bad[i].text) != ERR_INPUT) fail_msg("case %zu was taken", i);
        assert_null(b);
        if (strstr(err_text(), bad[i].rule) == NULL || strstr(err_text(), path) == NULL)
            fail_msg("case %zu: '%s', not '%s'", i, err_text(), bad[i].rule);
    }
}

/* Every prefix, every byte replaced: never a crash, always a verdict. */
static void any_bytes(void **state)
{
    static const char good[] = HEAD TWO "  - {role: ood, name: c, group: far, images: 3, root: x}\n";
    char text[sizeof good];
    bench *b = NULL;
    size_t taken = 0;
    (void)state;
    for (size_t n = 0; n < sizeof good; n++) {
        put(good, n);
        err_clear();
        taken += bench_read(&b, path) == 0;
        bench_free(&b);
    }
    for (size_t i = 0; i + 1 < sizeof good; i++)
        for (const char *c = "\n\t \"'{}[]*&!%@-:?,#|>\x01\x80"; *c != '\0'; c++) {
            memcpy(text, good, sizeof good);
            text[i] = *c;
            put(text, sizeof good - 1);
            err_clear();
            taken += bench_read(&b, path) == 0;
            bench_free(&b);
        }
    assert_true(taken > 10);
}

static void large_and_deep(void **state)
{
    size_t n = 300 * 1024;
    char *text = malloc(n);
    bench *b = NULL;
    (void)state;
    memset(text, '[', n);
    put(text, n);
    err_clear();
    assert_int_equal(bench_read(&b, path), ERR_INPUT);
    assert_non_null(strstr(err_text(), "bench-limit"));
    put(text, 200 * 1024);
    err_clear();
    assert_int_equal(bench_read(&b, path), ERR_INPUT);
    free(text);
    err_clear();
    assert_int_equal(bench_read(&b, "/nowhere/x.yaml"), ERR_INPUT);
    err_clear();
    assert_int_equal(bench_read(&b, "/tmp"), ERR_INPUT);
}

int main(void)
{
    int fd = mkstemp(path), rc;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_one), cmocka_unit_test(published_ones), cmocka_unit_test(refused),
        cmocka_unit_test(any_bytes),   cmocka_unit_test(large_and_deep),
    };
    if (fd < 0) return 1;
    close(fd);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return rc;
}
