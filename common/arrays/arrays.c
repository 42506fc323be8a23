#include "common/arrays/arrays_impl.h"
#include "common/digest.h"
#include "common/err.h"
#include "common/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int arrays_refuse(const arrays *a, const char *rule, const char *format, ...)
{
    char text[1536];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    err_set(ERR_INPUT, "%s: %s: %s", a->path, rule, text);
    return ERR_INPUT;
}

/* ---- the file --------------------------------------------------------------------------------- */

/* Maps the file.  A file that shrinks while it is mapped kills its readers (SIGBUS), as it does for
 * every program that maps: checkpoints are not to be rewritten in place during a run. */
static int map_file(arrays *a)
{
    int rc = 0, fd;
    struct stat st;
    void *at;
    fd = open(a->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    CHECK(fd >= 0, errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == EIO ? ERR_ENV
                                                                                         : ERR_INPUT,
          "%s: open: %s", a->path, strerror(errno));
    CHECK(fstat(fd, &st) == 0, ERR_ENV, "%s: stat: %s", a->path, strerror(errno));
    CHECK(S_ISREG(st.st_mode), ERR_INPUT, "%s: open: not a regular file", a->path);
    CHECK(st.st_size > 0, ERR_INPUT, "%s: container: the file is empty", a->path);
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(at != MAP_FAILED, ERR_ENV, "%s: cannot map: %s", a->path, strerror(errno));
    a->bytes = at;
    a->n_bytes = (size_t)st.st_size;
done:
    if (fd >= 0) close(fd);
    return rc;
}

static int starts(const arrays *a, const char *bytes, size_t n)
{
    return a->n_bytes >= n && memcmp(a->bytes, bytes, n) == 0;
}

/* The magic number of a legacy stream is a pickle of its own, in the protocol of the file. */
static int is_legacy(const arrays *a)
{
    static const char magic[] = "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    size_t at = 0;
    if (starts(a, "L119547037146038801333356L\n.", 28)) return 1;
    if (a->n_bytes < 2 || a->bytes[0] != 0x80) return 0;
    at = a->n_bytes > 11 && a->bytes[2] == 0x95 ? 11 : 2; /* protocol 4 puts a frame around it */
    return a->n_bytes - at >= sizeof magic - 1 && memcmp(a->bytes + at, magic, sizeof magic - 1) == 0;
}

static int is_tar(const arrays *a)
{
    static const char *const first[] = { "storages", "tensors", "pickle", "sys_info" };
    if (a->n_bytes < 512) return 0;
    if (memcmp(a->bytes + 257, "ustar", 5) == 0) return 1;
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        if (memcmp(a->bytes, first[i], strlen(first[i]) + 1) == 0) return 1;
    return 0;
}

static int is_safetensors(const arrays *a)
{
    /* N below 2^56 leaves byte 7 zero; the header's own limits are the reader's to check.  N may begin
     * as a pickle does (80 02), but no pickle of a tensor has these two bytes. */
    return a->n_bytes >= 9 && a->bytes[7] == 0 && a->bytes[8] == '{';
}

/* A header of 0x..0280 bytes begins like a pickle of protocol 2; as a length, a pickle's first bytes
 * are more than any file has. */
static int header_fits(const arrays *a)
{
    uint64_t n;
    memcpy(&n, a->bytes, 8);
    return n <= a->n_bytes - 8;
}

static int read_container(arrays *a)
{
    if (starts(a, "PK\3\4", 4) || starts(a, "PK\5\6", 4)) return arrays_read_zip(a);
    if (starts(a, "\x93NUMPY", 6)) return arrays_read_npy(a);
    if (is_legacy(a)) return arrays_read_legacy(a);
    if (is_tar(a)) return arrays_read_tar(a);
    if (is_safetensors(a) && header_fits(a)) return arrays_read_safetensors(a);
    if (a->bytes[0] == 0x80 && a->n_bytes >= 2 && a->bytes[1] <= 5) return arrays_read_pickle(a);
    if (is_safetensors(a)) return arrays_read_safetensors(a);
    return arrays_refuse(a, "container",
                         "not safetensors, PyTorch zip or legacy, .npy, .npz or a numpy pickle "
                         "(first bytes %02x %02x %02x %02x)",
                         (unsigned)a->bytes[0], a->n_bytes > 1 ? (unsigned)a->bytes[1] : 0u,
                         a->n_bytes > 2 ? (unsigned)a->bytes[2] : 0u,
                         a->n_bytes > 3 ? (unsigned)a->bytes[3] : 0u);
}

/* ---- open and close --------------------------------------------------------------------------- */

static int by_name(const void *x, const void *y, void *v)
{
    const array *a = v;
    return strcmp(a[*(const size_t *)x].name, a[*(const size_t *)y].name);
}

/* Indexes the names; two arrays of one name would let a file mean two things. */
static int seal(arrays *a)
{
    int rc = mem_new(&a->by_name, a->n, sizeof *a->by_name, "array names");
    if (rc < 0) return rc;
    for (size_t i = 0; i < a->n; i++)
        a->by_name[i] = i;
    qsort_r(a->by_name, a->n, sizeof *a->by_name, by_name, a->v);
    for (size_t i = 1; i < a->n; i++)
        if (strcmp(a->v[a->by_name[i - 1]].name, a->v[a->by_name[i]].name) == 0)
            return arrays_refuse(a, "duplicate", "two arrays are named '%s'",
                                 a->v[a->by_name[i]].name);
    return 0;
}

int arrays_open(arrays **out, const char *path)
{
    int rc = 0;
    arrays *a = NULL;
    TRY(mem_new(&a, 1, sizeof *a, "arrays"));
    pthread_mutex_init(&a->lock, NULL);
    a->wrapper = "";
    TRY(mem_strdup(&a->path, path));
    TRY(map_file(a));
    TRY(read_container(a));
    TRY(seal(a));
    TRY(arrays_align(a));
    *out = a;
    a = NULL; /* handed over */
done:
    arrays_close(&a);
    return rc;
}

void arrays_close(arrays **a)
{
    if (*a == NULL) return;
    if ((*a)->bytes != NULL) munmap((void *)(uintptr_t)(*a)->bytes, (*a)->n_bytes);
    for (size_t i = 0; i < (*a)->n_owned; i++)
        free((*a)->owned[i]);
    free((*a)->owned);
    free((*a)->v);
    free((*a)->by_name);
    free((*a)->path);
    pthread_mutex_destroy(&(*a)->lock);
    free(*a);
    *a = NULL;
}

/* ---- asking ----------------------------------------------------------------------------------- */

size_t arrays_count(const arrays *a)
{
    return a->n;
}

const array *arrays_at(const arrays *a, size_t i)
{
    return &a->v[i];
}

const array *arrays_find(const arrays *a, const char *name)
{
    size_t low = 0, high = a->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const array *v = &a->v[a->by_name[mid]];
        int c = strcmp(name, v->name);
        if (c == 0) return v;
        if (c < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

const char *arrays_container(const arrays *a)
{
    return a->container;
}

const char *arrays_wrapper(const arrays *a)
{
    return a->wrapper;
}

/* Computed when first asked for: 100 MB take a moment that `score` need not spend. */
const char *arrays_sha256(const arrays *a)
{
    arrays *mine = (arrays *)(uintptr_t)a; /* the cache is not part of its value */
    pthread_mutex_lock(&mine->lock);
    if (mine->sha256[0] == '\0' && digest_of(a->bytes, a->n_bytes, mine->sha256) < 0)
        mine->sha256[0] = '\0';
    pthread_mutex_unlock(&mine->lock);
    return a->sha256;
}
