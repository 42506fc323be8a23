/* Decoder and resizer, file by file, for comparison with Pillow from outside.
 *   decode_check hostile DIR          every jpeg/ and png/ row of DIR/pillow_rgb.tsv; exit 1 on a
 *                                     pixel difference or a verdict difference not listed in
 *     [--differences TSV]             a table of known ones
 *   decode_check rgb LIST             per file of LIST: sha256 of w, h and RGB, or the refusal
 *   decode_check prep LIST SIDE FILTER CROP   per file: sha256 after resizing (SIDE "256" or "224x224",
 *                                     FILTER bilinear or bicubic, CROP a side or none) */
#include "common/err.h"
#include "extract/image.h"
#include "extract/preprocess.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

static void hex_of(const uint8_t *p, size_t n, char hex[65])
{
    unsigned char d[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(p, n, d, &size, EVP_sha256(), NULL);
    for (unsigned i = 0; i < size; i++)
        snprintf(hex + 2 * i, 3, "%02x", d[i]);
}

static int read_file(const char *path, uint8_t **bytes, size_t *n)
{
    FILE *f = fopen(path, "rb");
    long size;
    *bytes = NULL;
    if (f == NULL) return -1;
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    *bytes = malloc(size > 0 ? (size_t)size : 1);
    *n = *bytes != NULL ? fread(*bytes, 1, (size_t)size, f) : 0;
    fclose(f);
    return *bytes != NULL && *n == (size_t)size ? 0 : -1;
}

static int decode_file(image *im, const char *path)
{
    uint8_t *bytes;
    size_t n;
    int rc;
    err_clear();
    if (read_file(path, &bytes, &n) != 0) {
        free(bytes);
        return err_set(ERR_INPUT, "%s: cannot be read", path);
    }
    rc = image_decode(im, bytes, n, path);
    free(bytes);
    return rc;
}

/* ---- hostile ---------------------------------------------------------------------------------- */

typedef struct tally {
    int files, both_decode, both_refuse, only_pillow, only_ours, pixels_differ, unlisted;
} tally;

static int listed(const char *table, const char *file)
{
    char line[4096];
    size_t n = strlen(file);
    FILE *f = table != NULL ? fopen(table, "r") : NULL;
    int found = 0;
    if (f == NULL) return 0;
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = strncmp(line, file, n) == 0 && line[n] == '\t';
    fclose(f);
    return found;
}

static void check_row(tally *t, image *im, const char *dir, char *const *col, const char *table)
{
    char path[4096], hex[65];
    int rc, want = strcmp(col[5], "ok") == 0;
    snprintf(path, sizeof path, "%s/%s", dir, col[0]);
    rc = decode_file(im, path);
    t->files++;
    if (rc == 0 && want) {
        t->both_decode++;
        hex_of(im->rgb, (size_t)im->w * (size_t)im->h * 3, hex);
        if (strcmp(hex, col[6]) == 0) return;
        t->pixels_differ++;
        printf("pixels\t%s\t%s\n", col[0], col[1]);
    } else if (rc < 0 && !want) {
        t->both_refuse++;
    } else {
        int known = listed(table, col[0]);
        if (want) t->only_pillow++;
        else t->only_ours++;
        t->unlisted += !known;
        printf("verdict\t%s\t%s\t%s\n", known ? "listed" : "NEW", col[0], rc < 0 ? err_text() : col[6]);
    }
}

static int hostile(const char *dir, const char *table)
{
    char path[4096], line[8192], *col[11];
    image im = { 0 };
    tally t = { 0 };
    FILE *f;
    snprintf(path, sizeof path, "%s/pillow_rgb.tsv", dir);
    f = fopen(path, "r");
    if (f == NULL) return 2;
    while (fgets(line, sizeof line, f) != NULL) {
        char *s = line;
        int n = 0;
        while (n < 11 && s != NULL)
            col[n++] = strsep(&s, "\t\n");
        if (n < 7 || (strncmp(line, "jpeg/", 5) != 0 && strncmp(line, "png/", 4) != 0)) continue;
        check_row(&t, &im, dir, col, table);
    }
    fclose(f);
    image_clear(&im);
    printf("files %d: both decode %d (pixels differ %d), both refuse %d, only Pillow decodes %d, only "
           "we decode %d; verdict differences not listed %d\n",
           t.files, t.both_decode, t.pixels_differ, t.both_refuse, t.only_pillow, t.only_ours, t.unlisted);
    return t.files == 0 || t.pixels_differ != 0 || t.unlisted != 0 || t.only_pillow + t.only_ours > 20;
}

/* ---- rgb, prep -------------------------------------------------------------------------------- */

static void print_image(const char *path, int rc, int w, int h, const uint8_t *rgb)
{
    char hex[65];
    if (rc < 0) {
        printf("%s\trefused\t%s\n", path, err_text());
        return;
    }
    hex_of(rgb, (size_t)w * (size_t)h * 3, hex);
    printf("%s\t%d\t%d\t%s\n", path, w, h, hex);
}

static int each(const char *list, const prep *p)
{
    char line[4096];
    image im = { 0 };
    prep_scratch *s = NULL;
    uint8_t *out = NULL;
    FILE *f = fopen(list, "r");
    if (f == NULL) return 2;
    if (p != NULL) {
        out = malloc((size_t)p->out_w * (size_t)p->out_h * 3);
        if (out == NULL || prep_scratch_new(&s) < 0) return 1;
    }
    while (fgets(line, sizeof line, f) != NULL) {
        int rc;
        line[strcspn(line, "\n")] = '\0';
        rc = decode_file(&im, line);
        if (rc == 0 && p != NULL) rc = prep_apply(p, s, &im, out);
        if (p != NULL) print_image(line, rc, p->out_w, p->out_h, out);
        else print_image(line, rc, im.w, im.h, im.rgb);
    }
    fclose(f);
    free(out);
    prep_scratch_free(&s);
    image_clear(&im);
    return 0;
}

static int prep_list(char **argv)
{
    prep_native native = { .side = 224, .preset = "gen", .std = { 1, 1, 1 } };
    char text[256];
    prep p;
    snprintf(text, sizeof text, "gen:resize=%s,filter=%s,crop=%s", argv[3], argv[4], argv[5]);
    if (prep_resolve(&p, text, &native) < 0) {
        fprintf(stderr, "decode_check: %s\n", err_text());
        return 2;
    }
    return each(argv[2], &p);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "hostile") == 0)
        return hostile(argv[2], argc >= 5 && strcmp(argv[3], "--differences") == 0 ? argv[4] : NULL);
    if (argc == 3 && strcmp(argv[1], "rgb") == 0) return each(argv[2], NULL);
    if (argc == 6 && strcmp(argv[1], "prep") == 0) return prep_list(argv);
    fputs("usage: decode_check hostile DIR [--differences TSV] | rgb LIST | prep LIST SIDE FILTER CROP\n",
          stderr);
    return 2;
}
