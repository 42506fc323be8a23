#include "common/h5.h"
#include "common/err.h"
#include "common/h5/h5_private.h"
#include "common/h5/h5_sandbox.h"
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

enum {
    PAGE = 4096,      /* large datasets start on a page, so that they can be mapped well */
    MEMORY = 1 << 30, /* what the reading child may allocate */
    CPU_S = 2,
    WALL_S = 60,            /* for the structure alone */
    CONVERT_RATE = 20 << 20 /* slowest conversion that is still believed, bytes a second */
};

int h5_start(void)
{
    static int started;
    if (started) return 0;
    /* After a failed write libhdf5's exit handler crashes; every object is closed by hand here. */
    if (H5dont_atexit() < 0 || H5open() < 0) return err_set(ERR_ENV, "libhdf5 does not start");
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    started = 1;
    return 0;
}

static herr_t first_reason(unsigned n, const H5E_error2_t *e, void *text)
{
    if (n == 0 && e->desc != NULL) snprintf(text, 200, "%s", e->desc);
    return 0;
}

const char *h5_why(void)
{
    static char text[200];
    snprintf(text, sizeof text, "no reason given");
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_reason, text);
    return text;
}

const char *h5_version(void)
{
    static char text[32];
    unsigned a = 0, b = 0, c = 0;
    H5get_libversion(&a, &b, &c);
    snprintf(text, sizeof text, "%u.%u.%u", a, b, c);
    return text;
}

int h5_item_size(h5_item *item)
{
    static const size_t width[] = {[H5_TYPE_F32] = 4,
                                   [H5_TYPE_F64] = 8,
                                   [H5_TYPE_F16] = 2,
                                   [H5_TYPE_I64] = 8,
                                   [H5_TYPE_U8] = 1};
    int rc = 0;
    size_t bytes;
    if (item->type != H5_TYPE_STRING) item->width = width[item->type];
    bytes = item->width;
    for (int d = 0; d < item->rank; d++)
        TRY(mem_product(&bytes, bytes, item->dim[d], item->name));
    CHECK(bytes <= INT64_MAX, ERR_INPUT, "%s: size overflows", item->name);
    item->bytes = bytes;
done:
    return rc;
}

hid_t h5_half(int big_endian)
{
    hid_t t = H5Tcopy(big_endian ? H5T_IEEE_F32BE : H5T_IEEE_F32LE);
    if (t < 0) return t;
    if (H5Tset_fields(t, 15, 10, 5, 0, 10) < 0 || H5Tset_size(t, 2) < 0 ||
        H5Tset_ebias(t, 15) < 0) {
        H5Tclose(t);
        return H5I_INVALID_HID;
    }
    return t;
}

hid_t h5_type_of(const h5_item *item)
{
    hid_t t;
    switch (item->type) {
    case H5_TYPE_F32:
        return H5Tcopy(H5T_IEEE_F32LE);
    case H5_TYPE_F64:
        return H5Tcopy(H5T_IEEE_F64LE);
    case H5_TYPE_F16:
        return h5_half(0);
    case H5_TYPE_I64:
        return H5Tcopy(H5T_STD_I64LE);
    case H5_TYPE_U8:
        return H5Tcopy(H5T_STD_U8LE);
    case H5_TYPE_STRING:
        break;
    }
    t = H5Tcopy(H5T_C_S1);
    if (t < 0) return t;
    if (H5Tset_size(t, item->width) < 0 || H5Tset_strpad(t, H5T_STR_NULLPAD) < 0 ||
        H5Tset_cset(t, H5T_CSET_UTF8) < 0) {
        H5Tclose(t);
        return H5I_INVALID_HID;
    }
    return t;
}

/* --- creating --------------------------------------------------------------------------------- */

static hid_t space_of(const h5_item *item)
{
    hsize_t dim[H5_RANK_MAX];
    if (item->rank == 0) return H5Screate(H5S_SCALAR);
    for (int d = 0; d < item->rank; d++)
        dim[d] = item->dim[d];
    return H5Screate_simple(item->rank, dim, NULL);
}

/* File creation and access without times, without slack that depends on anything but the content. */
static int create_file(hid_t *file, const char *path)
{
    int rc = 0;
    hid_t fcpl = H5Pcreate(H5P_FILE_CREATE), fapl = H5Pcreate(H5P_FILE_ACCESS);
    CHECK(fcpl >= 0 && fapl >= 0 && H5Pset_obj_track_times(fcpl, 0) >= 0 &&
              H5Pset_libver_bounds(fapl, H5F_LIBVER_EARLIEST, H5F_LIBVER_V110) >= 0 &&
              H5Pset_alignment(fapl, PAGE, PAGE) >= 0,
          ERR_INTERNAL, "%s: libhdf5: %s", path, h5_why());
    errno = 0;
    *file = H5Fcreate(path, H5F_ACC_EXCL, fcpl, fapl);
    CHECK(*file >= 0, ERR_ENV, "%s: cannot create: %s", path,
          errno != 0 ? strerror(errno) : h5_why());
done:
    if (fcpl >= 0) H5Pclose(fcpl);
    if (fapl >= 0) H5Pclose(fapl);
    return rc;
}

