/* libFuzzer target for records of JPEG files: whatever becomes one gives, through the CPU twins of the decode
 * kernels, the bytes of prep_decode. */
#include "extract/images/image_parts.h"
#include "tests/lib/record_twin.h"

enum { PIXELS_MAX = 1 << 17 }; /* larger pictures are slow, not interesting */

static int too_large(const uint8_t *b, size_t n)
{
    for (size_t i = 2; i + 9 < n; i++)
        if (b[i] == 0xff && b[i + 1] >= 0xc0 && b[i + 1] <= 0xcf && b[i + 1] != 0xc4 &&
            be16(b + i + 5) * be16(b + i + 7) > PIXELS_MAX)
            return 1;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const recipes[] = {"torchvision", "timm:filter=bicubic", "torchvision:resize=20,crop=32"};
    static twin_ways ways[3];
    if (size < 4 || too_large(data, size)) return 0;
    for (int i = 0; i < 3; i++) {
        if (ways[i].s == NULL && twin_open(&ways[i], recipes[i], 32) < 0) abort();
        if (twin_compare(&ways[i], data, size, "fuzz") < 0) abort();
    }
    return 0;
}
