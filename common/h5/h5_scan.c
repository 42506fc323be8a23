/* What an untrusted HDF5 file holds.  Runs in the child only (h5_sandbox.h): a crash in here is an
 * expected outcome, a wrong answer is not.  The walk goes by name, so the order is the file's own
 * no more; links are counted, so that hard links in a circle come to an end. */
#include "common/err.h"
#include "common/h5/h5_private.h"
#include "common/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEPTH_MAX = 8,
    STRING_MAX = 65536,    /* one path */
    TEXT_MAX = 64 << 20,   /* one scalar string: /provenance */
    CHUNK_MAX = 256 << 20, /* what libhdf5 allocates to undo the filters of one chunk */
    VLEN_ROWS = 4096
};

typedef struct walk {
    h5_listing *list;
    hid_t file;
    uint64_t file_bytes, stored; /* sum of all storage: an address counted twice shows here */
    size_t links;
    int keep_f64, depth;
    char prefix[H5_NAME_ROOM];
    int rc;
} walk;

static void *image_malloc(size_t size, H5FD_file_image_op_t op, void *image)
{
    (void)size, (void)op;
    return image;
}
static void *image_memcpy(void *to, const void *from, size_t size, H5FD_file_image_op_t op,
                          void *image)
{
    (void)from, (void)size, (void)op, (void)image;
    return to;
}
static void *image_realloc(void *p, size_t size, H5FD_file_image_op_t op, void *image)
{
    (void)p, (void)size, (void)op, (void)image;
    return NULL;
}
static herr_t image_free(void *p, H5FD_file_image_op_t op, void *image)
{
    (void)p, (void)op, (void)image;
    return 0;
}
static void *udata_copy(void *image)
{
    return image;
}
static herr_t udata_free(void *image)
{
    (void)image;
    return 0;
}

int h5_open_image(hid_t *file, void *image, size_t bytes)
{
    int rc = 0;
    H5FD_file_image_callbacks_t cb = {image_malloc, image_memcpy, image_realloc, image_free,
                                      udata_copy,   udata_free,   image};
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    H5PLset_loading_state(0); /* a filter plug-in is code out of somebody's folder */
    CHECK(fapl >= 0 && H5Pset_fapl_core(fapl, 1 << 16, 0) >= 0 &&
              H5Pset_file_image_callbacks(fapl, &cb) >= 0 &&
              H5Pset_file_image(fapl, image, bytes) >= 0,
          ERR_INTERNAL, "libhdf5: %s", h5_why());
    *file = H5Fopen("image", H5F_ACC_RDONLY, fapl);
    CHECK(*file >= 0, ERR_INPUT, "damaged or not HDF5: %s", h5_why());
done:
    if (fapl >= 0) H5Pclose(fapl);
    return rc;
}

/* --- types ------------------------------------------------------------------------------------ */

static int same(hid_t t, hid_t known)
{
    return H5Tequal(t, known) > 0;
}

static int is_half(hid_t t, int big_endian)
{
    hid_t half = h5_half(big_endian);
    int r = half >= 0 && same(t, half);
    if (half >= 0) H5Tclose(half);
    return r;
}

static int float_type(const walk *w, h5_item *it, hid_t t)
{
    int f64 = same(t, H5T_IEEE_F64LE) || same(t, H5T_IEEE_F64BE);
    it->type = f64 && w->keep_f64 ? H5_TYPE_F64 : H5_TYPE_F32;
    if (same(t, H5T_IEEE_F32LE) || (w->keep_f64 && same(t, H5T_IEEE_F64LE))) it->direct = 1;
    else if (is_half(t, 0) || is_half(t, 1)) {
        it->type = H5_TYPE_F16;
        it->direct = is_half(t, 0);
    } else if (!f64 && !same(t, H5T_IEEE_F32BE))
        return err_set(ERR_INPUT, "/%s: a float format other than IEEE half, single and double",
                       it->name);
    return 0;
}

static int string_type(h5_item *it, hid_t t)
{
    htri_t vlen = H5Tis_variable_str(t);
    size_t most = it->rank == 0 ? TEXT_MAX : STRING_MAX;
    it->type = H5_TYPE_STRING;
    if (vlen > 0) {
        it->width = 0; /* found out by reading */
        return 0;
    }
    it->width = H5Tget_size(t);
    if (vlen < 0 || it->width == 0 || it->width > most)
        return err_set(ERR_INPUT, "/%s: strings of %zu bytes, more than %zu", it->name, it->width,
                       most);
    it->direct = H5Tget_strpad(t) != H5T_STR_SPACEPAD;
    return 0;
}

