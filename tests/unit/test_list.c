/* Image lists: the grammar line by line, refusals with rule and line, folders. */
#include "common/digest.h"
#include "common/err.h"
#include "common/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static int parse(const char *text, size_t n, list_format format, list **l)
{
    err_clear();
    *l = NULL;
    return list_parse(l, "some/x.txt", text, n, format);
}

/* "path|label|group;..." of a list. */
static void describe(const list *l, char *out, size_t room)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < l->n && at < room; i++) {
        at += (size_t)snprintf(out + at, room - at, "%s%s|%lld", i > 0 ? ";" : "", l->path[i],
                               (long long)l->label[i]);
        if (l->group != NULL) at += (size_t)snprintf(out + at, room - at, "|%d", l->group[i]);
    }
}

#define BYTES(s) s, sizeof(s) - 1

static const struct {
    const char *text;
    size_t n;
    list_format format;
    const char *want; /* "!rule line" when it is to be refused */
} cases[] = {
    /* ends of lines, blanks, empty lines */
    { BYTES("a.jpg 1\nb.jpg 2\n"), LIST_AUTO, "a.jpg|1;b.jpg|2" },
    { BYTES("a.jpg 1\nb.jpg 2"), LIST_AUTO, "a.jpg|1;b.jpg|2" },
    { BYTES("a.jpg 1\r\nb.jpg 2\r\n"), LIST_AUTO, "a.jpg|1;b.jpg|2" },
    { BYTES("\n\n  \t\na.jpg 1  \t\n\n"), LIST_AUTO, "a.jpg|1" },
    { BYTES("   a.jpg \t 1\n"), LIST_AUTO, "a.jpg|1" },
    { BYTES("\xef\xbb\xbf" "a.jpg 1\n"), LIST_AUTO, "a.jpg|1" },
    { BYTES("a.jpg 1\n\xef\xbb\xbf" "b.jpg 1\n"), LIST_AUTO, "a.jpg|1;\xef\xbb\xbf" "b.jpg|1" },
    { BYTES("a.jpg 1\na.jpg 1\n"), LIST_AUTO, "a.jpg|1;a.jpg|1" },
    { BYTES("caf\xc3\xa9/\xff.jpg 3\n"), LIST_AUTO, "caf\xc3\xa9/\xff.jpg|3" },
    /* gen */
    { BYTES("a.jpg\n"), LIST_GEN, "a.jpg|-1" },
    { BYTES("a\n"), LIST_GEN, "a|-1" },
    { BYTES("12\n"), LIST_GEN, "12|-1" },
    { BYTES("my pictures/a b.jpg 5\n"), LIST_GEN, "my pictures/a b.jpg|5" },
    { BYTES("my pictures/a b.JPEG\n"), LIST_GEN, "my pictures/a b.JPEG|-1" },
    { BYTES("a.jpg cat\n"), LIST_GEN, "!list-label line 1" },
    { BYTES("a.jpg 1.5\n"), LIST_GEN, "!list-label line 1" },
    { BYTES("a.jpg +5\n"), LIST_GEN, "!list-label line 1" },
    { BYTES("a.jpg 0x5\n"), LIST_GEN, "!list-label line 1" },
    { BYTES("a.jpg -\n"), LIST_GEN, "!list-label line 1" },
    { BYTES("a.jpg -1\n"), LIST_GEN, "a.jpg|-1" },
    { BYTES("a.jpg -0\n"), LIST_GEN, "a.jpg|0" },
    { BYTES("a.jpg 007\n"), LIST_GEN, "a.jpg|7" },
    { BYTES("a.jpg -2\n"), LIST_GEN, "!list-range line 1" },
    { BYTES("a.jpg 9223372036854775807\n"), LIST_GEN, "a.jpg|9223372036854775807" },
    { BYTES("a.jpg 9223372036854775808\n"), LIST_GEN, "!list-range line 1" },
    { BYTES("a.jpg -9223372036854775808\n"), LIST_GEN, "!list-range line 1" },
    { BYTES("a.jpg 99999999999999999999999\n"), LIST_GEN, "!list-range line 1" },
    /* paths */
    { BYTES("ok.jpg\n/etc/passwd 1\n"), LIST_AUTO, "!list-path line 2" },
    { BYTES("../a.jpg 1\n"), LIST_AUTO, "!list-path line 1" },
    { BYTES("a/../b.jpg 1\n"), LIST_AUTO, "!list-path line 1" },
    { BYTES("a/.. 1\n"), LIST_AUTO, "!list-path line 1" },
    { BYTES("..\n"), LIST_AUTO, "!list-path line 1" },
    { BYTES("..a/b...jpg 1\n"), LIST_AUTO, "..a/b...jpg|1" },
    { BYTES("./a.jpg 1\n"), LIST_AUTO, "./a.jpg|1" },
    { BYTES("a.jpg\n\nb\0c.jpg 1\n"), LIST_AUTO, "!list-nul line 3" },
    /* openood */
    { BYTES("a.jpg 5\nb.jpg -1\n"), LIST_OPENOOD, "a.jpg|5;b.jpg|-1" },
    { BYTES("a.jpg\n"), LIST_OPENOOD, "!list-label line 1" },
    { BYTES("a b.jpg 5\n"), LIST_OPENOOD, "!list-label line 1" },
    /* mos */
    { BYTES("a.jpg 2 17\nb.jpg 0 0\n"), LIST_AUTO, "a.jpg|17|2;b.jpg|0|0" },
    { BYTES("a b.jpg 2 17\n"), LIST_MOS, "a b.jpg|17|2" },
    { BYTES("a.jpg 17\n"), LIST_MOS, "!list-label line 1" },
    { BYTES("a.jpg x 17\n"), LIST_MOS, "!list-label line 1" },
    { BYTES("a.jpg 2 17\na.jpg 2 -2\n"), LIST_MOS, "!list-range line 2" },
    { BYTES("a.jpg 2147483647 1\n"), LIST_MOS, "a.jpg|1|2147483647" },
    { BYTES("a.jpg 2147483648 1\n"), LIST_MOS, "!list-range line 1" },
    { BYTES("a.jpg -1 1\n"), LIST_MOS, "!list-range line 1" },
    { BYTES("a.jpg 2 17\nb.jpg 3\n"), LIST_AUTO, "a.jpg 2|17;b.jpg|3" }, /* one line is not MOS: none is */
    /* nothing */
    { BYTES(""), LIST_AUTO, "!list-empty" },
    { BYTES("\n \r\n"), LIST_AUTO, "!list-empty" },
    { BYTES("\xef\xbb\xbf"), LIST_AUTO, "!list-empty" },
};

