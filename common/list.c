/* Reading list files; the grammar is in list.h. */
#include "common/list.h"
#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct reader {
    list *l;
    const char *name; /* for messages */
    size_t line;      /* 1-based */
    size_t room_path, room_label, room_group;
} reader;

static int refuse(const reader *r, const char *rule, const char *why)
{
    err_set(ERR_INPUT, "%s: list-%s: line %zu: %s", r->name, rule, r->line, why);
    return ERR_INPUT;
}

int list_image_suffix(const char *path, size_t n)
{
    static const char *const known[] = { "jpg", "jpeg", "png",  "bmp", "gif", "webp", "tif",
                                         "tiff", "ppm", "pgm", "pbm", "pnm", "jpe",  "jfif" };
    size_t dot = n;
    while (dot > 0 && path[dot - 1] != '.' && path[dot - 1] != '/')
        dot--;
    if (dot == 0 || path[dot - 1] != '.') return 0;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i]) == n - dot && strncasecmp(path + dot, known[i], n - dot) == 0) return 1;
    return 0;
}

/* ---- words ------------------------------------------------------------------------------------ */

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static int is_integer(const char *s, size_t n)
{
    size_t i = n > 0 && s[0] == '-';
    if (i == n) return 0;
    for (; i < n; i++)
        if (s[i] < '0' || s[i] > '9') return 0;
    return 1;
}

/* Where the last word of s[n] begins; n has no blanks at its end. */
static size_t last_word(const char *s, size_t n)
{
    while (n > 0 && !is_blank(s[n - 1]))
        n--;
    return n;
}

static size_t strip_end(const char *s, size_t n)
{
    while (n > 0 && is_blank(s[n - 1]))
        n--;
    return n;
}

/* An integer (by is_integer) within low..high. */
static int parse_integer(const reader *r, const char *s, size_t n, int64_t low, int64_t high,
                         const char *what, int64_t *out)
{
    int minus = s[0] == '-';
    int64_t v = 0;
    for (size_t i = (size_t)minus; i < n; i++)
        if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, s[i] - '0', &v))
            return refuse(r, "range", what);
    if (!minus && __builtin_sub_overflow(0, v, &v)) return refuse(r, "range", what);
    if (v < low || v > high) return refuse(r, "range", what);
    *out = v;
    return 0;
}

/* ---- one line --------------------------------------------------------------------------------- */

static int check_path(const reader *r, const char *s, size_t n)
{
    if (n == 0) return refuse(r, "path", "there is no path");
    if (s[0] == '/') return refuse(r, "path", "an absolute path");
    for (size_t i = 0; i + 1 < n; i++)
        if (s[i] == '.' && s[i + 1] == '.' && (i == 0 || s[i - 1] == '/') &&
            (i + 2 == n || s[i + 2] == '/'))
            return refuse(r, "path", "a path with `..`");
    return 0;
}

static int add(reader *r, char *s, size_t n, int64_t label, const int64_t *group)
{
    list *l = r->l;
    int rc = check_path(r, s, n);
    if (rc == 0) rc = mem_grow(&l->path, &r->room_path, l->n + 1, sizeof *l->path, "list");
    if (rc == 0) rc = mem_grow(&l->label, &r->room_label, l->n + 1, sizeof *l->label, "list");
    if (rc == 0 && group != NULL)
        rc = mem_grow(&l->group, &r->room_group, l->n + 1, sizeof *l->group, "list");
    if (rc < 0) return rc;
    s[n] = '\0'; /* the byte behind a path is a blank, a line end or the terminator */
    l->path[l->n] = s;
    l->label[l->n] = label;
    if (group != NULL) l->group[l->n] = (int32_t)*group;
    if (n > l->path_max) l->path_max = n;
    l->n++;
    return 0;
}

static const char label_range[] = "the label is not -1 to 9223372036854775807";

static int line_gen(reader *r, char *s, size_t n)
{
    size_t word = last_word(s, n);
    int64_t label = -1;
    int rc;
    if (word == 0) return add(r, s, n, -1, NULL);
    if (is_integer(s + word, n - word)) {
        rc = parse_integer(r, s + word, n - word, -1, INT64_MAX, label_range, &label);
        return rc < 0 ? rc : add(r, s, strip_end(s, word), label, NULL);
    }
    if (!list_image_suffix(s, n)) return refuse(r, "label", "the last word is no integer");
    return add(r, s, n, -1, NULL);
}

static int line_openood(reader *r, char *s, size_t n)
{
    size_t path_n = 0, at;
    int64_t label = -1;
    int rc;
    while (path_n < n && !is_blank(s[path_n]))
        path_n++;
    for (at = path_n; at < n && is_blank(s[at]);)
        at++;
    if (at == n) return refuse(r, "label", "there is no label");
    if (!is_integer(s + at, n - at)) return refuse(r, "label", "the label is no integer");
    rc = parse_integer(r, s + at, n - at, -1, INT64_MAX, label_range, &label);
    return rc < 0 ? rc : add(r, s, path_n, label, NULL);
}

/* Where `group` and `subclass` begin; 0 when the line is not of that form. */
static int split_mos(const char *s, size_t n, size_t *group, size_t *group_n, size_t *subclass)
{
    size_t end;
    *subclass = last_word(s, n);
    end = strip_end(s, *subclass);
    *group = last_word(s, end);
    *group_n = end - *group;
    return *group > 0 && is_integer(s + *subclass, n - *subclass) &&
           is_integer(s + *group, *group_n);
}