static int classify(const walk *w, h5_item *it, hid_t t)
{
    size_t size = H5Tget_size(t);
    switch (H5Tget_class(t)) {
    case H5T_FLOAT:
        return float_type(w, it, t);
    case H5T_STRING:
        return string_type(it, t);
    case H5T_INTEGER:
        if ((size != 1 && size != 2 && size != 4 && size != 8) || H5Tget_offset(t) != 0 ||
            H5Tget_precision(t) != 8 * size)
            break;
        it->type = same(t, H5T_STD_U8LE) || same(t, H5T_STD_U8BE) ? H5_TYPE_U8 : H5_TYPE_I64;
        it->direct = it->type == H5_TYPE_U8 || same(t, H5T_STD_I64LE);
        return 0;
    default:
        break;
    }
    return err_set(ERR_INPUT, "/%s: type is neither float, integer nor string", it->name);
}

/* --- storage ---------------------------------------------------------------------------------- */

static int check_filters(const h5_item *it, hid_t dcpl)
{
    int n = H5Pget_nfilters(dcpl);
    for (int i = 0; i < n; i++) {
        unsigned flags, config;
        size_t none = 0;
        H5Z_filter_t f = H5Pget_filter2(dcpl, (unsigned)i, &flags, &none, NULL, 0, NULL, &config);
        if (f != H5Z_FILTER_DEFLATE && f != H5Z_FILTER_SHUFFLE && f != H5Z_FILTER_FLETCHER32)
            return err_set(ERR_INPUT,
                           "/%s: filter %d; only deflate, shuffle and fletcher32 are read",
                           it->name, (int)f);
    }
    return n < 0 ? err_set(ERR_INPUT, "/%s: filters unreadable: %s", it->name, h5_why()) : n;
}

/* All chunks are there: a shape with nothing behind it would read as fill values. */
static int check_chunks(const walk *w, const h5_item *it, hid_t set, hid_t dcpl, size_t element)
{
    int rc = 0;
    hsize_t chunk[H5_RANK_MAX] = {0}, have = 0;
    hid_t space = H5I_INVALID_HID;
    size_t want = 1, bytes = element, ratio = 1032; /* deflate's utmost */
    CHECK(H5Pget_chunk(dcpl, H5_RANK_MAX, chunk) == it->rank, ERR_INPUT,
          "/%s: chunks of another rank than the data", it->name);
    for (int d = 0; d < it->rank; d++) {
        CHECK(chunk[d] > 0, ERR_INPUT, "/%s: empty chunks", it->name);
        TRY(mem_product(&bytes, bytes, chunk[d], it->name));
        TRY(mem_product(&want, want, it->dim[d] / chunk[d] + (it->dim[d] % chunk[d] != 0),
                        it->name));
    }
    CHECK(bytes <= CHUNK_MAX, ERR_INPUT, "/%s: chunks of %zu bytes, more than %d", it->name, bytes,
          CHUNK_MAX);
    CHECK(want <= w->file_bytes, ERR_INPUT, "/%s: %zu chunks in a file of %" PRIu64 " bytes",
          it->name, want, w->file_bytes);
    space = H5Dget_space(set);
    CHECK(space >= 0 && H5Dget_num_chunks(set, space, &have) >= 0, ERR_INPUT,
          "/%s: chunk index unreadable: %s", it->name, h5_why());
    CHECK(have == want, ERR_INPUT, "/%s: %zu of its %zu chunks are stored", it->name, (size_t)have,
          want);
    CHECK(want == 0 || bytes / ratio <= w->file_bytes / want, ERR_INPUT,
          "/%s: its shape is not backed by the file's %" PRIu64 " bytes", it->name, w->file_bytes);
done:
    if (space >= 0) H5Sclose(space);
    return rc;
}

static int check_storage(walk *w, h5_item *it, hid_t set, size_t element)
{
    int rc = 0, filters;
    hid_t dcpl = H5Dget_create_plist(set);
    H5D_layout_t layout = dcpl >= 0 ? H5Pget_layout(dcpl) : H5D_LAYOUT_ERROR;
    uint64_t need = it->type == H5_TYPE_STRING && it->width == 0 ? 0 : element, stored;
    for (int d = 0; d < it->rank; d++)
        TRY(mem_product(&need, need, it->dim[d], it->name));
    CHECK(layout != H5D_VIRTUAL, ERR_INPUT, "/%s: a virtual dataset; its data is in other files",
          it->name);
    CHECK(dcpl >= 0 && layout >= 0, ERR_INPUT, "/%s: layout unreadable: %s", it->name, h5_why());
    CHECK(H5Pget_external_count(dcpl) == 0, ERR_INPUT,
          "/%s: external storage; its data is in other files", it->name);
    TRY(check_filters(it, dcpl));
    filters = rc;
    rc = 0;
    stored = H5Dget_storage_size(set);
    CHECK(stored <= w->file_bytes - w->stored, ERR_INPUT,
          "/%s: %" PRIu64 " bytes of storage; with the datasets before it more than the whole file",
          it->name, stored);
    w->stored += stored;
    if (layout == H5D_CHUNKED) {
        it->direct = 0;
        TRY(check_chunks(w, it, set, dcpl, element));
    } else {
        CHECK(filters == 0 && stored >= need, ERR_INPUT,
              "/%s: %" PRIu64 " bytes stored, its shape needs %" PRIu64, it->name, stored, need);
        if (layout != H5D_CONTIGUOUS) it->direct = 0;
    }
    if (it->direct && need > 0) {
        haddr_t at = H5Dget_offset(set);
        CHECK(at != HADDR_UNDEF, ERR_INPUT, "/%s: has no storage", it->name);
        it->offset = at;
    }
done:
    if (dcpl >= 0) H5Pclose(dcpl);
    return rc;
}

