/* Folders as lists: all images below a root. */
#include "common/digest.h"
#include "common/err.h"
#include "common/list.h"
#include "common/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 64, PATH_BYTES_MAX = 4096 };

typedef struct scan {
    const char *root;
    char path[PATH_BYTES_MAX]; /* of the entry being looked at, relative to the root */
    struct {
        dev_t dev;
        ino_t ino;
    } above[DEPTH_MAX]; /* the folders on the way down */
    char *text;         /* found paths, each with its NUL */
    size_t text_n, text_room, n;
} scan;

static int keep(scan *s, size_t path_n)
{
    int rc = mem_grow(&s->text, &s->text_room, s->text_n + path_n + 1, 1, "list");
    if (rc < 0) return rc;
    memcpy(s->text + s->text_n, s->path, path_n + 1);
    s->text_n += path_n + 1;
    s->n++;
    return 0;
}

static int scan_folder(scan *s, int fd, size_t path_n, int depth);

static int scan_entry(scan *s, int folder, const char *name, size_t path_n, int depth)
{
    size_t name_n = strlen(name), slash = path_n > 0;
    struct stat st;
    int fd, rc;
    if (name[0] == '.') return 0;
    if (path_n + slash + name_n >= sizeof s->path)
        return err_set(ERR_INPUT, "%s: list-scan: a path below '%s' is longer than 4095 bytes",
                       s->root, s->path);
    if (fstatat(folder, name, &st, 0) != 0) return 0; /* a dangling link, or gone meanwhile */
    if (slash) s->path[path_n] = '/';
    memcpy(s->path + path_n + slash, name, name_n + 1);
    path_n += slash + name_n;
    if (S_ISREG(st.st_mode))
        return list_image_suffix(s->path, path_n) ? keep(s, path_n) : 0;
    if (!S_ISDIR(st.st_mode)) return 0;
    for (int i = 0; i <= depth; i++)
        if (s->above[i].dev == st.st_dev && s->above[i].ino == st.st_ino) return 0; /* a loop */
    fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_set(ERR_INPUT, "%s: list-scan: cannot open folder '%s': %s", s->root, s->path,
                       strerror(errno));
    rc = scan_folder(s, fd, path_n, depth + 1);
    return rc;
}

/* Takes over fd. */
static int scan_folder(scan *s, int fd, size_t path_n, int depth)
{
    struct stat st;
    struct dirent *e;
    DIR *d = fdopendir(fd);
    int rc = 0;
    if (d == NULL || fstat(fd, &st) != 0) {
        rc = err_set(ERR_ENV, "%s: list-scan: cannot read folder '%s': %s", s->root, s->path,
                     strerror(errno));
        if (d == NULL) close(fd);
        goto done;
    }
    CHECK(depth < DEPTH_MAX, ERR_INPUT, "%s: list-scan: folders nested deeper than 64", s->root);
    s->above[depth].dev = st.st_dev;
    s->above[depth].ino = st.st_ino;
    for (;;) {
        errno = 0;
        e = readdir(d);
        CHECK(e != NULL || errno == 0, ERR_ENV, "%s: list-scan: cannot read folder '%s': %s",
              s->root, s->path, strerror(errno));
        if (e == NULL) break;
        TRY(scan_entry(s, fd, e->d_name, path_n, depth));
        s->path[path_n] = '\0';
    }
done:
    if (d != NULL) closedir(d);
    return rc;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int digest_paths(list *l)
{
    digest *d = NULL;
    int rc = 0;
    TRY(digest_new(&d));
    for (size_t i = 0; i < l->n; i++) {
        if (i > 0) TRY(digest_update(d, "\n", 1));
        TRY(digest_update(d, l->path[i], strlen(l->path[i])));
    }
    TRY(digest_hex(d, l->sha256));
done:
    digest_free(&d);
    return rc;
}

int list_scan(list **out, const char *root)
{
    scan s = { .root = root };
    list *l = NULL;
    char *at;
    int rc = 0, fd;
    fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0, ERR_INPUT, "%s: list-scan: cannot open folder: %s", root, strerror(errno));
    TRY(scan_folder(&s, fd, 0, 0));
    CHECK(s.n > 0, ERR_INPUT, "%s: list-empty: there is no image below it", root);
    TRY(mem_new(&l, 1, sizeof *l, "list"));
    TRY(mem_new(&l->path, s.n, sizeof *l->path, "list"));
    TRY(mem_new(&l->label, s.n, sizeof *l->label, "list"));
    TRY(mem_strdup(&l->name, ""));
    l->text = at = s.text;
    s.text = NULL;
    for (l->n = 0; l->n < s.n; at += strlen(at) + 1) {
        if (strlen(at) > l->path_max) l->path_max = strlen(at);
        l->label[l->n] = -1;
        l->path[l->n++] = at;
    }
    qsort((void *)l->path, l->n, sizeof *l->path, by_bytes);
    TRY(digest_paths(l));
    *out = l;
    l = NULL; /* handed over */
done:
    list_free(&l);
    free(s.text);
    return rc;
}
