/* Files in every container against what PyTorch and numpy put in (tests/golden/make_arrays.py), then the
 * same files cut at every byte and with bytes changed. */
#include "common/arrays.h"
#include "common/digest.h"
#include "common/err.h"
#include "tests/unit/build_files.h"

#include <setjmp.h>
#include <math.h>
#include <cmocka.h>

static const char folder[] = "tests/golden/arrays";

typedef struct row {
    char file[64], container[32], wrapper[32], name[64], type[8], shape[64], sha256[65];
} row;

static row rows[400];
static size_t n_rows;

/* Tab-separated fields, some of them empty. */
static void take(char **line, char *out, size_t room)
{
    size_t n = strcspn(*line, "\t\n");
    assert_true(n < room);
    memcpy(out, *line, n);
    out[n] = '\0';
    *line += n + (n < strlen(*line));
}

static int read_rows(void **state)
{
    char path[256], line[1024];
    FILE *f;
    (void)state;
    snprintf(path, sizeof path, "%s/expected.tsv", folder);
    f = fopen(path, "r");
    if (f == NULL) return -1;
    while (fgets(line, sizeof line, f) != NULL) {
        row *r = &rows[n_rows];
        char *at = line;
        if (line[0] == '#') continue;
        take(&at, r->file, sizeof r->file);
        take(&at, r->container, sizeof r->container);
        take(&at, r->wrapper, sizeof r->wrapper);
        take(&at, r->name, sizeof r->name);
        take(&at, r->type, sizeof r->type);
        take(&at, r->shape, sizeof r->shape);
        take(&at, r->sha256, sizeof r->sha256);
        n_rows++;
    }
    fclose(f);
    return n_rows > 100 ? 0 : -1;
}

static void open_golden(const char *file, arrays **a)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    err_clear();
    if (arrays_open(a, path) != 0) fail_msg("%s", err_text());
}

static void golden_files(void **state)
{
    (void)state;
    for (size_t i = 0, end; i < n_rows; i = end) {
        arrays *a = NULL;
        open_golden(rows[i].file, &a);
        assert_string_equal(arrays_container(a), rows[i].container);
        assert_string_equal(arrays_wrapper(a), rows[i].wrapper);
        for (end = i; end < n_rows && strcmp(rows[end].file, rows[i].file) == 0; end++) {
            const array *v = arrays_find(a, rows[end].name);
            char shape[64] = "", hex[65];
            size_t at = 0;
            if (v == NULL) fail_msg("%s: no '%s'", rows[end].file, rows[end].name);
            for (int k = 0; k < v->rank; k++)
                at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%zu", k > 0 ? "," : "", v->dim[k]);
            digest_of(v->data, v->count * array_type_size(v->type), hex);
            if (strcmp(array_type_name(v->type), rows[end].type) != 0 ||
                strcmp(shape, rows[end].shape) != 0 || strcmp(hex, rows[end].sha256) != 0)
                fail_msg("%s: '%s' is %s [%s] %s", rows[end].file, rows[end].name,
                         array_type_name(v->type), shape, hex);
            assert_int_equal((uintptr_t)v->data % array_type_size(v->type), 0);
        }
        assert_int_equal(arrays_count(a), end - i);
        assert_null(arrays_find(a, "no such array"));
        arrays_close(&a);
        assert_null(a);
    }
}

static void file_digest(void **state)
{
    arrays *a = NULL;
    char path[256], hex[65];
    (void)state;
    open_golden("zip.pth", &a);
    snprintf(path, sizeof path, "%s/zip.pth", folder);
    assert_int_equal(digest_of_file(path, hex), 0);
    assert_string_equal(arrays_sha256(a), hex);
    assert_string_equal(arrays_sha256(a), hex);
    arrays_close(&a);
}

/* Stored data of an aligned container is used in place. */
static void data_stays_in_the_file(void **state)
{
    arrays *a = NULL;
    const array *v, *w;
    (void)state;
    open_golden("zip.pth", &a);
    v = arrays_find(a, "view");
    w = arrays_find(a, "tied");
    assert_ptr_equal(v->data, (const float *)w->data + 5); /* one storage, mapped once */
    arrays_close(&a);
}

/* ---- damage --------------------------------------------------------------------------------------- */

/* One digest over all names and data.  The names of an npz are those of the zip's members, which have
 * no checksum: the same change in both of their copies is another valid file, so they are left out. */
