#include "score/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"

/* The first bytes; *n of them.  Non-regular files are refused before they can block. */
static int first_bytes(const char *path, unsigned char *bytes, size_t room, size_t *n)
{
    int rc = 0, fd = -1;
    struct stat st;
    ssize_t got;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    CHECK(fd >= 0, errno == ENOENT || errno == EACCES || errno == ENOTDIR ? ERR_INPUT : ERR_ENV,
          "%s: %s", path, strerror(errno));
    CHECK(fstat(fd, &st) == 0, ERR_ENV, "%s: %s", path, strerror(errno));
    CHECK(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", path);
    do {
        got = pread(fd, bytes, room, 0);
    } while (got < 0 && errno == EINTR);
    CHECK(got >= 0, ERR_ENV, "%s: %s", path, strerror(errno));
    *n = (size_t)got;
done:
    if (fd >= 0) close(fd);
    return rc;
}

int input_is_hdf5(const char *path)
{
    static const unsigned char magic[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    unsigned char bytes[8];
    size_t n;
    int rc = first_bytes(path, bytes, sizeof bytes, &n);
    return rc < 0 ? rc : n == sizeof magic && memcmp(bytes, magic, sizeof magic) == 0;
}

int input_is_binary(const char *path)
{
    unsigned char b[8];
    size_t n;
    int rc = first_bytes(path, b, sizeof b, &n);
    if (rc < 0) return rc;
    if (n < sizeof b) return 0;
    return memcmp(b, "\x89HDF\r\n\x1a\n", 8) == 0 || memcmp(b, "\x93NUMPY", 6) == 0 ||
           memcmp(b, "PK\3\4", 4) == 0 || (b[0] == 0x80 && b[1] >= 2 && b[1] <= 5); /* pickle */
}

static int same_rows(const input *in, const matrix *m)
{
    int rc = 0;
    CHECK(m->data == NULL || m->rows == in->rows, ERR_INPUT,
          "%s: '%s' has %zu rows, '%s' has %zu", in->path, m->name, m->rows,
          in->features.data ? in->features.name : in->logits.name, in->rows);
done:
    return rc;
}

int input_open(input **out, const char *path)
{
    int rc = 0, hdf5;
    input *in = NULL;
    TRY(mem_new(&in, 1, sizeof *in, path));
    TRY(mem_strdup(&in->path, path));
    TRY(hdf5 = input_is_hdf5(path));
    rc = 0;
    TRY(hdf5 ? input_take_hdf5(in) : input_take_arrays(in));
    in->rows = in->features.data ? in->features.rows
               : in->logits.data ? in->logits.rows : in->labels.rows;
    TRY(same_rows(in, &in->logits));
    TRY(same_rows(in, &in->labels));
    CHECK(in->rows <= UINT32_MAX, ERR_INPUT, "%s: more rows than 2^32", path);
    *out = in;
    in = NULL;
done:
    input_close(&in);
    return rc;
}

void input_close(input **pin)
{
    input *in = *pin;
    if (in == NULL) return;
    feature_file_close(&in->file);
    arrays_close(&in->arrays);
    free(in->tables);
    free(in->path);
    free(in);
    *pin = NULL;
}

size_t matrix_row_bytes(const matrix *m)
{
    return m->width * array_type_size(m->type);
}

void matrix_row(const matrix *m, size_t row, float *dst)
{
    const char *at = (const char *)m->data + row * matrix_row_bytes(m);
    if (m->type == ARRAY_F32) {
        memcpy(dst, at, m->width * sizeof *dst);
    } else {
        array a = { .name = m->name, .type = m->type, .rank = 1, .dim = { m->width },
                    .count = m->width, .data = at };
        array_to_f32(&a, dst);
    }
}

int matrix_to_i64(const matrix *m, const char *path, int64_t *dst)
{
    int rc = 0;
    array a = { .name = m->name, .type = m->type, .rank = 1, .dim = { m->rows * m->width },
                .count = m->rows * m->width, .data = m->data };
    CHECK(m->type != ARRAY_F32 && m->type != ARRAY_F64 && m->type != ARRAY_F16 &&
              m->type != ARRAY_BF16, ERR_INPUT,
          "%s: '%s' holds %s, labels are integers", path, m->name, array_type_name(m->type));
    TRY(array_to_i64(&a, dst));
done:
    return rc;
}
