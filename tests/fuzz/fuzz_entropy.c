/* libFuzzer target for the entropy decoder of JPEG files: whatever it takes, libjpeg-turbo reads
 * without a warning, with the same coefficients; reading one block after the other takes the same
 * files as reading from two places; and the pixels made are libjpeg's. */
#include "common/err.h"
#include "extract/images/jpeg_fast.h"
#include "tests/lib/jpeg_reference.h"

#include <stdlib.h>

enum { PIXELS_MAX = 1 << 18 }; /* larger pictures are slow, not interesting */

static int too_large(const uint8_t *b, size_t n)
{
    for (size_t i = 2; i + 9 < n; i++)
        if (b[i] == 0xff && b[i + 1] >= 0xc0 && b[i + 1] <= 0xcf && b[i + 1] != 0xc4 &&
            be16(b + i + 5) * be16(b + i + 7) > PIXELS_MAX)
            return 1;
    return 0;
}

static void pixels(const uint8_t *b, size_t n)
{
    static image ours, plain;
    jpeg_head head;
    err_clear();
    if (b[2] != 0xff || jpeg_head_read(&head, b, n, "fuzz") < 0) return;
    if (jpeg_fast_decode(&ours, b, n, &head, NULL, "fuzz") != 1) return;
    if (jpeg_decode_plain(&plain, b, n, "fuzz") < 0 || ours.w != plain.w || ours.h != plain.h ||
        memcmp(ours.rgb, plain.rgb, (size_t)plain.w * (size_t)plain.h * 3) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static jpeg_coefficients k, plain = {.plain = 1};
    reference r;
    int taken;
    if (size < 4 || too_large(data, size)) return 0;
    err_clear();
    taken = jpeg_coefficients_read(&k, data, size, "fuzz");
    if (taken < 0 || jpeg_coefficients_read(&plain, data, size, "fuzz") != taken) abort();
    if (taken == 0) return 0;
    if (!reference_read(&r, data, size) || r.err.num_warnings != 0 ||
        reference_differs(&r, &k.f) != NULL)
        abort();
    reference_close(&r);
    pixels(data, size);
    return 0;
}
