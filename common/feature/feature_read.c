#include "common/err.h"
#include "common/feature/feature_digest.h"
#include "common/feature_file.h"
#include "common/feature/feature_io.h"
#include "common/feature/feature_layout.h"
#include "common/feature/feature_reader.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IN_MEMORY = 256 << 20, ALIGN = 64 };

static const size_t type_bytes[] = {4, 2, 8, 1, 8};
static const char *const type_names[] = {"f32", "f16", "i64", "u8", "f64"};
static const enum feature_type type_from[] = {[H5_TYPE_F32] = FEATURE_F32,
                                              [H5_TYPE_F64] = FEATURE_F64,
                                              [H5_TYPE_F16] = FEATURE_F16,
                                              [H5_TYPE_I64] = FEATURE_I64,
                                              [H5_TYPE_U8] = FEATURE_U8};

size_t feature_type_size(feature_type t)
{
    return type_bytes[t];
}

const char *feature_type_name(feature_type t)
{
    return type_names[t];
}

const h5_item *feature_file_item(const feature_file *f, const char *name)
{
    for (size_t i = 0; f->list != NULL && i < f->list->n; i++)
        if (strcmp(f->list->item[i].name, name) == 0) return &f->list->item[i];
    return NULL;
}

static int ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

/* --- rules --------------------------------------------------------------------------------------- */

/* Rows of per-image datasets agree. */
static int check_rows(const feature_file *f)
{
    int rc = 0;
    const h5_item *first = NULL;
    for (size_t i = 0; i < f->list->n; i++) {
        const h5_item *it = &f->list->item[i];
        static const char *const known[] = {"features", "labels", "logits", "paths", "status"};
        static const char *const groups[] = {"taps/", "gradients/", "probes/"};
        int mine = 0;
        for (size_t k = 0; k < sizeof groups / sizeof groups[0]; k++)
            mine |= strncmp(it->name, groups[k], strlen(groups[k])) == 0;
        for (size_t k = 0; k < sizeof known / sizeof known[0]; k++)
            mine |= strcmp(it->name, known[k]) == 0;
        if (!mine) continue;
        CHECK(it->rank > 0, ERR_INPUT, "%s: /%s: one value, not one a row", f->path, it->name);
        if (first == NULL) first = it;
        CHECK(it->dim[0] == first->dim[0], ERR_INPUT, "%s: /%s has %zu rows, /%s has %zu", f->path,
              first->name, first->dim[0], it->name, it->dim[0]);
    }
done:
    return rc;
}

static int check_strings(const feature_file *f)
{
    int rc = 0;
    /* other files of this project, scores say, may hold more; it is listed, not mapped */
    if (strncmp(f->list->format, "outpost-", 8) == 0 && !feature_file_is_ours(f)) return 0;
    for (size_t i = 0; i < f->list->n; i++) {
        const h5_item *it = &f->list->item[i];
        if (it->type != H5_TYPE_STRING) {
            CHECK(strcmp(it->name, "paths") != 0 && strcmp(it->name, "provenance") != 0, ERR_INPUT,
                  "%s: /%s: not a string", f->path, it->name);
            continue;
        }
        CHECK((strcmp(it->name, "paths") == 0 && it->rank == 1) ||
                  (strcmp(it->name, "provenance") == 0 &&
                   (it->rank == 0 || (it->rank == 1 && it->dim[0] == 1))),
              ERR_INPUT, "%s: /%s: strings belong into /paths, one a row, and /provenance, one",
              f->path, it->name);
    }
done:
    return rc;
}

static int check_ours(const feature_file *f, int partial)
{
    int rc = 0;
    for (size_t i = 0; i < f->list->n; i++)
        CHECK(f->list->item[i].direct, ERR_INPUT, "%s: /%s: not stored as this format stores it",
              f->path, f->list->item[i].name);
    CHECK(f->list->format_version == FEATURE_FORMAT_VERSION, ERR_INPUT,
          "%s: format_version %" PRId64 ", this program reads %d", f->path, f->list->format_version,
          FEATURE_FORMAT_VERSION);
    if (partial) goto done;
    CHECK(f->list->complete == 1 && !ends_with(f->path, ".part"), ERR_INPUT,
          "%s: extraction has not finished; the same command goes on with it, and gives it its "
          "final name",
          f->path);
    TRY(feature_file_check_metadata(f));
done:
    return rc;
}

