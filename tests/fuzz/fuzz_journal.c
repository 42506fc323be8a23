/* Any bytes as a journal: parsed without a fault, and what it accepts is a prefix that it accepts again,
 * with the same commits.  libFuzzer's entry; with -DFUZZ_MAIN a program that mutates a real journal. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/feature/feature_journal.h"

typedef struct sum {
    uint64_t commits, hash;
} sum;

static int on_commit(void *arg, const journal_commit *c)
{
    sum *s = arg;
    s->commits++;
    s->hash = s->hash * 31 + c->begin * 7 + c->end;
    for (size_t i = 0; i < c->n_digests; i++)
        s->hash = s->hash * 31 + c->digest[i].set + c->digest[i].block + c->digest[i].sha256[31];
    for (size_t i = 0; i < c->n_bad; i++)
        s->hash = s->hash * 31 + c->bad[i].row + c->bad[i].status + strlen(c->bad[i].reason);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    journal_header *h = NULL, *again = NULL;
    sum a = {0, 0}, b = {0, 0};
    size_t used = 0, used_again = 0;
    uint8_t *prefix;
    int rc = journal_parse(data, n, "fuzz", &h, on_commit, &a, &used);
    if (rc == 0) {
        if (used > n || (used == 0 && h != NULL) || (h == NULL && a.commits > 0)) abort();
        prefix = malloc(used + 1); /* of its own size, so that a read beyond it is seen */
        memcpy(prefix, data, used);
        if (journal_parse(prefix, used, "fuzz", &again, on_commit, &b, &used_again) != 0) abort();
        if (used_again != used || a.commits != b.commits || a.hash != b.hash ||
            (h == NULL) != (again == NULL))
            abort();
        free(prefix);
    }
    journal_header_free(&h);
    journal_header_free(&again);
    err_clear();
    return 0;
}

#ifdef FUZZ_MAIN
#include <unistd.h>
#include <zlib.h>

static uint64_t state = 88172645463325252u;

static uint64_t draw(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (8 * i));
}

/* Gives every record its right checksum, so that mutations reach what lies behind it. */
static void mend(uint8_t *p, size_t n)
{
    uint32_t before = 0;
    for (size_t at = 0; at + 16 <= n;) {
        size_t body = (size_t)p[at + 8] | (size_t)p[at + 9] << 8 | (size_t)p[at + 10] << 16 |
                      (size_t)p[at + 11] << 24;
        uint8_t chain[4];
        uLong c = crc32(0, NULL, 0);
        if (body > n - at - 16) return;
        put32(chain, before);
        c = crc32(crc32(c, chain, 4), p + at + 4, 8);
        before = (uint32_t)crc32_z(c, p + at + 16, body);
        put32(p + at + 12, before);
        at += 16 + body;
    }
}

int main(int argc, char **argv)
{
    char name[] = "/tmp/fuzz-journal-XXXXXX";
    journal_place place[2] = {{(char[]){"features"}, 4096, 800}, {(char[]){"status"}, 8192, 200}};
    journal_header h = {.identity_text = (char[]){"{\"rows\":200}"},
                        .provenance = (char[]){"{}"},
                        .file_bytes = 9000,
                        .complete_at = 700,
                        .place = place,
                        .n_places = 2};
    journal_digest digest[2] = {{.set = 0, .block = 0}, {.set = 1, .block = 0}};
    journal_bad bad = {3, 2, (char[]){"missing"}};
    journal_commit c = {
        .begin = 0, .end = 100, .digest = digest, .n_digests = 2, .bad = &bad, .n_bad = 1};
    journal *j = NULL;
    uint8_t base[4096], copy[4096 + 64];
    size_t n, runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    FILE *f;
    memset(h.metadata, 'a', 64);
    if (mkstemp(name) < 0 || unlink(name) < 0 || journal_create(&j, name, &h) < 0 ||
        journal_append(j, &c) < 0)
        return 1;
    c.begin = 100, c.end = 200, c.n_bad = 0;
    if (journal_append(j, &c) < 0) return 1;
    journal_close(&j);
    f = fopen(name, "rb");
    n = f != NULL ? fread(base, 1, sizeof base, f) : 0;
    if (n < 200 || n == sizeof base) return 1;
    fclose(f);
    unlink(name);
    for (size_t i = 0; i < runs; i++) {
        size_t k = n, edits = 1 + draw() % 4;
        memcpy(copy, base, n);
        while (edits-- > 0) {
            size_t at = draw() % n;
            switch (draw() % 4) {
            case 0:
                copy[at] ^= (uint8_t)(1u << draw() % 8);
                break;
            case 1:
                copy[at] = (uint8_t)draw();
                break;
            case 2:
                put32(copy + (at & ~3u), draw() % 2 ? (uint32_t)draw() : (uint32_t)(draw() % 300));
                break;
            default:
                k = draw() % (n + 1);
                break;
            }
        }
        if (i % 3 > 0) mend(copy, k);
        LLVMFuzzerTestOneInput(copy, k);
    }
    printf("ok 1 - %zu mutated journals\n1..1\n", runs);
    return 0;
}
#endif