/* Variable strings become fixed ones of the longest: here the longest is looked for. */
static int vlen_width(h5_item *it, hid_t set, size_t rows)
{
    int rc = 0;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set), mem = H5I_INVALID_HID;
    size_t most = it->rank == 0 ? TEXT_MAX : STRING_MAX, n;
    char **text = NULL;
    it->width = 1;
    TRY(mem_new(&text, VLEN_ROWS, sizeof *text, it->name));
    for (size_t row = 0; row < rows; row += n) {
        hsize_t start = row, count;
        n = rows - row < VLEN_ROWS ? rows - row : VLEN_ROWS;
        count = n;
        mem = H5Screate_simple(1, &count, NULL);
        CHECK((it->rank == 0 ||
               H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, NULL, &count, NULL) >= 0) &&
                  H5Dread(set, type, mem, space, H5P_DEFAULT, text) >= 0,
              ERR_INPUT, "/%s: cannot read row %zu: %s", it->name, row, h5_why());
        for (size_t i = 0; i < n; i++) {
            size_t len = text[i] != NULL ? strlen(text[i]) : 0;
            CHECK(len <= most, ERR_INPUT, "/%s: row %zu has %zu bytes, more than %zu", it->name,
                  row + i, len, most);
            if (len > it->width) it->width = len;
        }
        H5Dvlen_reclaim(type, mem, H5P_DEFAULT, text);
        H5Sclose(mem);
    }
done:
    free(text);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return rc;
}

static int describe(walk *w, h5_item *it, hid_t set)
{
    int rc = 0;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    hsize_t dim[H5S_MAX_RANK] = {0};
    H5S_class_t kind = space >= 0 ? H5Sget_simple_extent_type(space) : H5S_NO_CLASS;
    CHECK(type >= 0 && (kind == H5S_SCALAR || kind == H5S_SIMPLE), ERR_INPUT,
          "/%s: neither a scalar nor a simple shape", it->name);
    it->rank = H5Sget_simple_extent_ndims(space);
    CHECK(it->rank >= 0 && it->rank <= H5_RANK_MAX, ERR_INPUT, "/%s: rank %d, more than %d",
          it->name, it->rank, H5_RANK_MAX);
    H5Sget_simple_extent_dims(space, dim, NULL);
    for (int d = 0; d < it->rank; d++)
        it->dim[d] = dim[d];
    TRY(classify(w, it, type));
    TRY(check_storage(w, it, set, H5Tget_size(type)));
    if (it->type == H5_TYPE_STRING && it->width == 0) {
        CHECK(it->rank <= 1, ERR_INPUT, "/%s: variable strings of rank %d", it->name, it->rank);
        /* a stored reference has 16 bytes */
        CHECK(it->rank == 0 || it->dim[0] <= w->file_bytes / 16, ERR_INPUT,
              "/%s: %zu strings in a file of %" PRIu64 " bytes", it->name, it->dim[0],
              w->file_bytes);
        TRY(vlen_width(it, set, it->rank == 0 ? 1 : it->dim[0]));
    }
    TRY(h5_item_size(it));
    if (it->bytes == 0) it->direct = 1, it->offset = 0;
done:
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return rc;
}

/* --- the walk --------------------------------------------------------------------------------- */

static int walk_group(walk *w, hid_t group);