static int create_item(hid_t file, const char *path, h5_item *item)
{
    int rc = 0;
    hid_t lcpl = H5Pcreate(H5P_LINK_CREATE), dcpl = H5Pcreate(H5P_DATASET_CREATE);
    hid_t type = h5_type_of(item), space = space_of(item), set = H5I_INVALID_HID;
    haddr_t at;
    CHECK(lcpl >= 0 && dcpl >= 0 && type >= 0 && space >= 0 &&
              H5Pset_create_intermediate_group(lcpl, 1) >= 0 &&
              H5Pset_obj_track_times(dcpl, 0) >= 0 && H5Pset_layout(dcpl, H5D_CONTIGUOUS) >= 0 &&
              H5Pset_alloc_time(dcpl, H5D_ALLOC_TIME_EARLY) >= 0 &&
              H5Pset_fill_time(dcpl, H5D_FILL_TIME_NEVER) >= 0,
          ERR_INTERNAL, "%s: libhdf5: %s", path, h5_why());
    set = H5Dcreate2(file, item->name, type, space, lcpl, dcpl, H5P_DEFAULT);
    CHECK(set >= 0, ERR_ENV, "%s: cannot create dataset /%s: %s", path, item->name, h5_why());
    at = H5Dget_offset(set);
    CHECK(at != HADDR_UNDEF || item->bytes == 0, ERR_INTERNAL, "%s: dataset /%s has no place", path,
          item->name);
    item->offset = at == HADDR_UNDEF ? 0 : at;
done:
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (dcpl >= 0) H5Pclose(dcpl);
    if (lcpl >= 0) H5Pclose(lcpl);
    return rc;
}

