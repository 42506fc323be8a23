#include "tests/lib/hash_golden.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FNV-1a of the name, then the SplitMix64 finaliser. */
double hash_uniform(const char *name, unsigned long i)
{
    uint64_t h = 14695981039346656037u, z;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++)
        h = (h ^ *p) * 1099511628211u;
    z = h + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1.0;
}

static int ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), t = strlen(tail);
    return n >= t && strcmp(s + n - t, tail) == 0;
}

static double value(const param *p, double gain, size_t i)
{
    double u = hash_uniform(p->name, i), fan_in = 1;
    for (int k = 1; k < p->rank; k++)
        fan_in *= (double)p->dim[k];
    if (ends_with(p->name, "running_mean")) return 0.1 * u;
    if (ends_with(p->name, "running_var")) return 1 + 0.5 * u;
    if (p->rank == 1) return ends_with(p->name, "weight") ? 1 + 0.3 * u : 0.2 * u;
    return u * sqrt(3 * (p->rank == 4 ? gain : 1) / fan_in);
}

static size_t header(char *text, size_t room, const graph *g)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < graph_params(g); i++) {
        const param *p = graph_param(g, (int)i);
        n += (size_t)snprintf(text + n, room - n, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                              i > 0 ? "," : "{", p->name);
        for (int k = 0; k < p->rank; k++)
            n += (size_t)snprintf(text + n, room - n, "%s%zu", k > 0 ? "," : "", p->dim[k]);
        n += (size_t)snprintf(text + n, room - n, "],\"data_offsets\":[%zu,%zu]}", at,
                              at + 4 * p->count);
        at += 4 * p->count;
    }
    text[n++] = '}';
    while (n % 8 != 0)
        text[n++] = ' ';
    return n;
}

int hash_write_weights(const char *path, const graph *g, double gain)
{
    int rc = 0;
    size_t room = 1 << 20;
    char *text = NULL;
    FILE *f = NULL;
    uint64_t n;
    TRY(mem_new(&text, room, 1, "header"));
    n = header(text, room, g);
    f = fopen(path, "wb");
    CHECK(f != NULL, ERR_ENV, "%s: cannot write", path);
    CHECK(fwrite(&n, 8, 1, f) == 1 && fwrite(text, 1, n, f) == n, ERR_ENV, "%s: cannot write", path);
    for (size_t i = 0; i < graph_params(g); i++)
        for (size_t k = 0; k < graph_param(g, (int)i)->count; k++) {
            float v = (float)value(graph_param(g, (int)i), gain, k);
            CHECK(fwrite(&v, 4, 1, f) == 1, ERR_ENV, "%s: cannot write", path);
        }
done:
    if (f != NULL && fclose(f) != 0 && rc == 0) rc = err_set(ERR_ENV, "%s: cannot write", path);
    free(text);
    return rc;
}

void hash_input(float *x, int n, int side)
{
    size_t area = (size_t)side * (size_t)side, i = 0;
    for (size_t plane = 0; plane < (size_t)n * 3; plane++)
        for (size_t k = 0; k < area; k++, i++)
            x[i] = (float)(hash_uniform("input", i) + 2 * hash_uniform("inputdc", plane));
}
