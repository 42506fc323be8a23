/* libFuzzer target for the image decoders and the resizer behind them.
 *   byte 0: which part of the picture is wanted; the rest: the file
 * Whatever our JPEG decoder takes, libjpeg-turbo must take, with the same pixels.  A PNG has the
 * same verdict and pixels with libpng and without. */
#include "common/err.h"
#include "extract/images/image.h"
#include "extract/images/image_parts.h"
#include "extract/images/jpeg_fast.h"
#include "extract/images/preprocess.h"

#include <stdlib.h>
#include <string.h>

enum { PIXELS_MAX = 1 << 20 }; /* larger pictures are slow, not interesting */

/* Refuses pictures that would only cost time; both headers are in the first bytes. */
static int too_large(const uint8_t *b, size_t n)
{
    if (n >= 24 && b[0] == 0x89) return (uint64_t)be32(b + 16) * be32(b + 20) > PIXELS_MAX;
    for (size_t i = 2; i + 9 < n; i++)
        if (b[i] == 0xff && b[i + 1] >= 0xc0 && b[i + 1] <= 0xcf && b[i + 1] != 0xc4 &&
            be16(b + i + 5) * be16(b + i + 7) > PIXELS_MAX)
            return 1;
    return 0;
}

static void compare_png(const uint8_t *b, size_t n)
{
    static image lib, own;
    int by_lib, never, rc;
    if (n < 8 || memcmp(b, "\x89PNG\r\n\x1a\n", 8) != 0) return;
    err_clear();
    rc = png_decode_by(&lib, b, n, "fuzz", 1, &by_lib);
    err_clear();
    if (png_decode_by(&own, b, n, "fuzz", 0, &never) != rc) abort();
    if (rc == 0 && (lib.w != own.w || lib.h != own.h ||
                    memcmp(lib.rgb, own.rgb, (size_t)own.w * (size_t)own.h * 3) != 0))
        abort();
}

static void compare(const uint8_t *b, size_t n)
{
    static image ours, plain;
    jpeg_head head;
    err_clear();
    if (n < 3 || memcmp(b, "\xff\xd8\xff", 3) != 0 || jpeg_head_read(&head, b, n, "fuzz") < 0)
        return;
    if (jpeg_fast_decode(&ours, b, n, &head, NULL, "fuzz") != 1) return;
    if (jpeg_decode_plain(&plain, b, n, "fuzz") < 0 || ours.w != plain.w || ours.h != plain.h ||
        memcmp(ours.rgb, plain.rgb, (size_t)plain.w * (size_t)plain.h * 3) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const preps[] = {"gen", "gen:resize=40,crop=32",
                                        "gen:resize=32,crop=48,filter=bicubic",
                                        "gen:resize=40,crop=32,filter=cv2-bilinear",
                                        "gen:resize=32,crop=48,filter=cv2-bicubic"};
    static const prep_native native = {.side = 32, .preset = "gen", .std = {1, 1, 1}};
    static prep_scratch *scratch;
    static image im;
    uint8_t out[48 * 48 * 3];
    prep p;
    if (size < 2 || too_large(data + 1, size - 1)) return 0;
    if (scratch == NULL && prep_scratch_new(&scratch) < 0) abort();
    err_clear();
    if (prep_resolve(&p, preps[data[0] % 5], &native) < 0) abort();
    if (prep_decode(&p, scratch, &im, data + 1, size - 1, "fuzz", out) < 0 && err_text()[0] == '\0')
        abort();
    compare(data + 1, size - 1);
    compare_png(data + 1, size - 1);
    return 0;
}