static int line_mos(reader *r, char *s, size_t n)
{
    size_t group_at, group_n, subclass_at;
    int64_t group = 0, subclass = 0;
    int rc;
    if (!split_mos(s, n, &group_at, &group_n, &subclass_at))
        return refuse(r, "label", "not `path group subclass`");
    rc = parse_integer(r, s + subclass_at, n - subclass_at, -1, INT64_MAX, label_range, &subclass);
    if (rc == 0)
        rc = parse_integer(r, s + group_at, group_n, 0, INT32_MAX,
                           "the group is not 0 to 2147483647", &group);
    return rc < 0 ? rc : add(r, s, strip_end(s, group_at), subclass, &group);
}

/* ---- all lines --------------------------------------------------------------------------------- */

/* Calls `each` for every line that is not empty, without the blanks around it. */
static int for_lines(reader *r, char *text, size_t n, int (*each)(reader *, char *, size_t))
{
    size_t at = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    for (r->line = 1; at < n; r->line++) {
        char *s = text + at, *end = memchr(s, '\n', n - at);
        size_t whole = end != NULL ? (size_t)(end - s) : n - at, length = whole;
        int rc;
        at += whole + 1;
        if (length > 0 && s[length - 1] == '\r') length--;
        if (length > LIST_LINE_MAX) return refuse(r, "limit", "longer than 65536 bytes");
        length = strip_end(s, length);
        for (; length > 0 && is_blank(*s); s++)
            length--;
        if (length == 0) continue;
        rc = each(r, s, length);
        if (rc != 0) return rc;
    }
    return 0;
}

/* 1 at the first line that is not of the MOS form. */
static int not_mos(reader *r, char *s, size_t n)
{
    size_t group, group_n, subclass;
    (void)r;
    return !split_mos(s, n, &group, &group_n, &subclass);
}

static int check_nul(reader *r, const char *text, size_t n)
{
    const char *nul = n > 0 ? memchr(text, '\0', n) : NULL;
    if (nul == NULL) return 0;
    r->line = 1;
    for (const char *s = text; s < nul; s++)
        r->line += *s == '\n';
    return refuse(r, "nul", "a NUL byte");
}

static int parse(reader *r, size_t n, list_format format)
{
    char *text = r->l->text;
    int rc = check_nul(r, text, n);
    if (rc < 0) return rc;
    if (format == LIST_AUTO) {
        rc = for_lines(r, text, n, not_mos);
        if (rc < 0) return rc;
        format = rc == 0 ? LIST_MOS : LIST_GEN;
    }
    rc = for_lines(r, text, n,
                   format == LIST_MOS       ? line_mos
                   : format == LIST_OPENOOD ? line_openood
                                            : line_gen);
    if (rc == 0 && r->l->n == 0)
        rc = err_set(ERR_INPUT, "%s: list-empty: there is no image in it", r->name);
    return rc;
}

/* Takes over text[n], which has one byte more room for a terminator. */
static int make(list **out, const char *name, char *text, size_t n, list_format format)
{
    const char *slash = strrchr(name, '/');
    reader r = { .name = name };
    list *l = NULL;
    int rc = 0;
    rc = mem_new(&l, 1, sizeof *l, "list");
    if (rc < 0) {
        free(text);
        return rc;
    }
    r.l = l;
    l->text = text;
    TRY(mem_strdup(&l->name, slash != NULL ? slash + 1 : name));
    TRY(digest_of(text, n, l->sha256));
    TRY(parse(&r, n, format));
    *out = l;
    l = NULL; /* handed over */
done:
    list_free(&l);
    return rc;
}

int list_parse(list **out, const char *name, const void *bytes, size_t n, list_format format)
{
    char *text = NULL;
    int rc = mem_new(&text, n + 1, 1, "list");
    if (rc < 0) return rc;
    if (n > 0) memcpy(text, bytes, n);
    return make(out, name, text, n, format);
}

/* Reads a regular file whole, also when it grows meanwhile. */
static int read_file(const char *file, char **out, size_t *out_n)
{
    int rc = 0, fd;
    struct stat st;
    char *text = NULL;
    size_t n = 0, room = 0;
    fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CHECK(fd >= 0, ERR_INPUT, "%s: cannot open: %s", file, strerror(errno));
    CHECK(fstat(fd, &st) == 0, ERR_ENV, "%s: cannot stat: %s", file, strerror(errno));
    CHECK(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", file);
    TRY(mem_grow(&text, &room, (size_t)st.st_size + 2, 1, "list"));
    for (;;) {
        ssize_t got = read(fd, text + n, room - n - 1);
        if (got < 0 && errno == EINTR) continue;
        CHECK(got >= 0, ERR_ENV, "%s: read error: %s", file, strerror(errno));
        if (got == 0) break;
        n += (size_t)got;
        TRY(mem_grow(&text, &room, n + 2, 1, "list"));
    }
    text[n] = '\0';
    *out = text;
    *out_n = n;
    text = NULL;
done:
    free(text);
    if (fd >= 0) close(fd);
    return rc;
}

int list_read(list **out, const char *file, list_format format)
{
    char *text = NULL;
    size_t n = 0;
    int rc = read_file(file, &text, &n);
    return rc < 0 ? rc : make(out, file, text, n, format);
}

void list_free(list **l)
{
    if (*l == NULL) return;
    free((void *)(*l)->path);
    free((*l)->label);
    free((*l)->group);
    free((*l)->text);
    free((*l)->name);
    free(*l);
    *l = NULL;
}
