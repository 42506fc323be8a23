/* JPEG decoding against libjpeg-turbo, per CPU second of one thread, files from memory.
 *   entropy_bench same LIST           coefficients of every file of LIST that our decoder takes, and
 *                                     what it leaves of those that libjpeg reads; exit 1 on a
 *                                     difference
 *   entropy_bench time LIST [ROUNDS]  libjpeg and ours by turns: coefficients, all pixels, and the
 *                                     pixels of Resize(256) + CenterCrop(224) alone, and records
 *                                     of those, which kernels turn to pixels; the medians and the
 *                                     ratios of the rounds */
#include "common/err.h"
#include "extract/images/image_parts.h"
#include "extract/images/record.h"
#include "tests/lib/jpeg_reference.h"

#include <stdlib.h>
#include <time.h>

enum { FILES = 10000, ROUNDS = 101 };

typedef struct loaded {
    uint8_t *bytes;
    size_t n;
    char *path;
} loaded;

static loaded files[FILES];

static int load(const char *list)
{
    char line[4096];
    int n = 0;
    FILE *f = fopen(list, "r");
    while (f != NULL && n < FILES && fgets(line, sizeof line, f) != NULL) {
        FILE *g;
        long size;
        line[strcspn(line, "\n")] = '\0';
        g = fopen(line, "rb");
        if (g == NULL || fseek(g, 0, SEEK_END) != 0 || (size = ftell(g)) < 3) {
            if (g != NULL) fclose(g);
            continue;
        }
        rewind(g);
        files[n] = (loaded){malloc((size_t)size), (size_t)size, strdup(line)};
        if (files[n].bytes != NULL && fread(files[n].bytes, 1, (size_t)size, g) == (size_t)size &&
            memcmp(files[n].bytes, "\xff\xd8\xff", 3) == 0)
            n++;
        fclose(g);
    }
    if (f != NULL) fclose(f);
    return n;
}

static int same(int n)
{
    static jpeg_coefficients k;
    int taken = 0, progressive = 0, left = 0, differ = 0;
    for (int i = 0; i < n; i++) {
        reference r;
        int ours, theirs;
        const char *what = NULL;
        err_clear();
        ours = jpeg_coefficients_read(&k, files[i].bytes, files[i].n, files[i].path);
        theirs = reference_read(&r, files[i].bytes, files[i].n);
        if (ours == 1) {
            taken++;
            progressive += k.f.progressive;
            what = !theirs                   ? "libjpeg refuses"
                   : r.err.num_warnings != 0 ? "libjpeg warns"
                                             : reference_differs(&r, &k.f);
        } else if (theirs && r.err.num_warnings == 0) {
            left++;
            printf("left\t%s\n", files[i].path);
        }
        if (what != NULL) {
            differ++;
            printf("differs\t%s\t%s\n", files[i].path, what);
        }
        reference_close(&r);
    }
    jpeg_coefficients_clear(&k);
    printf(
        "JPEG files %d: coefficients of %d are libjpeg's (%d progressive), %d sound ones left to "
        "libjpeg, differences %d\n",
        n, taken - differ, progressive, left, differ);
    return n == 0 || taken == 0 || differ != 0;
}

/* ---- times ----------------------------------------------------------------------------------- */

static struct {
    image im;
    jpeg_coefficients k;
    prep p;
    prep_scratch *s;
    record_memory m;
    record_limits limits;
    uint8_t out[224 * 224 * 3], staged[8 << 20];
    size_t records, record_bytes;
} mine;

static void lib_coefficients(const loaded *f)
{
    reference r;
    reference_read(&r, f->bytes, f->n);
    reference_close(&r);
}
static void our_coefficients(const loaded *f)
{
    jpeg_coefficients_read(&mine.k, f->bytes, f->n, f->path);
}
static void lib_pixels(const loaded *f)
{
    jpeg_decode_plain(&mine.im, f->bytes, f->n, f->path);
}
static void our_pixels(const loaded *f)
{
    image_decode(&mine.im, f->bytes, f->n, f->path);
}
static void our_window(const loaded *f)
{
    prep_decode(&mine.p, mine.s, &mine.im, f->bytes, f->n, f->path, mine.out);
}

