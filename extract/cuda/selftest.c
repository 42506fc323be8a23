/* Known bytes to known bits, before the first image: a device that computes wrongly, or a build whose
 * kernels were compiled with other rounding, is refused at the start.
 *
 * A 16x16 image that holds every byte value in each channel runs through the kernels whose results
 * IEEE 754 fixes to the bit: normalise -> scale_shift + ReLU -> add -> maxpool -> avgpool -> gap.
 * FNV-1a of each stage's floats is compared with what numpy gives (tests/golden/selftest.py). */
#include "extract/cuda/device.h"

#include <inttypes.h>
#include <string.h>

enum {
    SIDE = 16,
    IMAGE = SIDE * SIDE * 3,
    HALF = IMAGE / 4,
    QUARTER = IMAGE / 16,
    CONSTANTS = 12,
    STAGES = 6,
    FLOATS = 3 * IMAGE + HALF + QUARTER + 3
};

static const float constants[CONSTANTS] = {
    0.485f, 0.456f, 0.406f, /* mean */
    0.229f, 0.224f, 0.225f, /* std */
    1.7f,   -0.3f,  0.01f,  /* scale */
    -0.1f,  0.2f,   1e-3f   /* shift */
};

static const struct stage {
    const char *name;
    size_t floats;
    uint64_t digest;
} stages[STAGES] = {
    { "normalise", IMAGE, UINT64_C(0x468380a1008f26c8) },
    { "scale and shift", IMAGE, UINT64_C(0x88bfb682ea538951) },
    { "add", IMAGE, UINT64_C(0x118b2b84b2b8bd92) },
    { "max pool", HALF, UINT64_C(0xd7eb4e9d3ffd989f) },
    { "average pool", QUARTER, UINT64_C(0x915168625e9f2f9d) },
    { "global average pool", 3, UINT64_C(0x44fca2a7c53a82ba) },
};

static uint64_t fnv1a(const float *v, size_t count)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        for (int b = 0; b < 32; b += 8)
            h = (h ^ (bits >> b & 0xff)) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* Queues the six kernels: u8 and the constants `k` to y[FLOATS], all on the device. */
static int queue(cuda_backend *be, const unsigned char *u8, const float *k, float *y)
{
    int rc = 0;
    float *a = y, *b = a + IMAGE, *c = b + IMAGE, *d = c + IMAGE, *e = d + HALF, *f = e + QUARTER;
    op_args args = { .x = { k, k + 3 }, .u8 = u8, .y = a, .n = 1, .c = 3, .h = SIDE, .w = SIDE };
    TRY(device_run(be, KERNEL_normalise_fwd, &args));
    args = (op_args){ .x = { a, k + 6, k + 9 }, .y = b, .n = 1, .c = 3, .h = SIDE, .w = SIDE,
                      .act = KA_RELU };
    TRY(device_run(be, KERNEL_scale_shift_fwd, &args));
    args = (op_args){ .x = { a, b }, .y = c, .n = 1, .c = 3, .h = SIDE, .w = SIDE };
    TRY(device_run(be, KERNEL_add_fwd, &args));
    args = (op_args){ .x = { c }, .y = d, .n = 1, .c = 3, .h = SIDE, .w = SIDE, .oh = SIDE / 2,
                      .ow = SIDE / 2, .kernel = 3, .stride = 2, .pad = 1 };
    TRY(device_run(be, KERNEL_maxpool_fwd, &args));
    args = (op_args){ .x = { d }, .y = e, .n = 1, .c = 3, .h = SIDE / 2, .w = SIDE / 2,
                      .oh = SIDE / 4, .ow = SIDE / 4, .kernel = 2, .stride = 2 };
    TRY(device_run(be, KERNEL_avgpool_fwd, &args));
    args = (op_args){ .x = { e }, .y = f, .n = 1, .c = 3, .h = SIDE / 4, .w = SIDE / 4 };
    TRY(device_run(be, KERNEL_gap_fwd, &args));
done:
    return rc;
}

static int compare(const cuda_backend *be, const float *got)
{
    int rc = 0;
    for (int s = 0; s < STAGES; s++) {
        uint64_t digest = fnv1a(got, stages[s].floats);
        if (digest != stages[s].digest) cuda_fault_set(FAULT_LOST);
        CHECK(digest == stages[s].digest, ERR_ENV,
              "CUDA device %d (%s) computes wrongly: self-test '%s' gave %016" PRIx64
              ", not %016" PRIx64, be->device, be->facts.name, stages[s].name, digest,
              stages[s].digest);
        got += stages[s].floats;
    }
done:
    return rc;
}

int device_selftest(cuda_backend *be)
{
    int rc = 0;
    unsigned char bytes[IMAGE];
    float got[FLOATS];
    void *u8 = NULL, *k = NULL, *y = NULL;
    for (int p = 0; p < SIDE * SIDE; p++) /* odd factors: each channel holds each byte once */
        for (int c = 0; c < 3; c++)
            bytes[3 * p + c] = (unsigned char)((2 * c + 1) * p + 7 * c);
    TRY(memory_alloc(be, sizeof bytes, 0, &u8));
    TRY(memory_alloc(be, sizeof constants, 0, &k));
    TRY(memory_alloc(be, sizeof got, 0, &y));
    TRY(memory_clear(be, y, sizeof got));
    TRY(memory_upload(be, u8, bytes, sizeof bytes));
    TRY(memory_upload(be, k, constants, sizeof constants));
    TRY(queue(be, u8, k, y));
    TRY(memory_download(be, got, y, sizeof got));
    TRY(device_sync(be));
    TRY(compare(be, got));
done:
    /* Waits, too: a copy that was queued before a failure may still use this frame's arrays. */
    memory_release(be, &u8);
    memory_release(be, &k);
    memory_release(be, &y);
    return rc;
}
