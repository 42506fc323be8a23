/* Element types and conversions. */
#include "common/arrays.h"
#include "common/err.h"

#include <string.h>

static const struct {
    const char *name;
    size_t size;
} types[] = {
    [ARRAY_F64] = { "F64", 8 }, [ARRAY_F32] = { "F32", 4 },   [ARRAY_F16] = { "F16", 2 },
    [ARRAY_BF16] = { "BF16", 2 }, [ARRAY_I64] = { "I64", 8 }, [ARRAY_I32] = { "I32", 4 },
    [ARRAY_I16] = { "I16", 2 }, [ARRAY_I8] = { "I8", 1 },     [ARRAY_U8] = { "U8", 1 },
    [ARRAY_BOOL] = { "BOOL", 1 },
};

size_t array_type_size(array_type t)
{
    return types[t].size;
}

const char *array_type_name(array_type t)
{
    return types[t].name;
}

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE half -> single; exact. */
static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 0x3ff;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) { /* a subnormal half counts units of 2^-24 */
        float f = (float)fraction * 0x1p-24f;
        return sign ? -f : f;
    }
    return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
}

#define EACH(type, expression)                                                                     \
    do {                                                                                           \
        const type *x = a->data;                                                                   \
        for (size_t i = 0; i < a->count; i++)                                                      \
            dst[i] = (expression);                                                                 \
    } while (0)

void array_to_f32(const array *a, float *dst)
{
    switch (a->type) {
    case ARRAY_F64: EACH(double, (float)x[i]); break;
    case ARRAY_F32:
        if (a->count > 0) memcpy(dst, a->data, a->count * sizeof *dst);
        break;
    case ARRAY_F16: EACH(uint16_t, half_to_float(x[i])); break;
    case ARRAY_BF16: EACH(uint16_t, from_bits((uint32_t)x[i] << 16)); break;
    case ARRAY_I64: EACH(int64_t, (float)x[i]); break;
    case ARRAY_I32: EACH(int32_t, (float)x[i]); break;
    case ARRAY_I16: EACH(int16_t, (float)x[i]); break;
    case ARRAY_I8: EACH(int8_t, (float)x[i]); break;
    case ARRAY_U8: EACH(uint8_t, (float)x[i]); break;
    case ARRAY_BOOL: EACH(uint8_t, x[i] != 0 ? 1.0f : 0.0f); break;
    }
}

int array_to_i64(const array *a, int64_t *dst)
{
    switch (a->type) {
    case ARRAY_I64: EACH(int64_t, x[i]); return 0;
    case ARRAY_I32: EACH(int32_t, x[i]); return 0;
    case ARRAY_I16: EACH(int16_t, x[i]); return 0;
    case ARRAY_I8: EACH(int8_t, x[i]); return 0;
    case ARRAY_U8: EACH(uint8_t, x[i]); return 0;
    case ARRAY_BOOL: EACH(uint8_t, x[i] != 0); return 0;
    default:
        return err_set(ERR_INPUT, "'%s': %s where integers are needed", a->name,
                       array_type_name(a->type));
    }
}