static void identity(const arrays *a, char hex[65])
{
    int names = strcmp(arrays_container(a), "npz") != 0;
    digest *d = NULL;
    assert_int_equal(digest_new(&d), 0);
    for (size_t i = 0; i < arrays_count(a); i++) {
        const array *v = arrays_at(a, i);
        if (names) digest_update(d, v->name, strlen(v->name) + 1);
        digest_update(d, v->dim, sizeof v->dim);
        digest_update(d, &v->type, sizeof v->type);
        digest_update(d, v->data, v->count * array_type_size(v->type));
    }
    digest_hex(d, hex);
    digest_free(&d);
}

static void each_file(void (*f)(const char *file, const char *container))
{
    for (size_t i = 0; i < n_rows; i++)
        if (i == 0 || strcmp(rows[i].file, rows[i - 1].file) != 0) f(rows[i].file, rows[i].container);
}

static void cut(const char *file, const char *container)
{
    char path[256], whole[65];
    size_t n, data_end;
    unsigned char *bytes;
    arrays *a = NULL;
    open_golden(file, &a);
    identity(a, whole);
    arrays_close(&a);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    bytes = slurp(path, &n);
    for (data_end = n; data_end > 0 && bytes[data_end - 1] == 0;)
        data_end--;
    for (size_t k = 0; k < n; k++) {
        int rc;
        err_clear();
        rc = arrays_open(&a, temp_file(bytes, k));
        if (rc == 0 && strcmp(container, "pytorch-tar") == 0 && k > data_end) {
            char now[65]; /* the zeros at the end of a tar are padding */
            identity(a, now);
            assert_string_equal(now, whole);
            arrays_close(&a);
            continue;
        }
        if (rc != ERR_INPUT) fail_msg("%s cut to %zu of %zu bytes: %d %s", file, k, n, rc, err_text());
        assert_null(a);
        if (strncmp(err_text(), temp_path, strlen(temp_path)) != 0) fail_msg("%s", err_text());
    }
    free(bytes);
}

static void every_prefix_is_refused(void **state)
{
    (void)state;
    each_file(cut);
}

static uint32_t seed = 12345;

static uint32_t rnd(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8;
}

static size_t flips, survived;

/* One to three bytes changed.  Never a crash; zips, which have checksums, never give other data. */
static void flip(const char *file, const char *container)
{
    char path[256], whole[65], now[65];
    int rounds = getenv("OUTPOST_LONG") != NULL ? 30000 : 1500;
    int checksums = strcmp(container, "npz") == 0 || strcmp(container, "pytorch-zip") == 0;
    size_t n;
    unsigned char *bytes;
    arrays *a = NULL;
    open_golden(file, &a);
    identity(a, whole);
    arrays_close(&a);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    bytes = slurp(path, &n);
    for (int round = 0; round < rounds; round++) {
        size_t at[3], k = 1 + rnd() % 3;
        unsigned char old[3];
        int rc;
        for (size_t i = 0; i < k; i++) {
            at[i] = rnd() % n;
            old[i] = bytes[at[i]];
            bytes[at[i]] = (unsigned char)(rnd() % 2 ? rnd() : old[i] ^ 1u << rnd() % 8);
        }
        err_clear();
        rc = arrays_open(&a, temp_file(bytes, n));
        flips++;
        if (rc == 0) {
            identity(a, now);
            survived++;
            if (checksums && strcmp(now, whole) != 0)
                fail_msg("%s: accepted with other data, byte %zu", file, at[0]);
            arrays_close(&a);
        } else if (rc != ERR_INPUT) {
            fail_msg("%s: %d %s", file, rc, err_text());
        }
        for (size_t i = k; i-- > 0;)
            bytes[at[i]] = old[i];
    }
    free(bytes);
}

static void changed_bytes(void **state)
{
    (void)state;
    each_file(flip);
    print_message("%zu changed files, %zu of them still read\n", flips, survived);
}

/* ---- conversions ------------------------------------------------------------------------------------ */

