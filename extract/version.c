#include "extract/commands.h"
#include "extract/cpu/conv.h"
#include "extract/plugin.h"

#include <dnnl.h>
#include <hdf5.h>
#include <jansson.h>
#include <png.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <jpeglib.h>

static int hdf5_version(char *text, size_t room)
{
    unsigned a = 0, b = 0, c = 0;
    H5dont_atexit();
    if (H5get_libversion(&a, &b, &c) < 0) return -1;
    return snprintf(text, room, "%u.%u.%u", a, b, c);
}

/* What the plugin says of itself and the devices, or why there is none. */
static void print_cuda(FILE *f)
{
    char text[4096], *line, *rest = text;
    plugin_describe(text, sizeof text);
    while ((line = strsep(&rest, "\n")) != NULL)
        if (line[0] != '\0') fprintf(f, "%-9s %s\n", strncmp(line, "cuda:", 5) == 0 ? "" : "CUDA", line);
}

int extract_print_version(FILE *f, int json)
{
    const dnnl_version_t *d = dnnl_version();
    char hdf5[32] = "?", dnnl[32];
    json_t *o;
    char *text, cuda[4096];
    hdf5_version(hdf5, sizeof hdf5);
    snprintf(dnnl, sizeof dnnl, "%d.%d.%d", d->major, d->minor, d->patch);
    if (!json) {
        fprintf(f,
                "outpost extract %s (MIT licence)\ncompiler  %s\nkernels   %s\noneDNN    %s\n"
                "HDF5      %s\nlibjpeg   %d (libjpeg-turbo)\nlibpng    %s\n",
                OUTPOST_VERSION, __VERSION__, conv_kernel_f32()->name, dnnl, hdf5,
                JPEG_LIB_VERSION, png_get_libpng_ver(NULL));
        print_cuda(f);
        return 0;
    }
    plugin_describe(cuda, sizeof cuda);
    if (strlen(cuda) > 0 && cuda[strlen(cuda) - 1] == '\n') cuda[strlen(cuda) - 1] = '\0';
    o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "program", "outpost extract", "version",
                  OUTPOST_VERSION, "compiler", __VERSION__, "kernels", conv_kernel_f32()->name,
                  "onednn", dnnl, "hdf5", hdf5, "libpng", png_get_libpng_ver(NULL), "cuda", cuda);
    text = json_dumps(o, JSON_INDENT(1));
    fprintf(f, "%s\n", text != NULL ? text : "{}");
    free(text);
    json_decref(o);
    return 0;
}
