#include "common/arrays/zip.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

enum {
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    END64_BYTES = 56,
    LOCATOR_BYTES = 20,
    FLAG_ENCRYPTED = 0x0001,
    FLAG_STRONG = 0x0040,
    FLAG_MASKED = 0x2000
};

struct archive {
    const unsigned char *bytes;
    size_t n;
    const char *path;
    zip_t *lib;
    archive_member *member;
    size_t count;
    size_t *by_name; /* member indices in byte order of the names */
};

/* One entry while it is being read: the header's place besides what stays. */
typedef struct extent {
    size_t begin, end, index;
} extent;

static uint16_t u16(const unsigned char *b)
{
    return (uint16_t)(b[0] | b[1] << 8);
}

static uint32_t u32(const unsigned char *b)
{
    return (uint32_t)u16(b) | (uint32_t)u16(b + 2) << 16;
}

static uint64_t u64(const unsigned char *b)
{
    return (uint64_t)u32(b) | (uint64_t)u32(b + 4) << 32;
}

static int refuse(const archive *z, const char *rule, const char *why, size_t at)
{
    err_set(ERR_INPUT, "%s: zip-%s: %s, byte %zu", z->path, rule, why, at);
    return ERR_INPUT;
}

/* ---- the directory ---------------------------------------------------------------------------- */

typedef struct directory {
    uint64_t at, bytes, count;
} directory;

/* The end record: the last one whose comment reaches exactly to the end of the file. */
static int find_end(const archive *z, size_t *out)
{
    size_t lowest;
    if (z->n < END_BYTES) return refuse(z, "end", "shorter than an end record", 0);
    lowest = z->n - END_BYTES > 65535 ? z->n - END_BYTES - 65535 : 0;
    for (size_t at = z->n - END_BYTES;; at--) {
        if (memcmp(z->bytes + at, "PK\5\6", 4) == 0 &&
            u16(z->bytes + at + 20) == z->n - END_BYTES - at) {
            *out = at;
            return 0;
        }
        if (at == lowest) return refuse(z, "end", "no end record", z->n);
    }
}

static int find_directory(const archive *z, directory *d)
{
    const unsigned char *e;
    size_t end = 0;
    int rc = find_end(z, &end);
    if (rc < 0) return rc;
    e = z->bytes + end;
    *d = (directory){ u32(e + 16), u32(e + 12), u16(e + 10) };
    if (u16(e + 4) == 0xffff || d->at == UINT32_MAX || d->bytes == UINT32_MAX || d->count == 0xffff) {
        uint64_t at64;
        if (end < LOCATOR_BYTES || memcmp(e - LOCATOR_BYTES, "PK\6\7", 4) != 0)
            return refuse(z, "end", "no zip64 locator", end);
        at64 = u64(e - LOCATOR_BYTES + 8);
        if (u32(e - LOCATOR_BYTES + 4) != 0 || end < LOCATOR_BYTES + END64_BYTES ||
            at64 > end - LOCATOR_BYTES - END64_BYTES ||
            memcmp(z->bytes + at64, "PK\6\6", 4) != 0)
            return refuse(z, "end", "the zip64 end record is not where it should be", end);
        e = z->bytes + at64;
        if (u32(e + 16) != 0 || u32(e + 20) != 0 || u64(e + 24) != u64(e + 32))
            return refuse(z, "end", "several disks", (size_t)at64);
        *d = (directory){ u64(e + 48), u64(e + 40), u64(e + 32) };
        end = (size_t)at64;
    } else if (u16(e + 4) != 0 || u16(e + 6) != 0 || u16(e + 8) != d->count) {
        return refuse(z, "end", "several disks", end);
    }
    if (d->at > end || d->bytes > end - d->at)
        return refuse(z, "end", "the directory does not fit", end);
    if (d->count > ARCHIVE_MEMBERS_MAX) return refuse(z, "limit", "more than 200000 members", end);
    if (d->count > d->bytes / ENTRY_BYTES)
        return refuse(z, "end", "more members than the directory has room for", end);
    return 0;
}