static void to_f32(void **state)
{
    static const double f64[] = { 1.0, 1.0 + 0x1p-24, 1.0 + 0x1.8p-24, 1e300, -0.0 };
    static const uint16_t f16[] = { 0x3c00, 0x0001, 0x83ff, 0x7bff, 0xfc00, 0x7e00, 0x0400 };
    static const uint16_t bf16[] = { 0x3f80, 0xc000, 0x7f80 };
    static const int64_t i64[] = { 16777217, -3 };
    static const uint8_t boolean[] = { 0, 1, 7 };
    float out[8];
    array a = { .name = "x", .type = ARRAY_F64, .count = 5, .data = f64 };
    (void)state;
    array_to_f32(&a, out);
    assert_true(out[0] == 1.0f && out[1] == 1.0f && out[2] == 1.0f + 0x1p-23f && isinf(out[3]));
    assert_true(signbit(out[4]));
    a = (array){ .type = ARRAY_F16, .count = 7, .data = f16 };
    array_to_f32(&a, out);
    assert_true(out[0] == 1.0f && out[1] == 0x1p-24f && out[2] == -0x1.ff8p-15f && out[3] == 65504.0f);
    assert_true(isinf(out[4]) && out[4] < 0 && isnan(out[5]) && out[6] == 0x1p-14f);
    a = (array){ .type = ARRAY_BF16, .count = 3, .data = bf16 };
    array_to_f32(&a, out);
    assert_true(out[0] == 1.0f && out[1] == -2.0f && isinf(out[2]));
    a = (array){ .type = ARRAY_I64, .count = 2, .data = i64 };
    array_to_f32(&a, out);
    assert_true(out[0] == 16777216.0f && out[1] == -3.0f);
    a = (array){ .type = ARRAY_BOOL, .count = 3, .data = boolean };
    array_to_f32(&a, out);
    assert_true(out[0] == 0.0f && out[1] == 1.0f && out[2] == 1.0f);
}

static void to_i64(void **state)
{
    static const int8_t i8[] = { -128, 127 };
    static const uint8_t u8[] = { 0, 255 };
    static const float f32[] = { 1.0f };
    int64_t out[2];
    array a = { .name = "x", .type = ARRAY_I8, .count = 2, .data = i8 };
    (void)state;
    assert_int_equal(array_to_i64(&a, out), 0);
    assert_true(out[0] == -128 && out[1] == 127);
    a = (array){ .name = "x", .type = ARRAY_U8, .count = 2, .data = u8 };
    assert_int_equal(array_to_i64(&a, out), 0);
    assert_true(out[0] == 0 && out[1] == 255);
    a = (array){ .name = "x", .type = ARRAY_BOOL, .count = 2, .data = u8 };
    assert_int_equal(array_to_i64(&a, out), 0);
    assert_true(out[0] == 0 && out[1] == 1);
    a = (array){ .name = "x", .type = ARRAY_F32, .count = 1, .data = f32 };
    err_clear();
    assert_int_equal(array_to_i64(&a, out), ERR_INPUT);
    err_clear();
}

/* The length of a safetensors header is its first eight bytes, and may look like any pickle's PROTO. */
static void header_lengths_like_a_pickle(void **state)
{
    static const char json[] = "{\"x\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}";
    (void)state;
    for (size_t n = 0x80; n <= 0x680; n += 0x80) {
        buffer b = { 0 };
        arrays *a = NULL;
        put_number(&b, n, 8);
        put_text(&b, json);
        while (b.n < 8 + n)
            put_text(&b, " ");
        put_text(&b, "abcd");
        err_clear();
        if (arrays_open(&a, temp_file(b.v, b.n)) != 0) fail_msg("%zu: %s", n, err_text());
        assert_string_equal(arrays_container(a), "safetensors");
        assert_memory_equal(arrays_find(a, "x")->data, "abcd", 4);
        arrays_close(&a);
        clear(&b);
    }
}

static void no_regular_file(void **state)
{
    arrays *a = NULL;
    static const char *const paths[] = { "/no/such/file", "/tmp", "/dev/null", "" };
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        err_clear();
        assert_int_equal(arrays_open(&a, paths[i]), ERR_INPUT);
        assert_null(a);
    }
    err_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(file_digest),
        cmocka_unit_test(data_stays_in_the_file),
        cmocka_unit_test(every_prefix_is_refused),
        cmocka_unit_test(changed_bytes),
        cmocka_unit_test(to_f32),
        cmocka_unit_test(to_i64),
        cmocka_unit_test(header_lengths_like_a_pickle),
        cmocka_unit_test(no_regular_file),
    };
    return cmocka_run_group_tests_name("arrays", tests, read_rows, NULL);
}
