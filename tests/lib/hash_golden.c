#include "tests/lib/hash_golden.h"
#include "common/err.h"
#include "common/mem.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PART = 1 << 16 }; /* elements written at a time */

/* FNV-1a of the name. */
static uint64_t hash_name(const char *name)
{
    uint64_t h = 14695981039346656037u;
    for (const unsigned char *p = (const unsigned char *)name; *p != '\0'; p++)
        h = (h ^ *p) * 1099511628211u;
    return h;
}

/* The SplitMix64 finaliser of element i. */
static double uniform(uint64_t h, uint64_t i)
{
    uint64_t z = h + (i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-23 - 1.0;
}

double hash_uniform(const char *name, unsigned long i)
{
    return uniform(hash_name(name), i);
}

static int ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), t = strlen(tail);
    return n >= t && strcmp(s + n - t, tail) == 0;
}

static int one_of(const char *s, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(s, *names) == 0) return 1;
    return 0;
}

typedef struct rule { /* every tensor is offset + scale U */
    double offset, scale;
} rule;

static rule rule_of(const char *name, const size_t *dim, int rank, double gain)
{
    static const char *const embeddings[] = { "cls_token", "class_token", "pos_embed",
                                              "pos_embedding", NULL };
    static const char *const layer_scales[] = { "layer_scale", "gamma", NULL };
    const char *dot = strrchr(name, '.'), *last = dot != NULL ? dot + 1 : name;
    double fan_in = 1;
    for (int k = 1; k < rank; k++)
        fan_in *= (double)dim[k];
    if (strcmp(last, "running_mean") == 0) return (rule){ 0, 0.1 };
    if (strcmp(last, "running_var") == 0) return (rule){ 1, 0.5 };
    if (one_of(last, embeddings)) return (rule){ 0, 0.5 };
    if (strcmp(last, "relative_position_bias_table") == 0) return (rule){ 0, 1 };
    if (one_of(last, layer_scales)) return (rule){ 0.5, 0.3 };
    if (rank == 1) return strcmp(last, "weight") == 0 ? (rule){ 1, 0.3 } : (rule){ 0, 0.2 };
    if (rank == 4) return (rule){ 0, sqrt(3 * gain / fan_in) };
    if (ends_with(name, "kqv.weight")) return (rule){ 0, 0.25 * sqrt(3 / fan_in) };
    if (strcmp(last, "w") == 0) return (rule){ 0, sqrt(3) };
    return (rule){ 0, sqrt(3 / fan_in) };
}

void hash_tensor(float *out, size_t from, size_t n, const char *name, const size_t *dim, int rank,
                 double gain)
{
    const rule r = rule_of(name, dim, rank, gain);
    const uint64_t h = hash_name(name);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)(r.offset + r.scale * uniform(h, from + i));
}

/* The parameter's name in files of the layout; NULL: the graph's own. */
static const char *key_of(const layout *l, const param *p, char key[KEY_MAX])
{
    if (l == NULL) return p->name;
    return layout_key(l, p, key, KEY_MAX, 0) == 1 ? key : NULL;
}

/* What probes bring or derive is in no file. */
static int is_stored(const param *p)
{
    return p->given == NULL && p->base < 0;
}

static size_t header(char *text, size_t room, const graph *g, const layout *l)
{
    size_t n = 0, at = 0;
    for (size_t i = 0; i < graph_params(g); i++) {
        const param *p = graph_param(g, (int)i);
        char key[KEY_MAX];
        if (!is_stored(p)) continue;
        n += (size_t)snprintf(text + n, room - n, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[",
                              at > 0 ? "," : "{", key_of(l, p, key));
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

int hash_write_weights(const char *path, const graph *g, const layout *l, double gain)
{
    int rc = 0;
    size_t room = 64;
    char *text = NULL;
    float *part = NULL;
    FILE *f = NULL;
    uint64_t n;
    for (size_t i = 0; i < graph_params(g); i++) {
        char key[KEY_MAX];
        const char *name = is_stored(graph_param(g, (int)i)) ? key_of(l, graph_param(g, (int)i), key) : "";
        CHECK(name != NULL, ERR_INTERNAL, "%s: not one tensor in a file", graph_param(g, (int)i)->name);
        room += strlen(name) + 200;
    }
    TRY(mem_new(&text, room, 1, "header"));
    TRY(mem_new(&part, PART, sizeof *part, "weights"));
    n = header(text, room, g, l);
    f = fopen(path, "wb");
    CHECK(f != NULL, ERR_ENV, "%s: cannot write", path);
    CHECK(fwrite(&n, 8, 1, f) == 1 && fwrite(text, 1, n, f) == n, ERR_ENV, "%s: cannot write", path);
    for (size_t i = 0; i < graph_params(g); i++) {
        const param *p = graph_param(g, (int)i);
        char key[KEY_MAX];
        if (!is_stored(p)) continue;
        for (size_t at = 0, k; at < p->count; at += k) {
            k = p->count - at < PART ? p->count - at : PART;
            hash_tensor(part, at, k, key_of(l, p, key), p->dim, p->rank, gain);
            CHECK(fwrite(part, 4, k, f) == k, ERR_ENV, "%s: cannot write", path);
        }
    }
done:
    if (f != NULL && fclose(f) != 0 && rc == 0) rc = err_set(ERR_ENV, "%s: cannot write", path);
    free(part);
    free(text);
    return rc;
}

void hash_input(float *x, int n, int side)
{
    const uint64_t detail = hash_name("input"), level = hash_name("inputdc");
    size_t area = (size_t)side * (size_t)side, i = 0;
    for (size_t plane = 0; plane < (size_t)n * 3; plane++)
        for (size_t k = 0; k < area; k++, i++)
            x[i] = (float)(uniform(detail, i) + 2 * uniform(level, plane));
}