static int walk_object(walk *w, hid_t group, const char *name)
{
    int rc = 0;
    char here[H5_NAME_ROOM];
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    H5I_type_t kind = object >= 0 ? H5Iget_type(object) : H5I_BADID;
    int n = snprintf(here, sizeof here, "%s%s%s", w->prefix, w->prefix[0] != '\0' ? "/" : "", name);
    CHECK(n > 0 && (size_t)n < sizeof here, ERR_INPUT, "/%s: a name of more than %d bytes",
          w->prefix, H5_NAME_ROOM - 1);
    CHECK(kind == H5I_GROUP || kind == H5I_DATASET, ERR_INPUT, "/%s: %s", here,
          object >= 0 ? "neither a group nor a dataset" : h5_why());
    if (kind == H5I_GROUP) {
        char before[H5_NAME_ROOM];
        memcpy(before, w->prefix, sizeof before);
        memcpy(w->prefix, here, sizeof here);
        CHECK(++w->depth <= DEPTH_MAX, ERR_INPUT, "/%s: groups nested deeper than %d", here,
              DEPTH_MAX);
        TRY(walk_group(w, object));
        w->depth--;
        memcpy(w->prefix, before, sizeof before);
    } else {
        h5_item *it = &w->list->item[w->list->n];
        CHECK(w->list->n < H5_OBJECTS_MAX, ERR_INPUT, "more than %d datasets", H5_OBJECTS_MAX);
        memset(it, 0, sizeof *it);
        memcpy(it->name, here, sizeof here);
        TRY(describe(w, it, object));
        w->list->n++;
    }
done:
    if (object >= 0) H5Oclose(object);
    return rc;
}

static herr_t walk_link(hid_t group, const char *name, const H5L_info_t *info, void *arg)
{
    walk *w = arg;
    if (++w->links > 4 * H5_OBJECTS_MAX)
        w->rc = err_set(ERR_INPUT, "more than %d links", 4 * H5_OBJECTS_MAX);
    else if (info->type != H5L_TYPE_HARD)
        w->rc =
            err_set(ERR_INPUT, "/%s%s%s: %s link", w->prefix, w->prefix[0] != '\0' ? "/" : "", name,
                    info->type == H5L_TYPE_SOFT ? "a soft" : "an external or user-defined");
    else w->rc = walk_object(w, group, name);
    return w->rc < 0 ? -1 : 0;
}

static int walk_group(walk *w, hid_t group)
{
    if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, NULL, walk_link, w) >= 0) return 0;
    if (w->rc < 0) return w->rc;
    return err_set(ERR_INPUT, "/%s: group unreadable: %s", w->prefix, h5_why());
}

int h5_scan(h5_listing *l, void *image, size_t bytes)
{
    int rc = 0;
    hid_t file = H5I_INVALID_HID, root = H5I_INVALID_HID;
    walk w = {.list = l, .file_bytes = bytes};
    TRY(h5_open_image(&file, image, bytes));
    root = H5Gopen2(file, "/", H5P_DEFAULT);
    CHECK(root >= 0, ERR_INPUT, "root group unreadable: %s", h5_why());
    TRY(h5_read_text(root, "format", l->format));
    TRY(h5_read_text(root, "identity", l->identity));
    TRY(h5_read_int(root, "format_version", &l->format_version));
    TRY(h5_read_int(root, "complete", &l->complete));
    w.keep_f64 = strncmp(l->format, "outpost-", 8) == 0;
    TRY(walk_group(&w, root));
done:
    return rc; /* the process ends here: closing would only walk damaged structures again */
}

int h5_read_items(const h5_listing *l, void *image, size_t bytes, unsigned char *out,
                  size_t out_bytes, const uint64_t *out_offset)
{
    int rc = 0;
    hid_t file = H5I_INVALID_HID;
    h5_listing *again = NULL;
    walk w = {.file_bytes = bytes};
    TRY(mem_new(&again, 1, sizeof *again, "list of objects"));
    w.list = again;
    w.keep_f64 = strncmp(l->format, "outpost-", 8) == 0;
    TRY(h5_open_image(&file, image, bytes));
    for (size_t i = 0; i < l->n; i++) {
        const h5_item *it = &l->item[i];
        h5_item now = {.rank = 0};
        hid_t set;
        if (it->direct) continue;
        CHECK(out_offset[i] <= out_bytes && it->bytes <= out_bytes - out_offset[i], ERR_INTERNAL,
              "/%s: no room for the converted data", it->name);
        /* the file may have changed since it was listed */
        memcpy(now.name, it->name, sizeof now.name);
        set = H5Dopen2(file, it->name, H5P_DEFAULT);
        CHECK(set >= 0, ERR_INPUT, "/%s: %s", it->name, h5_why());
        TRY(describe(&w, &now, set));
        CHECK(now.type == it->type && now.width == it->width && now.bytes == it->bytes &&
                  now.rank == it->rank && memcmp(now.dim, it->dim, sizeof now.dim) == 0,
              ERR_INPUT, "/%s: changed while it was read", it->name);
        TRY(h5_read_item(it, file, out + out_offset[i]));
    }
done:
    free(again);
    return rc;
}