/* What a decode thread does under --decode gpu, the copy into the batch's memory included. */
static void our_record(const loaded *f)
{
    record_image d;
    if (record_make(&d, &mine.m, &mine.p, mine.s, &mine.im, f->bytes, f->n, f->path, &mine.limits) != 1) {
        our_window(f);
        return;
    }
    memcpy(mine.staged, mine.m.bytes, mine.m.used);
    mine.records++;
    mine.record_bytes += mine.m.used;
}

static const struct way {
    const char *name;
    void (*go)(const loaded *);
    int against; /* the way it is compared with; itself: none */
} ways[] = {
    {"libjpeg-turbo jpeg_read_coefficients", lib_coefficients, 0},
    {"ours, coefficients", our_coefficients, 0},
    {"libjpeg-turbo, all pixels", lib_pixels, 2},
    {"ours, all pixels", our_pixels, 2},
    {"ours, pixels of the crop, resized", our_window, 2},
    {"ours, record of the crop (--decode gpu)", our_record, 2},
};
enum { WAYS = sizeof ways / sizeof *ways };

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *v, int n, double *least, double *most)
{
    double s[ROUNDS];
    memcpy(s, v, (size_t)n * sizeof *s);
    qsort(s, (size_t)n, sizeof *s, ascending);
    *least = s[0];
    *most = s[n - 1];
    return s[n / 2];
}

static int times(int n, int rounds)
{
    static double t[WAYS][ROUNDS];
    const prep_native native = {.side = 224, .preset = "gen", .std = {1, 1, 1}};
    double ratio[ROUNDS], least, most, bytes = 0;
    if (prep_resolve(&mine.p, "gen:resize=256,crop=224", &native) < 0 ||
        prep_scratch_new(&mine.s) < 0)
        return 2;
    mine.limits = record_limits_of(32, 224, 224);
    for (int i = 0; i < n; i++)
        bytes += (double)files[i].n;
    for (int round = -1; round < rounds; round++) /* the first one warms up */
        for (int w = 0; w < WAYS; w++) {
            double start = cpu_seconds();
            for (int i = 0; i < n; i++) {
                err_clear();
                ways[w].go(&files[i]);
            }
            if (round >= 0) t[w][round] = (cpu_seconds() - start) / n;
        }
    printf("%d files of %.1f KB, %d rounds, one thread, CPU seconds\n", n, bytes / n / 1e3, rounds);
    for (int w = 0; w < WAYS; w++) {
        double m = median(t[w], rounds, &least, &most);
        printf("%-40s %8.1f images/s  %7.3f ms", ways[w].name, 1 / m, m * 1e3);
        if (ways[w].against != w) {
            for (int i = 0; i < rounds; i++)
                ratio[i] = t[ways[w].against][i] / t[w][i];
            m = median(ratio, rounds, &least, &most);
            printf("  %.2fx [%.2f-%.2f]", m, least, most);
        }
        printf("\n");
    }
    printf("records of %zu KB, %.1f %% of the files\n", mine.record_bytes / (mine.records + 1) / 1000,
           100.0 * (double)mine.records / ((double)n * (rounds + 1)));
    record_memory_clear(&mine.m);
    prep_scratch_free(&mine.s);
    image_clear(&mine.im);
    jpeg_coefficients_clear(&mine.k);
    return 0;
}

int main(int argc, char **argv)
{
    int rc = 2, n = argc >= 3 ? load(argv[2]) : 0, rounds = argc >= 4 ? atoi(argv[3]) : 5;
    if (argc == 3 && strcmp(argv[1], "same") == 0) rc = same(n);
    else if (argc >= 3 && strcmp(argv[1], "time") == 0 && n > 0 && rounds > 0 && rounds <= ROUNDS)
        rc = times(n, rounds);
    else fputs("usage: entropy_bench same LIST | time LIST [ROUNDS]\n", stderr);
    for (int i = 0; i < n; i++) {
        free(files[i].bytes);
        free(files[i].path);
    }
    return rc;
}
