/* Tables of Swin that timm <= 0.8, the official code and torchvision keep in their files though they
 * follow from the window size alone (models.md 4.3):
 *   relative_position_index [n,n] or flat, n = w w: (y_i - y_j + w - 1)(2 w - 1) + x_i - x_j + w - 1
 *   attn_mask [windows,n,n] for a shift of floor(w / 2): 0 between tokens of one region of the rolled map,
 *   -100 between others.
 * Nothing reads them; a file in which they differ is of another network. */
#include "extract/weights_impl.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { WINDOW_MAX = 64, WINDOWS_MAX = 4096 };

static int ends_in(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* The smallest root with root^power >= n, up to `most`. */
static int root_of(size_t n, int power, int most)
{
    for (int r = 1; r <= most; r++) {
        size_t v = 1;
        for (int i = 0; i < power; i++)
            v *= (size_t)r;
        if (v >= n) return v == n ? r : 0;
    }
    return 0;
}

static int index_check(const array *a, const char *path)
{
    int rc = 0, w = root_of(a->count, 4, WINDOW_MAX), n = w * w;
    int64_t *v = NULL;
    CHECK(w > 0, ERR_INPUT, "%s: '%s' has %zu elements, not those of square windows", path, a->name,
          a->count);
    TRY(mem_new(&v, a->count, sizeof *v, a->name));
    TRY(array_to_i64(a, v));
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            int want = (i / w - j / w + w - 1) * (2 * w - 1) + i % w - j % w + w - 1;
            CHECK(v[i * n + j] == want, ERR_INPUT,
                  "%s: '%s' has %lld for tokens %d and %d, the network uses %d", path, a->name,
                  (long long)v[i * n + j], i, j, want);
        }
done:
    free(v);
    return rc;
}

/* Region of a rolled coordinate on an axis of `side`, window w. */
static int region(int at, int side, int w)
{
    return at < side - w ? 0 : at < side - w / 2 ? 1 : 2;
}

static int mask_check(const array *a, const char *path)
{
    int rc = 0, windows = 0, w = 0, n;
    float *v = NULL;
    if (a->rank == 3 && a->dim[1] == a->dim[2]) {
        windows = root_of(a->dim[0], 2, WINDOWS_MAX);
        w = root_of(a->dim[1], 2, WINDOW_MAX);
    }
    CHECK(windows > 0 && w > 0 && a->count > 0, ERR_INPUT,
          "%s: '%s' has no shape [windows,tokens,tokens] of square maps", path, a->name);
    n = w * w;
    TRY(mem_new_aligned(&v, a->count, sizeof *v, a->name));
    array_to_f32(a, v);
    for (size_t k = 0; k < a->count; k++) {
        int j = (int)(k % (size_t)n), i = (int)(k / (size_t)n % (size_t)n);
        int at = (int)(k / ((size_t)n * (size_t)n)), y = at / windows * w, x = at % windows * w;
        int side = windows * w;
        int same = region(y + i / w, side, w) == region(y + j / w, side, w) &&
                   region(x + i % w, side, w) == region(x + j % w, side, w);
        CHECK(v[k] == (same ? 0.0f : -100.0f), ERR_INPUT,
              "%s: '%s' has %g between tokens %d and %d of window %d, the network uses %d", path,
              a->name, (double)v[k], i, j, at, same ? 0 : -100);
    }
done:
    free(v);
    return rc;
}

int stored_table_check(const array *a, const char *path)
{
    if (ends_in(a->name, "relative_position_index")) return index_check(a, path);
    if (ends_in(a->name, "attn_mask")) return mask_check(a, path);
    return 0;
}