static int check_schema(const feature_file *f, int partial)
{
    static const char *const any[] = {"features", "logits", "head/weight"};
    int rc = 0, found = 0;
    if (strncmp(f->list->format, "outpost-", 8) == 0) {
        if (feature_file_is_ours(f)) TRY(check_ours(f, partial));
        goto done;
    }
    for (size_t i = 0; i < sizeof any / sizeof any[0]; i++) {
        const h5_item *it = feature_file_item(f, any[i]);
        if (it == NULL) continue;
        found = 1;
        CHECK((it->type == H5_TYPE_F32 || it->type == H5_TYPE_F16) && it->rank >= 2, ERR_INPUT,
              "%s: /%s: not a matrix of floats", f->path, it->name);
    }
    CHECK(found, ERR_INPUT,
          "%s: not a feature file: neither /features nor /logits nor /head/weight", f->path);
done:
    return rc;
}

int feature_file_check_metadata(const feature_file *f)
{
    int rc = 0;
    const h5_item *it = feature_file_item(f, FEATURE_METADATA);
    unsigned char want[DIGEST_BYTES], now[DIGEST_BYTES];
    CHECK(it != NULL && it->bytes == DIGEST_BYTES, ERR_INPUT, "%s: no digest of its metadata",
          f->path);
    TRY(io_pread(f->fd, f->path, want, sizeof want, it->offset));
    TRY(feature_metadata_digest(f->fd, f->path, f->bytes, f->list->item, f->list->n, 0, now));
    CHECK(memcmp(want, now, sizeof want) == 0, ERR_INPUT,
          "%s: its metadata does not match its digest: damaged, or changed by another program",
          f->path);
done:
    return rc;
}

/* --- data ---------------------------------------------------------------------------------------- */

/* A file without a name for data that cannot be mapped as it is. */
static int extra_file(int *out, const feature_file *f, uint64_t bytes)
{
    int rc = 0, fd = -1;
    char name[512];
    const char *dir = getenv("TMPDIR");
    if (dir == NULL || dir[0] == '\0') dir = "/tmp";
    if (bytes <= IN_MEMORY) fd = memfd_create("outpost-converted", MFD_CLOEXEC);
    if (fd < 0) fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 && snprintf(name, sizeof name, "%s/outpost-XXXXXX", dir) < (int)sizeof name) {
        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0) unlink(name);
    }
    CHECK(fd >= 0, ERR_ENV, "%s: no file in %s for its converted data: %s", f->path, dir,
          strerror(errno));
    io_ignore_file_size_signal();
    snprintf(name, sizeof name, "%.200s: converted data in %.200s", f->path, dir);
    TRY(io_reserve(fd, name, bytes));
    *out = fd;
    fd = -1;
done:
    if (fd >= 0) close(fd);
    return rc;
}

static int in_place(const h5_item *it)
{
    size_t unit = it->type == H5_TYPE_STRING ? 1 : it->width;
    return it->bytes == 0 || (it->direct && it->offset % unit == 0);
}

