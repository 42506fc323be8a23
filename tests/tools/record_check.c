/* Decoding with the kernels' CPU twins against decoding on the CPU, bit for bit.
 *   record_check LIST [RECIPE...]   every file of LIST through each --prep recipe; exit 1 on a difference */
#include "tests/lib/record_twin.h"

static uint8_t *bytes;
static size_t room;

static long read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    long n = -1;
    if (f == NULL) return -1;
    if (fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0 && n < 256 << 20) {
        rewind(f);
        if ((size_t)n > room) {
            free(bytes);
            bytes = malloc((size_t)n);
            room = (size_t)n;
        }
        if (bytes == NULL || fread(bytes, 1, (size_t)n, f) != (size_t)n) n = -1;
    }
    fclose(f);
    return n;
}

int main(int argc, char **argv)
{
    static const char *const usual[] = {"torchvision", "gen", "timm:filter=bicubic", NULL};
    const char *const *recipes = argc > 2 ? (const char *const *)(argv + 2) : usual;
    int bad = 0, all = 0, taken = 0;
    if (argc < 2) {
        fputs("usage: record_check LIST [RECIPE...]\n", stderr);
        return 2;
    }
    for (int r = 0; recipes[r] != NULL; r++) {
        twin_ways k;
        char line[4096];
        FILE *f = fopen(argv[1], "r");
        int now = 0, of = 0;
        if (f == NULL || twin_open(&k, recipes[r], 224) < 0) {
            fprintf(stderr, "record_check: %s: %s\n", recipes[r], f == NULL ? argv[1] : err_text());
            return 2;
        }
        while (fgets(line, sizeof line, f) != NULL) {
            long n;
            int rc;
            line[strcspn(line, "\n")] = '\0';
            n = read_file(line);
            if (n < 1) continue;
            of++;
            rc = twin_compare(&k, bytes, (size_t)n, line);
            now += rc == 1;
            if (rc < 0) {
                bad++;
                printf("differs\t%s\t%s\n", recipes[r], line);
            }
        }
        printf("%s: %d files, %d of them as records\n", recipes[r], of, now);
        all += of;
        taken += now;
        fclose(f);
        twin_close(&k);
    }
    printf("files x recipes %d, as records %d, differences %d\n", all, taken, bad);
    free(bytes);
    return all == 0 || bad != 0;
}