/* Replaces the fields that are all ones by the zip64 extra field's, in its fixed order. */
static int zip64_extra(const archive *z, const unsigned char *x, size_t n, uint64_t *size,
                       uint64_t *packed, uint64_t *local, size_t at)
{
    uint64_t *const field[3] = { size, packed, local };
    if (*size != UINT32_MAX && *packed != UINT32_MAX && *local != UINT32_MAX) return 0;
    while (n >= 4) {
        size_t id = u16(x), len = u16(x + 2);
        if (len > n - 4) break;
        if (id == 1) {
            const unsigned char *v = x + 4;
            for (int i = 0; i < 3; i++) {
                if (*field[i] != UINT32_MAX) continue;
                if (len < 8) return refuse(z, "entry", "zip64 field too short", at);
                *field[i] = u64(v);
                v += 8;
                len -= 8;
            }
            return 0;
        }
        x += 4 + len;
        n -= 4 + len;
    }
    return 0; /* 0xffffffff is then meant as it stands, and will be too much */
}

static int check_name(const archive *z, const char *s, size_t n, size_t at)
{
    if (n == 0 || n > ARCHIVE_NAME_MAX) return refuse(z, "name", "empty or longer than 1024 bytes", at);
    if (memchr(s, '\0', n) != NULL) return refuse(z, "name", "NUL in a member name", at);
    if (memchr(s, '\\', n) != NULL) return refuse(z, "name", "backslash in a member name", at);
    if (s[0] == '/') return refuse(z, "name", "absolute member name", at);
    for (size_t i = 0; i < n; i++) {
        int starts = i == 0 || s[i - 1] == '/';
        if (starts && n - i >= 2 && s[i] == '.' && s[i + 1] == '.' &&
            (n - i == 2 || s[i + 2] == '/'))
            return refuse(z, "name", "`..` in a member name", at);
    }
    return 0;
}

/* The local header only tells where the data begins; PyTorch leaves its sizes and CRC at zero. */
static int check_local(const archive *z, const unsigned char *entry, size_t local, archive_member *m)
{
    const unsigned char *h = z->bytes + local;
    size_t name_n = u16(entry + 28), skip;
    if (local > z->n || z->n - local < LOCAL_BYTES || memcmp(h, "PK\3\4", 4) != 0)
        return refuse(z, "local", "no local header where the directory points", local);
    skip = LOCAL_BYTES + (size_t)u16(h + 26) + u16(h + 28);
    if (z->n - local < skip || z->n - local - skip < m->packed)
        return refuse(z, "local", "the data does not fit in the file", local);
    if (u16(h + 26) != name_n || memcmp(h + LOCAL_BYTES, entry + ENTRY_BYTES, name_n) != 0)
        return refuse(z, "local", "local header and directory differ in the name", local);
    if (u16(h + 8) != u16(entry + 10))
        return refuse(z, "local", "local header and directory differ in the method", local);
    if ((u16(h + 6) ^ u16(entry + 8)) & FLAG_ENCRYPTED)
        return refuse(z, "local", "local header and directory differ in encryption", local);
    m->at = local + skip;
    return 0;
}

static int read_entry(archive *z, const unsigned char *e, size_t left, archive_member *m, extent *x,
                      size_t *length)
{
    size_t at = (size_t)(e - z->bytes), name_n, extra_n;
    uint64_t size, packed, local;
    int rc;
    if (left < ENTRY_BYTES || memcmp(e, "PK\1\2", 4) != 0)
        return refuse(z, "entry", "no directory entry", at);
    name_n = u16(e + 28);
    extra_n = u16(e + 30);
    *length = ENTRY_BYTES + name_n + extra_n + u16(e + 32);
    if (*length > left) return refuse(z, "entry", "a directory entry is cut", at);
    if (u16(e + 8) & (FLAG_ENCRYPTED | FLAG_STRONG | FLAG_MASKED))
        return refuse(z, "encrypted", "encrypted member", at);
    if (u16(e + 10) != 0 && u16(e + 10) != 8)
        return refuse(z, "method", "neither stored nor deflated", at);
    packed = u32(e + 20);
    size = u32(e + 24);
    local = u32(e + 42);
    rc = zip64_extra(z, e + ENTRY_BYTES + name_n, extra_n, &size, &packed, &local, at);
    if (rc == 0) rc = check_name(z, (const char *)e + ENTRY_BYTES, name_n, at);
    if (rc < 0) return rc;
    if (local > z->n || packed > z->n) return refuse(z, "entry", "points outside the file", at);
    if (u16(e + 10) == 0 && size != packed)
        return refuse(z, "entry", "stored member with two sizes", at);
    m->size = (size_t)size;
    m->packed = (size_t)packed;
    m->crc = u32(e + 16);
    m->stored = u16(e + 10) == 0;
    rc = check_local(z, e, (size_t)local, m);
    if (rc == 0) rc = mem_new(&m->name, name_n + 1, 1, "zip member name");
    if (rc < 0) return rc;
    memcpy(m->name, e + ENTRY_BYTES, name_n);
    x->begin = (size_t)local;
    x->end = m->at + m->packed;
    return 0;
}

