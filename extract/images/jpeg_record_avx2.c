/* Blocks of coefficients to those of them that are not 0. */
#include "extract/images/jpeg_lanes.h"
#include "extract/images/jpeg_record.h"

#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

#define JPEG_BMI __attribute__((target("bmi,bmi2,popcnt")))

typedef __m256i v;

/* Values that take two bytes: few blocks have any. */
static uint8_t *pack_wide(uint64_t mask, const int16_t *block, uint8_t *to)
{
    for (; mask != 0; mask &= mask - 1, to += 2)
        memcpy(to, block + __builtin_ctzll(mask), 2);
    return to;
}

/* 64 bytes, eight at a time, without those that the mask leaves out. */
JPEG_BMI static inline uint8_t *pack_bytes(uint64_t mask, const uint8_t *bytes, uint8_t *to)
{
    for (int r = 0; r < 8; r++, mask >>= 8) {
        uint64_t eight, kept = _pdep_u64(mask, 0x0101010101010101u) * 255;
        memcpy(&eight, bytes + 8 * r, 8);
        eight = _pext_u64(eight, kept);
        memcpy(to, &eight, 8);
        to += _mm_popcnt_u64(mask & 255);
    }
    return to;
}

/* Two vectors of words as bytes, saturated: what is not 0 stays so. */
static inline v to_bytes(v a, v b)
{
    return _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), 0xd8);
}

static inline uint64_t mask_of(v bytes)
{
    v none = _mm256_cmpeq_epi8(bytes, _mm256_setzero_si256());
    return ~(uint32_t)_mm256_movemask_epi8(none);
}

JPEG_BMI uint8_t *jpeg_pack_block_avx2(record_block *b, const int16_t *quant, const int16_t *block,
                                       int16_t dc, uint8_t *to, unsigned *bad)
{
    const v bias = _mm256_set1_epi16(8192), half = _mm256_set1_epi16(128);
    const v no_dc = _mm256_setr_epi16(0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    v x[4], seen = _mm256_setzero_si256(), large = seen;
    _Alignas(32) uint8_t bytes[64];
    for (int i = 0; i < 4; i++) {
        v q = _mm256_loadu_si256((const v *)(const void *)(quant + 16 * i));
        x[i] = _mm256_loadu_si256((const v *)(const void *)(block + 16 * i));
        if (i == 0) x[i] = _mm256_and_si256(x[i], no_dc);
        seen = _mm256_or_si256(seen, _mm256_add_epi16(_mm256_mullo_epi16(x[i], q), bias));
        large = _mm256_or_si256(large, _mm256_add_epi16(x[i], half));
    }
    if (!_mm256_testz_si256(seen, _mm256_set1_epi16((short)0xc000))) *bad = ~0u;
    *bad |= (unsigned)jpeg_is_out_of_range(dc, quant[0]);
    x[0] = to_bytes(x[0], x[1]);
    x[1] = to_bytes(x[2], x[3]);
    b->mask = mask_of(x[0]) | mask_of(x[1]) << 32;
    b->dc = dc;
    b->wide = 1;
    if (__builtin_expect(!_mm256_testz_si256(large, _mm256_set1_epi16((short)0xff00)), 0)) {
        b->wide = 2;
        return pack_wide(b->mask, block, to);
    }
    _mm256_store_si256((v *)(void *)bytes, x[0]);
    _mm256_store_si256((v *)(void *)(bytes + 32), x[1]);
    return pack_bytes(b->mask, bytes, to);
}

static inline void one_block(jpeg_packer *p, record_block *b, const int16_t *quant,
                             const int16_t *block, int dc)
{
    b->at = (uint32_t)(p->to - p->values);
    p->to = p->pack(b, quant, block, (int16_t)dc, p->to, &p->bad);
}

enum { AHEAD = 8 }; /* blocks */

typedef struct packing { /* of a scan */
    jpeg_packer *p;
    jpeg_mcu mcu;
    int dc[JPEG_COMPONENTS];
} packing;

/* A row of blocks outside the window only passes on its DC coefficients. */
static int pass(packing *k, int count, const int16_t *block)
{
    unsigned bad = 0;
    for (; count > 0; count--)
        for (int i = 0; i < k->mcu.slots; i++, block += 64) {
            int dc = k->dc[k->mcu.slot[i].component] += block[0];
            bad |= (unsigned)(dc + 32768) & ~65535u; /* libjpeg keeps 16 bits of it */
        }
    k->p->bad |= bad;
    return k->p->bad == 0;
}

static void keep(packing *k, int y, int x, int count, const int16_t *block)
{
    jpeg_packer *p = k->p;
    for (int end = x + count; x < end; x++)
        for (int i = 0; i < k->mcu.slots; i++, block += 64) {
            int id = k->mcu.slot[i].component, dc = k->dc[id] += block[0];
            const jpeg_component *c = &p->f->c[id];
            int row = (y - p->r.y0) * c->v + k->mcu.slot[i].y;
            p->bad |= (unsigned)(dc + 32768) & ~65535u;
            __builtin_prefetch(block + AHEAD * 64); /* the second lane's have left the near cache */
            __builtin_prefetch(block + AHEAD * 64 + 32);
            one_block(p, p->block[id] + row * p->wide[id] + (x - p->r.x0) * c->h + k->mcu.slot[i].x,
                      p->f->quant[c->quant], block, dc);
        }
}

static int pack(void *ctx, int y, int x, int count, int16_t *block)
{
    packing *k = ctx;
    const jpeg_range *r = &k->p->r;
    int end = x + count, from = x < r->x0 ? r->x0 : x, to = end > r->x1 ? r->x1 : end;
    size_t each = (size_t)k->mcu.slots * 64;
    if (y < r->y0 || y >= r->y1 || from >= to) return pass(k, count, block);
    pass(k, from - x, block);
    keep(k, y, from, to - from, block + (size_t)(from - x) * each);
    return pass(k, end - to, block + (size_t)(to - x) * each);
}

int jpeg_pack_scan(jpeg_packer *p, const jpeg_tables *t, const jpeg_scan *scan, uint8_t *clean,
                   int16_t *lanes)
{
    packing k;
    size_t n;
    const uint8_t *marker = jpeg_unstuff(scan->data, scan->bytes, clean, &n);
    if (marker == NULL || marker[1] != 0xd9) return 0;
    memset(clean + n, 0, JPEG_CLEAN_PAD);
    memset(&k, 0, sizeof k);
    k.p = p;
    jpeg_mcu_of(&k.mcu, p->f, t, scan);
    return jpeg_lanes_decode(p->f, &k.mcu, clean, n, lanes, pack, &k);
}

int jpeg_pack_frame(jpeg_packer *p)
{
    for (int i = 0; i < p->f->n; i++) {
        const jpeg_component *c = &p->f->c[i];
        record_block *b = p->block[i];
        for (int y = p->r.y0 * c->v; y < p->r.y1 * c->v; y++)
            for (int x = p->r.x0 * c->h; x < p->r.x1 * c->h; x++, b++) {
                const int16_t *block = c->block + ((size_t)y * c->across + (size_t)x) * 64;
                one_block(p, b, p->f->quant[c->quant], block, block[0]);
            }
    }
    return p->bad == 0;
}
#endif
