/* The closed table of globals (models.md 12.2; dependencies.md 5). */
#include "common/arrays/pickle.h"

#include <string.h>

static const struct entry {
    const char *module, *name;
    pickle_global id;
} table[] = {
    { "collections", "OrderedDict", GLOBAL_ORDERED_DICT },
    { "torch._utils", "_rebuild_tensor", GLOBAL_REBUILD_TENSOR },
    { "torch._utils", "_rebuild_tensor_v2", GLOBAL_REBUILD_TENSOR_V2 },
    { "torch._utils", "_rebuild_parameter", GLOBAL_REBUILD_PARAMETER },
    { "torch", "DoubleStorage", GLOBAL_STORAGE_F64 },
    { "torch", "FloatStorage", GLOBAL_STORAGE_F32 },
    { "torch", "HalfStorage", GLOBAL_STORAGE_F16 },
    { "torch", "BFloat16Storage", GLOBAL_STORAGE_BF16 },
    { "torch", "LongStorage", GLOBAL_STORAGE_I64 },
    { "torch", "IntStorage", GLOBAL_STORAGE_I32 },
    { "torch", "ShortStorage", GLOBAL_STORAGE_I16 },
    { "torch", "CharStorage", GLOBAL_STORAGE_I8 },
    { "torch", "ByteStorage", GLOBAL_STORAGE_U8 },
    { "torch", "BoolStorage", GLOBAL_STORAGE_BOOL },
    { "torch", "Size", GLOBAL_SIZE },
    { "torch", "device", GLOBAL_IGNORED },
    { "torch", "float64", GLOBAL_IGNORED },
    { "torch", "float32", GLOBAL_IGNORED },
    { "torch", "float16", GLOBAL_IGNORED },
    { "torch", "bfloat16", GLOBAL_IGNORED },
    { "torch", "int64", GLOBAL_IGNORED },
    { "torch", "int32", GLOBAL_IGNORED },
    { "torch", "int16", GLOBAL_IGNORED },
    { "torch", "int8", GLOBAL_IGNORED },
    { "torch", "uint8", GLOBAL_IGNORED },
    { "torch", "bool", GLOBAL_IGNORED },
    { "numpy.core.multiarray", "_reconstruct", GLOBAL_NP_RECONSTRUCT },
    { "numpy._core.multiarray", "_reconstruct", GLOBAL_NP_RECONSTRUCT },
    { "numpy.core.numeric", "_frombuffer", GLOBAL_NP_FROMBUFFER },
    { "numpy._core.numeric", "_frombuffer", GLOBAL_NP_FROMBUFFER },
    { "numpy", "ndarray", GLOBAL_NP_NDARRAY },
    { "numpy", "dtype", GLOBAL_NP_DTYPE },
    { "numpy.core.multiarray", "scalar", GLOBAL_IGNORED },
    { "numpy._core.multiarray", "scalar", GLOBAL_IGNORED },
    { "_codecs", "encode", GLOBAL_CODECS_ENCODE },
    { "__builtin__", "bytes", GLOBAL_BYTES },
    { "builtins", "bytes", GLOBAL_BYTES },
    { "argparse", "Namespace", GLOBAL_IGNORED },
};

static int same(const char *want, const char *s, size_t n)
{
    return strlen(want) == n && memcmp(want, s, n) == 0;
}

pickle_global pickle_global_lookup(const char *module, size_t module_n, const char *name,
                                   size_t name_n)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (same(table[i].name, name, name_n) && same(table[i].module, module, module_n))
            return table[i].id;
    return GLOBAL_UNKNOWN;
}
