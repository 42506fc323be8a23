#include "common/half.h"

#include <string.h>

uint16_t half_of(float x)
{
    uint32_t b, sign, rest, kept, lost, tie;
    int shift = 13;
    memcpy(&b, &x, sizeof b);
    sign = b >> 16 & 0x8000;
    b &= 0x7fffffff;
    if (b > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (b >= 0x477ff000) return (uint16_t)(sign | 0x7c00);
    if (b < 0x33000000) return (uint16_t)sign; /* below half of the smallest subnormal */
    rest = b - 0x38000000;                     /* the exponent's bias, 127 - 15 */
    if (b < 0x38800000) {                      /* subnormal: units of 2^-24 */
        shift = 126 - (int)(b >> 23);
        rest = (b & 0x7fffff) | 0x800000;
    }
    kept = rest >> shift;
    lost = rest & ((1u << shift) - 1);
    tie = 1u << (shift - 1);
    kept += lost > tie || (lost == tie && (kept & 1));
    return (uint16_t)(sign | kept);
}

void half_from_floats(uint16_t *out, const float *in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = half_of(in[i]);
}