static int by_begin(const void *a, const void *b)
{
    const extent *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static int by_name(const void *a, const void *b, void *member)
{
    const archive_member *m = member;
    return strcmp(m[*(const size_t *)a].name, m[*(const size_t *)b].name);
}

/* No two members share a byte, none reaches into the directory, no two share a name. */
static int check_layout(archive *z, extent *x, size_t directory_at)
{
    int rc;
    qsort(x, z->count, sizeof *x, by_begin);
    for (size_t i = 0; i < z->count; i++) {
        size_t end = i + 1 < z->count ? x[i + 1].begin : directory_at;
        if (x[i].end > end) return refuse(z, "overlap", "members overlap", x[i].begin);
    }
    rc = mem_new(&z->by_name, z->count, sizeof *z->by_name, "zip names");
    if (rc < 0) return rc;
    for (size_t i = 0; i < z->count; i++)
        z->by_name[i] = i;
    qsort_r(z->by_name, z->count, sizeof *z->by_name, by_name, z->member);
    for (size_t i = 1; i < z->count; i++)
        if (strcmp(z->member[z->by_name[i - 1]].name, z->member[z->by_name[i]].name) == 0)
            return err_set(ERR_INPUT, "%s: zip-duplicate: two members are named '%s'", z->path,
                           z->member[z->by_name[i]].name);
    return 0;
}

static int read_directory(archive *z)
{
    directory d = { 0, 0, 0 };
    extent *x = NULL;
    size_t at;
    int rc = find_directory(z, &d);
    if (rc < 0) return rc;
    at = (size_t)d.at;
    TRY(mem_new(&z->member, (size_t)d.count, sizeof *z->member, "zip directory"));
    TRY(mem_new(&x, (size_t)d.count, sizeof *x, "zip directory"));
    z->count = (size_t)d.count;
    for (size_t i = 0; i < z->count; i++) {
        size_t length = 0;
        x[i].index = i;
        TRY(read_entry(z, z->bytes + at, (size_t)(d.at + d.bytes) - at, &z->member[i], &x[i],
                       &length));
        at += length;
    }
    if (at != d.at + d.bytes) TRY(refuse(z, "entry", "the directory has bytes left over", at));
    TRY(check_layout(z, x, (size_t)d.at));
done:
    free(x);
    return rc;
}

/* ---- libzip's reading of it -------------------------------------------------------------------- */

static int open_library(archive *z)
{
    zip_error_t error;
    zip_source_t *source;
    zip_error_init(&error);
    source = zip_source_buffer_create(z->bytes, z->n, 0, &error);
    if (source != NULL) z->lib = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
    if (z->lib == NULL) {
        int memory = source == NULL || zip_error_code_zip(&error) == ZIP_ER_MEMORY;
        int rc = err_set(memory ? ERR_ENV : ERR_INPUT, "%s: zip-library: %s", z->path,
                         zip_error_strerror(&error));
        if (source != NULL) zip_source_free(source);
        zip_error_fini(&error);
        return rc;
    }
    zip_error_fini(&error);
    return 0;
}

static int compare_readings(const archive *z)
{
    const zip_uint64_t want = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_CRC |
                              ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_get_num_entries(z->lib, 0) != (zip_int64_t)z->count)
        return refuse(z, "disagree", "two readings differ in the number of members", 0);
    for (size_t i = 0; i < z->count; i++) {
        const archive_member *m = &z->member[i];
        zip_stat_t st;
        if (zip_stat_index(z->lib, i, ZIP_FL_ENC_RAW, &st) != 0 || (st.valid & want) != want ||
            strcmp(st.name, m->name) != 0 || st.size != m->size || st.comp_size != m->packed ||
            st.crc != m->crc || st.comp_method != (m->stored ? ZIP_CM_STORE : ZIP_CM_DEFLATE) ||
            st.encryption_method != ZIP_EM_NONE)
            return err_set(ERR_INPUT, "%s: zip-disagree: two readings differ in member '%s'",
                           z->path, m->name);
    }
    return 0;
}