/* Text attributes are fixed strings of the longest text. */
static int create_attr(hid_t file, const char *path, const h5_attr *a)
{
    int rc = 0;
    hid_t on = H5I_INVALID_HID, type = H5I_INVALID_HID, attr = H5I_INVALID_HID;
    hid_t space = H5I_INVALID_HID;
    h5_item shape = {.type = a->n_texts > 0 ? H5_TYPE_STRING : H5_TYPE_I64,
                     .rank = a->n_texts > 1,
                     .dim = {a->n_texts},
                     .width = 1};
    char *text = NULL;
    for (size_t i = 0; i < a->n_texts; i++)
        if (strlen(a->texts[i]) > shape.width) shape.width = strlen(a->texts[i]);
    type = h5_type_of(&shape);
    space = space_of(&shape);
    on = H5Oopen(file, a->object, H5P_DEFAULT);
    CHECK(type >= 0 && space >= 0 && on >= 0, ERR_INTERNAL, "%s: libhdf5: %s", path, h5_why());
    attr = H5Acreate2(on, a->name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    CHECK(attr >= 0, ERR_ENV, "%s: cannot create attribute %s: %s", path, a->name, h5_why());
    if (a->n_texts == 0) {
        CHECK(H5Awrite(attr, H5T_NATIVE_INT64, &a->value) >= 0, ERR_ENV,
              "%s: cannot write attribute %s: %s", path, a->name, h5_why());
    } else {
        TRY(mem_new(&text, a->n_texts, shape.width, "attribute"));
        for (size_t i = 0; i < a->n_texts; i++)
            memcpy(text + i * shape.width, a->texts[i], strlen(a->texts[i]));
        CHECK(H5Awrite(attr, type, text) >= 0, ERR_ENV, "%s: cannot write attribute %s: %s", path,
              a->name, h5_why());
    }
done:
    free(text);
    if (attr >= 0) H5Aclose(attr);
    if (on >= 0) H5Oclose(on);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return rc;
}

int h5_create(const char *path, h5_item *items, size_t n, const h5_attr *attrs, size_t n_attrs)
{
    int rc = 0;
    hid_t file = H5I_INVALID_HID;
    sandbox_lock();
    TRY(h5_start());
    TRY(create_file(&file, path));
    for (size_t i = 0; i < n; i++)
        TRY(create_item(file, path, &items[i]));
    for (size_t i = 0; i < n_attrs; i++)
        TRY(create_attr(file, path, &attrs[i]));
    errno = 0;
    rc = H5Fclose(file) < 0 ? ERR_ENV : 0;
    file = H5I_INVALID_HID;
    CHECK(rc == 0, ERR_ENV, "%s: cannot write the file's structure: %s", path,
          errno != 0 ? strerror(errno) : h5_why());
done:
    if (file >= 0) H5Fclose(file);
    sandbox_unlock();
    return rc;
}

/* --- reading: the parent's side --------------------------------------------------------------- */

typedef struct job {
    h5_listing *list; /* shared memory when listing */
    void *image;
    size_t bytes;
    unsigned char *out;
    size_t out_bytes;
    const uint64_t *out_offset;
} job;

static int list_work(void *arg)
{
    job *j = arg;
    return h5_scan(j->list, j->image, j->bytes);
}

static int convert_work(void *arg)
{
    job *j = arg;
    return h5_read_items(j->list, j->image, j->bytes, j->out, j->out_bytes, j->out_offset);
}

static int start_locked(void)
{
    int rc;
    sandbox_lock();
    rc = h5_start();
    sandbox_unlock();
    return rc;
}

/* A private image: nothing that libhdf5 scribbles on it can reach the file. */
static int map_file(job *j, int fd, const char *path)
{
    int rc = 0;
    struct stat st;
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char head[8] = {0};
    CHECK(fstat(fd, &st) == 0, ERR_ENV, "%s: cannot stat: %s", path, strerror(errno));
    CHECK(S_ISREG(st.st_mode), ERR_INPUT, "%s: not a regular file", path);
    CHECK(pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
              memcmp(head, magic, sizeof magic) == 0,
          ERR_INPUT, "%s: not an HDF5 file: no signature at byte 0", path);
    j->bytes = (size_t)st.st_size;
    j->image = mmap(NULL, j->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    CHECK(j->image != MAP_FAILED, ERR_ENV, "%s: cannot map: %s", path, strerror(errno));
done:
    return rc;
}

/* What a child said is checked as if the file had said it. */
static int check_item(const h5_item *it, const char *path, size_t file_bytes)
{
    int rc = 0;
    h5_item again = *it;
    CHECK(memchr(it->name, '\0', sizeof it->name) != NULL && it->name[0] != '\0' &&
              it->type <= H5_TYPE_STRING && it->rank >= 0 && it->rank <= H5_RANK_MAX &&
              (it->direct == 0 || it->direct == 1) && it->width > 0,
          ERR_INPUT, "%s: the reading process gave a malformed answer", path);
    TRY(h5_item_size(&again));
    CHECK(again.bytes == it->bytes && again.width == it->width, ERR_INPUT,
          "%s: /%s: the reading process gave a malformed answer", path, it->name);
    CHECK(!it->direct || (it->offset <= file_bytes && it->bytes <= file_bytes - it->offset),
          ERR_INPUT,
          "%s: /%s: %" PRIu64 " bytes at %" PRIu64 " do not fit into the file's %zu bytes", path,
          it->name, it->bytes, it->offset, file_bytes);
done:
    return rc;
}

int h5_list(h5_listing **out, int fd, const char *path)
{
    int rc = 0;
    job j = {.image = MAP_FAILED};
    h5_listing *l = NULL;
    sandbox_limits limits = {CPU_S, WALL_S, MEMORY};
    j.list = mmap(NULL, sizeof *j.list, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(j.list != MAP_FAILED, ERR_ENV, "%s: no memory for its list of objects", path);
    TRY(start_locked());
    TRY(map_file(&j, fd, path));
    limits.cpu_s += (unsigned)(j.bytes >> 32);
    TRY(sandbox_run(list_work, &j, &limits, path, "libhdf5"));
    TRY(mem_new(&l, 1, sizeof *l, path));
    memcpy(l, j.list, sizeof *l);
    CHECK(l->n <= H5_OBJECTS_MAX, ERR_INPUT, "%s: more than %d objects", path, H5_OBJECTS_MAX);
    l->format[H5_TEXT_ROOM - 1] = l->identity[H5_TEXT_ROOM - 1] = '\0';
    for (size_t i = 0; i < l->n; i++)
        TRY(check_item(&l->item[i], path, j.bytes));
    *out = l;
    l = NULL;
done:
    free(l);
    if (j.image != MAP_FAILED) munmap(j.image, j.bytes);
    if (j.list != MAP_FAILED) munmap(j.list, sizeof *j.list);
    return rc;
}

int h5_convert(const h5_listing *l, int fd, const char *path, int out_fd, uint64_t out_bytes,
               const uint64_t *out_offset)
{
    int rc = 0;
    job j = {.image = MAP_FAILED, .out = MAP_FAILED, .out_bytes = out_bytes};
    sandbox_limits limits = {CPU_S, WALL_S, MEMORY};
    h5_listing *copy = NULL;
    TRY(mem_new(&copy, 1, sizeof *copy, path));
    memcpy(copy, l, sizeof *copy);
    j.list = copy;
    j.out_offset = out_offset;
    TRY(start_locked());
    TRY(map_file(&j, fd, path));
    j.out = mmap(NULL, j.out_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, out_fd, 0);
    CHECK(j.out != MAP_FAILED, ERR_ENV, "%s: cannot map its converted data: %s", path,
          strerror(errno));
    limits.cpu_s += 10 + (unsigned)((j.bytes + out_bytes) / CONVERT_RATE);
    limits.wall_s += 10 * limits.cpu_s;
    TRY(sandbox_run(convert_work, &j, &limits, path, "libhdf5"));
done:
    if (j.out != MAP_FAILED) munmap(j.out, j.out_bytes);
    if (j.image != MAP_FAILED) munmap(j.image, j.bytes);
    free(copy);
    return rc;
}
