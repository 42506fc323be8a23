#include "score/stats/shuffle.h"

enum { N = 624, M = 397 };

void mt19937_seed(mt19937 *r, uint32_t seed)
{
    r->state[0] = seed;
    for (uint32_t i = 1; i < N; i++)
        r->state[i] = UINT32_C(1812433253) * (r->state[i - 1] ^ r->state[i - 1] >> 30) + i;
    r->at = N;
}

static void refill(mt19937 *r)
{
    for (size_t i = 0; i < N; i++) {
        uint32_t y = (r->state[i] & UINT32_C(0x80000000)) | (r->state[(i + 1) % N] & UINT32_C(0x7fffffff));
        r->state[i] = r->state[(i + M) % N] ^ y >> 1 ^ (y & 1 ? UINT32_C(0x9908b0df) : 0);
    }
    r->at = 0;
}

uint32_t mt19937_next(mt19937 *r)
{
    uint32_t y;
    if (r->at == N) refill(r);
    y = r->state[r->at++];
    y ^= y >> 11;
    y ^= y << 7 & UINT32_C(0x9d2c5680);
    y ^= y << 15 & UINT32_C(0xefc60000);
    return y ^ y >> 18;
}

/* Uniform in 0..most. */
static size_t interval(mt19937 *r, size_t most)
{
    uint32_t mask = (uint32_t)most, v;
    for (int shift = 1; shift < 32; shift *= 2)
        mask |= mask >> shift;
    do {
        v = mt19937_next(r) & mask;
    } while (v > most);
    return v;
}

void legacy_shuffle(mt19937 *r, size_t *v, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        size_t j = interval(r, i), t = v[i];
        v[i] = v[j];
        v[j] = t;
    }
}
