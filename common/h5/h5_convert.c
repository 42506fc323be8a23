/* Root attributes, and data that cannot be mapped as it is.  Runs in the child only, as h5_scan.c. */
#include "common/err.h"
#include "common/h5/h5_private.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VLEN_ROWS = 4096 };

/* --- root attributes -------------------------------------------------------------------------- */

int h5_read_text(hid_t file, const char *name, char text[H5_TEXT_ROOM])
{
    int rc = 0;
    hid_t attr = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    char *p = NULL;
    if (H5Aexists(file, name) <= 0) goto done;
    attr = H5Aopen(file, name, H5P_DEFAULT);
    type = attr >= 0 ? H5Aget_type(attr) : H5I_INVALID_HID;
    space = attr >= 0 ? H5Aget_space(attr) : H5I_INVALID_HID;
    CHECK(type >= 0 && space >= 0 && H5Tget_class(type) == H5T_STRING &&
              H5Sget_simple_extent_npoints(space) == 1,
          ERR_INPUT, "attribute %s: not one string", name);
    if (H5Tis_variable_str(type) > 0) {
        CHECK(H5Aread(attr, type, &p) >= 0, ERR_INPUT, "attribute %s: %s", name, h5_why());
        snprintf(text, H5_TEXT_ROOM, "%s", p != NULL ? p : "");
    } else {
        CHECK(H5Tget_size(type) < H5_TEXT_ROOM, ERR_INPUT, "attribute %s: longer than %d bytes",
              name, H5_TEXT_ROOM - 1);
        CHECK(H5Aread(attr, type, text) >= 0, ERR_INPUT, "attribute %s: %s", name, h5_why());
    }
done:
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attr >= 0) H5Aclose(attr);
    return rc;
}

int h5_read_int(hid_t file, const char *name, int64_t *value)
{
    int rc = 0;
    hid_t attr = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    *value = -1;
    if (H5Aexists(file, name) <= 0) goto done;
    attr = H5Aopen(file, name, H5P_DEFAULT);
    type = attr >= 0 ? H5Aget_type(attr) : H5I_INVALID_HID;
    space = attr >= 0 ? H5Aget_space(attr) : H5I_INVALID_HID;
    CHECK(type >= 0 && space >= 0 && H5Tget_class(type) == H5T_INTEGER && H5Tget_size(type) <= 8 &&
              H5Sget_simple_extent_npoints(space) == 1 &&
              H5Aread(attr, H5T_NATIVE_INT64, value) >= 0,
          ERR_INPUT, "attribute %s: not one integer", name);
done:
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attr >= 0) H5Aclose(attr);
    return rc;
}

/* --- conversion ------------------------------------------------------------------------------- */

static int read_vlen(const h5_item *it, hid_t set, unsigned char *out)
{
    int rc = 0;
    hid_t type = H5Dget_type(set), space = H5Dget_space(set), mem = H5I_INVALID_HID;
    size_t rows = it->rank == 0 ? 1 : it->dim[0], n;
    char **text = NULL;
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
        for (size_t i = 0; i < n; i++) /* the target is zero-filled: NUL padding is there */
            if (text[i] != NULL)
                memcpy(out + (row + i) * it->width, text[i], strnlen(text[i], it->width));
        H5Dvlen_reclaim(type, mem, H5P_DEFAULT, text);
        H5Sclose(mem);
    }
done:
    free(text);
    return rc;
}

int h5_read_item(const h5_item *it, hid_t file, unsigned char *out)
{
    int rc = 0;
    hid_t set = H5Dopen2(file, it->name, H5P_DEFAULT), type, file_type;
    CHECK(set >= 0, ERR_INPUT, "/%s: %s", it->name, h5_why());
    file_type = H5Dget_type(set);
    if (it->type == H5_TYPE_STRING && H5Tis_variable_str(file_type) > 0) {
        TRY(read_vlen(it, set, out));
        goto done;
    }
    type = h5_type_of(it);
    if (it->type == H5_TYPE_STRING) H5Tset_cset(type, H5Tget_cset(file_type));
    /* straight into the target: libhdf5 goes chunk by chunk and touches each once */
    CHECK(type >= 0 && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0, ERR_INPUT,
          "/%s: cannot read: %s", it->name, h5_why());
done:
    return rc;
}
