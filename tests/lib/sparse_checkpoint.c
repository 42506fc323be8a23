#include "tests/lib/sparse_checkpoint.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void parse_shape(sparse_tensor *t, char *text)
{
    t->rank = 0;
    if (strcmp(text, "scalar") == 0) return;
    for (char *p = text, *end; t->rank < 4; p = end + 1) {
        t->dim[t->rank++] = strtoull(p, &end, 10);
        if (*end != 'x') break;
    }
}

size_t sparse_read(FILE *f, char *network, size_t room, sparse_tensor **v)
{
    char line[1024];
    size_t n = 0, have = 0;
    long start = ftell(f);
    free(*v);
    *v = NULL;
    for (; fgets(line, sizeof line, f) != NULL; start = ftell(f)) {
        char *field[5], *at = line;
        int k = 0;
        line[strcspn(line, "\n")] = '\0';
        while (k < 5 && (field[k] = strsep(&at, "\t")) != NULL)
            k++;
        if (k < 5 || line[0] == '#' || strcmp(field[1], "index") == 0) continue;
        if (n > 0 && strcmp(field[0], network) != 0) {
            fseek(f, start, SEEK_SET);
            break;
        }
        if (mem_grow(v, &have, n + 1, sizeof **v, "keys") < 0) abort();
        snprintf(network, room, "%s", field[0]);
        (*v)[n] = (sparse_tensor){ .rank = 0 };
        snprintf((*v)[n].key, sizeof (*v)[n].key, "%s", field[2]);
        parse_shape(&(*v)[n], field[3]);
        (*v)[n].is_int = strcmp(field[4], "int64") == 0;
        n++;
    }
    return n;
}

static size_t bytes_of(const sparse_tensor *t)
{
    size_t n = t->is_int ? 8 : 4;
    for (int i = 0; i < t->rank; i++)
        n *= t->dim[i];
    return n;
}

int sparse_checkpoint(char *path, const sparse_tensor *v, size_t n)
{
    int rc = 0, fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    uint64_t header = 0;
    size_t at = 0;
    long end;
    CHECK(f != NULL, ERR_ENV, "%s: cannot be made", path);
    fwrite(&header, 8, 1, f);
    fputc('{', f);
    for (size_t i = 0; i < n; i++) {
        fprintf(f, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i > 0 ? "," : "", v[i].key,
                v[i].is_int ? "I64" : "F32");
        for (int k = 0; k < v[i].rank; k++)
            fprintf(f, "%s%zu", k > 0 ? "," : "", v[i].dim[k]);
        fprintf(f, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes_of(&v[i]));
        at += bytes_of(&v[i]);
    }
    fputc('}', f);
    while ((end = ftell(f)) % 8 != 0)
        fputc(' ', f);
    header = (uint64_t)end - 8;
    rewind(f);
    fwrite(&header, 8, 1, f);
    at = 0;
    for (size_t i = 0; i < n; at += bytes_of(&v[i++])) {
        if (v[i].data == NULL) continue;
        fseek(f, end + (long)at, SEEK_SET);
        fwrite(v[i].data, bytes_of(&v[i]), 1, f);
    }
    CHECK(!ferror(f) && fflush(f) == 0 && ftruncate(fd, end + (long)at) == 0, ERR_ENV,
          "%s: cannot be written", path);
done:
    if (f != NULL) fclose(f);
    return rc;
}