/* ---- doors ------------------------------------------------------------------------------------- */

int archive_open(archive **out, const void *bytes, size_t n, const char *path)
{
    int rc = 0;
    archive *z = NULL;
    TRY(mem_new(&z, 1, sizeof *z, "zip"));
    z->bytes = bytes;
    z->n = n;
    z->path = path;
    TRY(read_directory(z));
    TRY(open_library(z));
    TRY(compare_readings(z));
    *out = z;
    z = NULL; /* handed over */
done:
    archive_close(&z);
    return rc;
}

void archive_close(archive **z)
{
    if (*z == NULL) return;
    if ((*z)->lib != NULL) zip_discard((*z)->lib);
    for (size_t i = 0; i < (*z)->count; i++)
        free((*z)->member[i].name);
    free((*z)->member);
    free((*z)->by_name);
    free(*z);
    *z = NULL;
}

size_t archive_count(const archive *z)
{
    return z->count;
}

const archive_member *archive_at(const archive *z, size_t i)
{
    return &z->member[i];
}

const archive_member *archive_find(const archive *z, const char *name)
{
    size_t low = 0, high = z->count;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int c = strcmp(name, z->member[z->by_name[mid]].name);
        if (c == 0) return &z->member[z->by_name[mid]];
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

static int refuse_member(const archive *z, const archive_member *m, const char *rule, const char *why)
{
    err_set(ERR_INPUT, "%s: zip-%s: member '%s' %s, byte %zu", z->path, rule, m->name, why, m->at);
    return ERR_INPUT;
}

int archive_map(const archive *z, const archive_member *m, const unsigned char **data)
{
    if (!m->stored) return refuse_member(z, m, "compressed", "is compressed");
    if (crc32_z(0, z->bytes + m->at, m->size) != m->crc)
        return refuse_member(z, m, "crc", "does not match its CRC-32");
    *data = z->bytes + m->at;
    return 0;
}

static int open_member(const archive *z, const archive_member *m, zip_file_t **out)
{
    *out = zip_fopen_index(z->lib, (zip_uint64_t)(m - z->member), 0);
    return *out != NULL ? 0 : refuse_member(z, m, "library", zip_strerror(z->lib));
}

/* Reads until n bytes or the end. */
static int read_some(const archive *z, const archive_member *m, zip_file_t *f, unsigned char *buf,
                     size_t n, size_t *got)
{
    *got = 0;
    while (*got < n) {
        zip_int64_t now = zip_fread(f, buf + *got, n - *got);
        if (now < 0) return refuse_member(z, m, "data", zip_file_strerror(f));
        if (now == 0) break;
        *got += (size_t)now;
    }
    return 0;
}

int archive_head(const archive *z, const archive_member *m, unsigned char *head, size_t n,
                    size_t *got)
{
    int rc = 0;
    zip_file_t *f = NULL;
    if (m->stored) {
        *got = n < m->size ? n : m->size;
        memcpy(head, z->bytes + m->at, *got);
        return 0;
    }
    TRY(open_member(z, m, &f));
    TRY(read_some(z, m, f, head, n < m->size ? n : m->size, got));
done:
    if (f != NULL) zip_fclose(f);
    return rc;
}

int archive_read(const archive *z, const archive_member *m, unsigned char *buf)
{
    int rc = 0;
    zip_file_t *f = NULL;
    unsigned char more;
    size_t got = 0;
    TRY(open_member(z, m, &f));
    TRY(read_some(z, m, f, buf, m->size, &got));
    if (got != m->size) TRY(refuse_member(z, m, "data", "is shorter than it says"));
    /* libzip compares the CRC only when a read meets the end */
    TRY(read_some(z, m, f, &more, 1, &got));
    if (got != 0) TRY(refuse_member(z, m, "data", "is longer than it says"));
    if (crc32_z(0, buf, m->size) != m->crc)
        TRY(refuse_member(z, m, "crc", "does not match its CRC-32"));
done:
    if (f != NULL) zip_fclose(f);
    return rc;
}