static void lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        list *l;
        char got[512];
        int rc = parse(cases[i].text, cases[i].n, cases[i].format, &l);
        if (cases[i].want[0] == '!') {
            char rule[64], line[32] = "";
            const char *blank = strchr(cases[i].want, ' ');
            snprintf(rule, sizeof rule, "some/x.txt: %.*s:",
                     (int)(blank != NULL ? (size_t)(blank - cases[i].want) - 1 : strlen(cases[i].want) - 1),
                     cases[i].want + 1);
            if (blank != NULL) snprintf(line, sizeof line, "%s:", blank + 1);
            if (rc != ERR_INPUT || strncmp(err_text(), rule, strlen(rule)) != 0 ||
                strstr(err_text(), line) == NULL)
                fail_msg("case %zu: %d %s, not %s", i, rc, err_text(), cases[i].want);
            assert_null(l);
            continue;
        }
        if (rc != 0) fail_msg("case %zu: %s", i, err_text());
        describe(l, got, sizeof got);
        if (strcmp(got, cases[i].want) != 0) fail_msg("case %zu: %s, not %s", i, got, cases[i].want);
        assert_string_equal(l->name, "x.txt");
        list_free(&l);
        assert_null(l);
    }
}

static void line_length(void **state)
{
    char *text = malloc(LIST_LINE_MAX + 3);
    list *l;
    (void)state;
    assert_non_null(text);
    memset(text, 'a', LIST_LINE_MAX + 1);
    text[LIST_LINE_MAX] = '\n';
    assert_int_equal(parse(text, LIST_LINE_MAX + 1, LIST_AUTO, &l), 0);
    assert_int_equal(l->path_max, LIST_LINE_MAX);
    list_free(&l);
    memcpy(text + LIST_LINE_MAX, "\r\n", 2); /* the line's end does not count */
    assert_int_equal(parse(text, LIST_LINE_MAX + 2, LIST_AUTO, &l), 0);
    list_free(&l);
    memcpy(text + LIST_LINE_MAX, "a\n", 2);
    assert_int_equal(parse(text, LIST_LINE_MAX + 2, LIST_AUTO, &l), ERR_INPUT);
    assert_non_null(strstr(err_text(), "list-limit"));
    free(text);
}

static void digest_is_of_the_bytes(void **state)
{
    list *l;
    char hex[65];
    (void)state;
    assert_int_equal(parse(BYTES("\xef\xbb\xbf" "a.jpg 1\r\n"), LIST_AUTO, &l), 0);
    assert_int_equal(digest_of("\xef\xbb\xbf" "a.jpg 1\r\n", 12, hex), 0);
    assert_string_equal(l->sha256, hex);
    list_free(&l);
}