static int fill_extra(feature_file *f, int fd, int convert)
{
    int rc = 0;
    unsigned char *out = mmap(NULL, f->extra_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(out != MAP_FAILED, ERR_ENV, "%s: cannot map converted data: %s", f->path,
          strerror(errno));
    f->extra = out;
    if (convert) TRY(h5_convert(f->list, f->fd, f->path, fd, f->extra_bytes, f->extra_offset));
    for (size_t i = 0; i < f->list->n; i++) {
        const h5_item *it = &f->list->item[i];
        if (it->direct && !in_place(it))
            TRY(io_pread(f->fd, f->path, out + f->extra_offset[i], it->bytes, it->offset));
    }
    mprotect(out, f->extra_bytes, PROT_READ);
done:
    return rc;
}

static int convert_rest(feature_file *f)
{
    int rc = 0, fd = -1, convert = 0;
    TRY(mem_new(&f->extra_offset, f->list->n, sizeof *f->extra_offset, f->path));
    for (size_t i = 0; i < f->list->n; i++) {
        const h5_item *it = &f->list->item[i];
        if (in_place(it)) continue;
        convert |= !it->direct;
        f->extra_offset[i] = f->extra_bytes;
        TRY(mem_sum(&f->extra_bytes, f->extra_bytes, it->bytes, f->path));
        TRY(mem_sum(&f->extra_bytes, f->extra_bytes, ALIGN - 1, f->path));
        f->extra_bytes -= f->extra_bytes % ALIGN;
    }
    if (f->extra_bytes == 0) goto done;
    TRY(extra_file(&fd, f, f->extra_bytes));
    TRY(fill_extra(f, fd, convert));
done:
    if (fd >= 0) close(fd);
    return rc;
}

static const unsigned char *data_of(const feature_file *f, size_t i)
{
    const h5_item *it = &f->list->item[i];
    if (it->bytes == 0) return NULL;
    return in_place(it) ? f->map + it->offset : f->extra + f->extra_offset[i];
}

static int make_tables(feature_file *f)
{
    int rc = 0;
    TRY(mem_new(&f->table, f->list->n, sizeof *f->table, f->path));
    for (size_t i = 0; i < f->list->n; i++) {
        const h5_item *it = &f->list->item[i];
        feature_table *t = &f->table[f->n_tables];
        if (strcmp(it->name, "paths") == 0 && it->type == H5_TYPE_STRING && it->rank == 1)
            f->paths = it, f->path_text = data_of(f, i);
        if (it->type == H5_TYPE_STRING || strncmp(it->name, "digests/", 8) == 0) continue;
        t->name = it->name;
        t->type = type_from[it->type];
        t->rank = it->rank;
        memcpy(t->dim, it->dim, sizeof t->dim);
        t->data = data_of(f, i);
        f->n_tables++;
    }
done:
    return rc;
}

static int read_provenance(feature_file *f)
{
    int rc = 0;
    const h5_item *it = feature_file_item(f, "provenance");
    if (it == NULL || it->bytes == 0 || it->type != H5_TYPE_STRING) goto done;
    TRY(mem_new(&f->provenance, it->bytes + 1, 1, f->path));
    if (it->direct) TRY(io_pread(f->fd, f->path, f->provenance, it->bytes, it->offset));
    else memcpy(f->provenance, f->extra + f->extra_offset[it - f->list->item], it->bytes);
done:
    return rc;
}

/* SHA-256 over /digests in the order of the names. */
static int read_digest(feature_file *f)
{
    int rc = 0;
    void *state = NULL;
    unsigned char raw[DIGEST_BYTES];
    if (!feature_file_is_ours(f) || !feature_file_is_complete(f)) goto done;
    TRY(sha256_new(&state));
    for (size_t i = 0; i < f->list->n; i++)
        if (strncmp(f->list->item[i].name, "digests/", 8) == 0)
            TRY(sha256_add_file(state, f->fd, f->path, f->list->item[i].offset,
                                f->list->item[i].bytes));
    TRY(sha256_end(state, raw));
    sha256_hex(raw, f->digest);
done:
    sha256_free(&state);
    return rc;
}

static int open_file(feature_file **out, const char *path, int partial)
{
    int rc = 0;
    struct stat st;
    feature_file *f = NULL;
    TRY(mem_new(&f, 1, sizeof *f, path));
    f->fd = -1;
    TRY(mem_strdup(&f->path, path));
    f->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hold us up */
    CHECK(f->fd >= 0,
          errno == ENOENT || errno == EACCES || errno == ELOOP || errno == ENOTDIR ? ERR_INPUT
                                                                                   : ERR_ENV,
          "%s: cannot open: %s", path, strerror(errno));
    CHECK(fstat(f->fd, &st) == 0 && S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", path);
    f->bytes = (uint64_t)st.st_size;
    TRY(h5_list(&f->list, f->fd, path));
    TRY(check_schema(f, partial));
    TRY(check_strings(f));
    TRY(check_rows(f));
    f->map = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, f->fd, 0);
    if (f->map == MAP_FAILED) {
        f->map = NULL;
        CHECK(0, ERR_ENV, "%s: cannot map: %s", path, strerror(errno));
    }
    TRY(convert_rest(f));
    TRY(make_tables(f));
    TRY(read_provenance(f));
    TRY(read_digest(f));
    *out = f;
    f = NULL;
done:
    feature_file_close(&f);
    return rc;
}

int feature_file_open(feature_file **out, const char *path)
{
    return open_file(out, path, 0);
}

int feature_file_open_partial(feature_file **out, const char *path)
{
    return open_file(out, path, 1);
}

void feature_file_close(feature_file **pf)
{
    feature_file *f = *pf;
    if (f == NULL) return;
    if (f->extra != NULL) munmap(f->extra, f->extra_bytes);
    if (f->map != NULL) munmap(f->map, f->bytes);
    if (f->fd >= 0) close(f->fd);
    free(f->extra_offset);
    free(f->provenance);
    free(f->table);
    free(f->list);
    free(f->path);
    free(f);
    *pf = NULL;
}

/* --- questions ----------------------------------------------------------------------------------- */

size_t feature_file_count(const feature_file *f)
{
    return f->n_tables;
}

const feature_table *feature_file_at(const feature_file *f, size_t i)
{
    return i < f->n_tables ? &f->table[i] : NULL;
}

const feature_table *feature_file_find(const feature_file *f, const char *name)
{
    for (size_t i = 0; i < f->n_tables; i++)
        if (strcmp(f->table[i].name, name) == 0) return &f->table[i];
    return NULL;
}

size_t feature_file_path_width(const feature_file *f)
{
    return f->paths != NULL ? f->paths->width : 0;
}

size_t feature_file_paths(const feature_file *f)
{
    return f->paths != NULL ? f->paths->dim[0] : 0;
}

const char *feature_file_path(const feature_file *f, size_t row, char *buf, size_t room)
{
    size_t n = 0;
    if (room == 0) return "";
    if (row < feature_file_paths(f) && f->path_text != NULL) {
        const char *text = (const char *)f->path_text + row * f->paths->width;
        n = strnlen(text, f->paths->width < room - 1 ? f->paths->width : room - 1);
        memcpy(buf, text, n);
    }
    buf[n] = '\0';
    return buf;
}

const char *feature_file_provenance(const feature_file *f)
{
    return f->provenance;
}

int feature_file_is_ours(const feature_file *f)
{
    return strcmp(f->list->format, FEATURE_FORMAT) == 0;
}

int feature_file_is_complete(const feature_file *f)
{
    return f->list->complete == 1;
}

const char *feature_file_format(const feature_file *f)
{
    return f->list->format;
}

const char *feature_file_identity(const feature_file *f)
{
    return f->list->identity;
}

const char *feature_file_digest(const feature_file *f)
{
    return f->digest;
}

void feature_file_forget(const feature_file *f, const feature_table *t, size_t begin, size_t end)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), row = feature_type_size(t->type);
    uintptr_t from, to;
    (void)f;
    if (t->rank == 0 || t->data == NULL || begin >= end || end > t->dim[0]) return;
    for (int d = 1; d < t->rank; d++)
        row *= t->dim[d];
    from = ((uintptr_t)t->data + begin * row + page - 1) / page * page; /* whole pages only */
    to = ((uintptr_t)t->data + end * row) / page * page;
    if (from < to) (void)madvise((void *)from, to - from, MADV_DONTNEED);
}