static void files(void **state)
{
    char path[] = "/tmp/test_list.XXXXXX", name[64], hex[65];
    int fd = mkstemp(path);
    list *l = NULL;
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "b.png 3\na.png 4", 15), 15);
    close(fd);
    assert_int_equal(list_read(&l, path, LIST_AUTO), 0);
    assert_int_equal(l->n, 2);
    assert_string_equal(l->path[0], "b.png");
    assert_int_equal(l->label[1], 4);
    assert_null(l->group);
    snprintf(name, sizeof name, "/tmp/%s", l->name);
    assert_string_equal(name, path);
    assert_int_equal(digest_of_file(path, hex), 0);
    assert_string_equal(l->sha256, hex);
    list_free(&l);
    unlink(path);
    assert_int_equal(list_read(&l, path, LIST_AUTO), ERR_INPUT);
    err_clear();
    assert_int_equal(list_read(&l, "/tmp", LIST_AUTO), ERR_INPUT);
    err_clear();
    assert_int_equal(list_read(&l, "/dev/null", LIST_AUTO), ERR_INPUT);
    err_clear();
}

static void suffixes(void **state)
{
    static const char *const yes[] = { "a.jpg", "a.JPEG", "b/a.Png", "a.bmp", "a.tiff", ".x.webp", "a.b.gif" };
    static const char *const no[] = { "a", "jpg", "a.jpg/", "a.jpgx", "a.txt", "a.", "a.jpg/b", "" };
    (void)state;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++)
        if (!list_image_suffix(yes[i], strlen(yes[i]))) fail_msg("%s", yes[i]);
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (list_image_suffix(no[i], strlen(no[i]))) fail_msg("%s", no[i]);
}

static void touch(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
}

static void folders(void **state)
{
    char root[] = "/tmp/test_scan.XXXXXX", hex[65], got[512];
    list *l = NULL;
    (void)state;
    assert_non_null(mkdtemp(root));
    assert_int_equal(list_scan(&l, root), ERR_INPUT);
    assert_non_null(strstr(err_text(), "list-empty"));
    err_clear();
    assert_int_equal(chdir(root), 0);
    assert_int_equal(mkdir("a", 0777) | mkdir("a-b", 0777) | mkdir(".hidden", 0777), 0);
    touch("A.png");
    touch("a/x.JPG");
    touch("a/b.jpg");
    touch("a/notes.txt");
    touch("a-b/c.bmp");
    touch(".hidden/d.jpg");
    touch(".e.jpg");
    assert_int_equal(symlink("A.png", "one.jpeg") | symlink("nowhere", "gone.jpg") |
                         symlink("..", "a-b/loop") | symlink("a", "linked"), 0);
    assert_int_equal(mkfifo("fifo.jpg", 0666), 0);
    assert_int_equal(list_scan(&l, "."), 0);
    describe(l, got, sizeof got);
    assert_string_equal(got, "A.png|-1;a-b/c.bmp|-1;a/b.jpg|-1;a/x.JPG|-1;linked/b.jpg|-1;linked/x.JPG|-1;"
                             "one.jpeg|-1");
    assert_string_equal(l->name, "");
    assert_int_equal(l->path_max, 12);
    assert_int_equal(digest_of(BYTES("A.png\na-b/c.bmp\na/b.jpg\na/x.JPG\nlinked/b.jpg\nlinked/x.JPG\none.jpeg"),
                               hex), 0);
    assert_string_equal(l->sha256, hex);
    list_free(&l);
    assert_int_equal(system("rm -rf \"$PWD\""), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(list_scan(&l, root), ERR_INPUT);
    err_clear();
}

/* Random bytes of a small alphabet: never a crash, and what is accepted obeys the rules. */
static void random_lists(void **state)
{
    static const char alphabet[] = "a./ \t\n\r-0123456789\0\xef\xbb\xbfjpg";
    uint32_t x = 1;
    size_t accepted = 0;
    (void)state;
    for (int round = 0; round < 50000; round++) {
        char text[40], *copy;
        size_t n = (size_t)(round % 40);
        list *l;
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525u + 1013904223u;
            text[i] = alphabet[(x >> 16) % (sizeof alphabet - 1)];
        }
        copy = malloc(n > 0 ? n : 1);
        assert_non_null(copy);
        memcpy(copy, text, n);
        if (parse(copy, n, (list_format)(round % 4), &l) == 0) {
            accepted++;
            for (size_t i = 0; i < l->n; i++) {
                assert_true(l->path[i][0] != '/' && l->path[i][0] != '\0' && l->label[i] >= -1);
                assert_true(strlen(l->path[i]) <= l->path_max);
            }
        }
        list_free(&l);
        free(copy);
    }
    assert_true(accepted > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),    cmocka_unit_test(line_length),
        cmocka_unit_test(files),    cmocka_unit_test(digest_is_of_the_bytes),
        cmocka_unit_test(suffixes), cmocka_unit_test(folders),
        cmocka_unit_test(random_lists),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
