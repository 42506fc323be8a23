/* Hand-made checkpoints and caches: what is refused, by which rule, and what is just still read. */
#include "common/arrays.h"
#include "common/err.h"
#include "tests/unit/build_files.h"

#include <setjmp.h>
#include <cmocka.h>

/* Opens the bytes; `rule` NULL: must be read (and *a is given), else must be refused by it. */
static void expect(const char *what, const void *bytes, size_t n, const char *rule, arrays **a)
{
    arrays *mine = NULL;
    const char *path = temp_file(bytes, n), *text;
    int rc;
    err_clear();
    rc = arrays_open(&mine, path);
    text = err_text();
    if (rule == NULL) {
        if (rc != 0) fail_msg("%s: %s", what, text);
    } else {
        size_t k = strlen(rule);
        if (rc == 0) fail_msg("%s: accepted, not refused by %s", what, rule);
        if (rc != ERR_INPUT || strncmp(text, path, strlen(path)) != 0 ||
            strncmp(text + strlen(path) + 2, rule, k) != 0 || text[strlen(path) + 2 + k] != ':')
            fail_msg("%s: %d %s, not %s", what, rc, text, rule);
    }
    if (a != NULL)
        *a = mine;
    else
        arrays_close(&mine);
}

/* ---- safetensors ------------------------------------------------------------------------------------ */

static const struct {
    const char *header;
    size_t data;
    const char *rule;
} safetensors[] = {
    { "{}", 0, NULL },
    { "{}   ", 0, NULL },
    { "{\"__metadata__\":{\"a\":\"b\"}}", 0, NULL },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, NULL },
    { "{\"a\":{\"data_offsets\":[0,8],\"shape\":[],\"dtype\":\"F64\"}}", 8, NULL },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,5],\"data_offsets\":[0,0]},"
      "\"b\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, NULL },
    { "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, NULL },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, NULL },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, "header" },
    { "{\"a}{][\\\"\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, NULL },
    { "{\"\\u00e9\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, NULL },
    { "{\"\\ud83d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "header" },
    { "{\"\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "header" },
    { "{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "header" },
    /* tiling */
    { "{}", 1, "tiling" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "tiling" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, "tiling" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}", 3, "tiling" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
      "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, "tiling" },
    /* offsets against shape and file */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 1, "offsets" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "offsets" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,0]}}", 1, "offsets" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[-1,0]}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,1]}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "shape" },
    { "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4611686018427387904],\"data_offsets\":[0,0]}}", 0, "shape" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551617],\"data_offsets\":[0,1]}}", 1, "header" },
    /* types */
    { "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "dtype" },
    { "{\"a\":{\"dtype\":\"U16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, "dtype" },
    { "{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype" },
    { "{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "header" },
    /* form */
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "header" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "duplicate" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
      "\"\\u0061\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "duplicate" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "header" },
    { "{\"__metadata__\":{\"a\":1}}", 0, "header" },
    { "{\"__metadata__\":[]}", 0, "header" },
    { "{\"a\":[]}", 0, "header" },
    { "{\"a\":1}", 0, "header" },
    { "{\"a\"}", 0, "header" },
    { "{\"a\":{}", 0, "header" },
    { "{\"a\":{]}", 0, "header" },
    { "{\"a", 0, "header" },
    { "{\"a\\", 0, "header" },
    { "{,}", 0, "header" },
    { "{\"__metadata__\":{},}", 0, "header" },
    { "{} x", 0, "header" },
    { "{}{}", 0, "header" },
    { "{", 0, "header" },
};

static void put_safetensors(buffer *b, const char *header, size_t data)
{
    b->n = 0;
    put_number(b, strlen(header), 8);
    put_text(b, header);
    for (size_t i = 0; i < data; i++)
        put_number(b, i, 1);
}

static void safetensors_headers(void **state)
{
    buffer b = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof safetensors / sizeof safetensors[0]; i++) {
        put_safetensors(&b, safetensors[i].header, safetensors[i].data);
        expect(safetensors[i].header, b.v, b.n, safetensors[i].rule, NULL);
    }
    b.n = 0; /* a header length one beyond what follows, then beyond the format's limit */
    put(&b, "\3\0\0\0\0\0\0\0{}", 10);
    expect("length + 1", b.v, b.n, "header", NULL);
    b.n = 0;
    put_number(&b, 100000001, 8);
    put_text(&b, "{}");
    expect("length 100000001", b.v, b.n, "header", NULL);
    b.n = 0;
    put_number(&b, 1, 8);
    put_text(&b, "{}");
    expect("length 1", b.v, b.n, "header", NULL);
    clear(&b);
}

/* Headers of 128, 384, ... bytes: with these lengths the file begins like a pickle of protocol 0 to 5. */
static void safetensors_like_pickles(void **state)
{
    buffer b = { 0 };
    char header[0x580 + 1];
    (void)state;
    for (int n = 0x80; n <= 0x580; n += 0x100) {
        snprintf(header, sizeof header, "%-*s", n,
                 "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
        put_safetensors(&b, header, 1);
        expect("length like a pickle", b.v, b.n, NULL, NULL);
    }
    clear(&b);
}

static void safetensors_name_and_depth_limits(void **state)
{
    buffer b = { 0 };
    char *header = malloc(200000);
    (void)state;
    assert_non_null(header);
    for (int extra = 0; extra < 2; extra++) {
        snprintf(header, 200000, "{\"%0*d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1024 + extra,
                 0);
        put_safetensors(&b, header, 1);
        expect("name", b.v, b.n, extra ? "name" : NULL, NULL);
    }
    for (int extra = 0; extra < 2; extra++) { /* an entry of 65536 bytes, blanks included */
        snprintf(header, 200000, "{\"a\":{%*s\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
                 65536 - 47 + extra, "");
        put_safetensors(&b, header, 1);
        expect("entry", b.v, b.n, extra ? "limit" : NULL, NULL);
    }
    memset(header, '[', 100000); /* brackets far deeper than a stack would bear */
    memcpy(header, "{\"a\":{\"b\":", 10);
    header[100000] = '\0';
    put_safetensors(&b, header, 0);
    expect("depth", b.v, b.n, "header", NULL);
    free(header);
    clear(&b);
}

/* ---- npy --------------------------------------------------------------------------------------------- */

static const struct {
    const char *header;
    size_t data;
    const char *rule;
} npy[] = {
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 8, NULL },
    { "{'descr':'<f4','fortran_order':False,'shape':(2,)}", 8, NULL },
    { "{\"shape\": (1, 2), \"descr\": \"|u1\", \"fortran_order\": True}   \n", 2, NULL },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2L,), }", 8, NULL },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, NULL },
    { "{'descr': 'f8', 'fortran_order': False, 'shape': (1,), }", 8, NULL },
    { "{'descr': '=i2', 'fortran_order': False, 'shape': (1,), }", 2, NULL },
    { "{'descr': '|b1', 'fortran_order': False, 'shape': (0, 7), }", 0, NULL },
    { "{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1), }", 1, NULL },
    { "{'descr': '|u1', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 1, "shape" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 7, "truncated" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", 9, "trailing" },
    { "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, "dtype" },
    { "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, "dtype" },
    { "{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }", 8, "dtype" },
    { "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, "dtype" },
    { "{'descr': '<u2', 'fortran_order': False, 'shape': (1,), }", 2, "dtype" },
    { "{'descr': '', 'fortran_order': False, 'shape': (1,), }", 2, "dtype" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2), }", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': 2, }", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,), }", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2 2), }", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (18446744073709551616,), }", 8, "shape" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904,), }", 8, "shape" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, "shape" },
    { "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,), }", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, }", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}", 8, "npy-header" },
    { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", 8, "npy-header" },
    { "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", 8, "npy-header" },
    { "{'descr': '<f\\x34', 'fortran_order': False, 'shape': (2,)}", 8, "npy-header" },
    { "{'descr", 0, "npy-header" },
    { "", 0, "npy-header" },
    { "__import__('os').system('id')", 0, "npy-header" },
};

static void put_npy(buffer *b, int version, const char *header, size_t data)
{
    put(b, "\x93NUMPY", 6);
    put_number(b, (uint64_t)version, 1);
    put_number(b, 0, 1);
    put_number(b, strlen(header), version == 1 ? 2 : 4);
    put_text(b, header);
    for (size_t i = 0; i < data; i++)
        put_number(b, i, 1);
}

static void npy_headers(void **state)
{
    buffer b = { 0 };
    (void)state;
    for (int version = 1; version <= 3; version++)
        for (size_t i = 0; i < sizeof npy / sizeof npy[0]; i++) {
            b.n = 0;
            put_npy(&b, version, npy[i].header, npy[i].data);
            expect(npy[i].header, b.v, b.n, npy[i].rule, NULL);
        }
    for (int version = 0; version < 256; version += version == 0 ? 4 : 1) {
        b.n = 0;
        put_npy(&b, version, npy[0].header, 8);
        expect("version", b.v, b.n, "npy-version", NULL);
    }
    clear(&b);
}

static void npy_header_limit(void **state)
{
    buffer b = { 0 };
    char *header = malloc(70000);
    (void)state;
    assert_non_null(header);
    for (size_t extra = 0; extra < 2; extra++) {
        memset(header, ' ', 65536 + extra);
        header[65536 + extra] = '\0';
        memcpy(header, npy[0].header, strlen(npy[0].header));
        b.n = 0;
        put_npy(&b, 2, header, 8);
        expect("header of 65536", b.v, b.n, extra ? "limit" : NULL, NULL);
    }
    b.n = 0; /* a length without the bytes */
    put(&b, "\x93NUMPY\2\0\xff\xff\xff\xff{}", 14);
    expect("header of 4 GiB", b.v, b.n, "limit", NULL);
    free(header);
    clear(&b);
}

static void npz_members(void **state)
{
    made_zip z = { 0 };
    buffer b = { 0 };
    arrays *a = NULL;
    (void)state;
    put_npy(&b, 1, npy[0].header, 8);
    zip_add(&z, "a/b.npy", b.v, b.n);
    zip_end(&z);
    expect("one", z.b.v, z.b.n, NULL, &a);
    assert_non_null(arrays_find(a, "a/b"));
    arrays_close(&a);
    clear(&z.b);
    z.n = 0;
    zip_add(&z, "a.npy", b.v, b.n);
    zip_add(&z, "notes.txt", "x", 1);
    zip_end(&z);
    expect("another member", z.b.v, z.b.n, "npz-member", NULL);
    clear(&z.b);
    z.n = 0;
    zip_end(&z);
    expect("an empty zip", z.b.v, z.b.n, "container", NULL);
    clear(&z.b);
    z.n = 0;
    zip_add(&z, "a.npy", b.v, b.n);
    zip_end(&z);
    z.b.v[z.m[0].at + 30 + 5 + b.n - 1] ^= 1; /* the last byte of the data */
    expect("CRC", z.b.v, z.b.n, "zip-crc", NULL);
    z.b.v[z.m[0].at + 30 + 5 + b.n - 1] ^= 1;
    z.b.v[z.m[0].at + 14] ^= 1; /* the CRC of the local header */
    expect("two CRCs", z.b.v, z.b.n, "zip-library", NULL);
    clear(&z.b);
    clear(&b);
}

/* One deflated member: an .npy of `zeros` bytes, said to be `claim` bytes. */
static void put_deflated(made_zip *z, size_t zeros, size_t claim)
{
    static unsigned char in[1 << 16], out[1 << 16];
    char header[128];
    buffer npy_head = { 0 }, packed = { 0 };
    z_stream s = { 0 };
    made_member *m;
    snprintf(header, sizeof header, "{'descr': '|u1', 'fortran_order': False, 'shape': (%zu,)}", claim);
    put_npy(&npy_head, 1, header, 0);
    if (deflateInit2(&s, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) != Z_OK) abort();
    s.next_in = npy_head.v;
    s.avail_in = (uInt)npy_head.n;
    for (size_t left = zeros; ; ) {
        s.next_out = out;
        s.avail_out = sizeof out;
        if (deflate(&s, left == 0 ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR) abort();
        put(&packed, out, sizeof out - s.avail_out);
        if (left == 0 && s.avail_in == 0 && s.avail_out > 0) break;
        if (s.avail_in > 0 || left == 0) continue;
        s.next_in = in;
        s.avail_in = (uInt)(left < sizeof in ? left : sizeof in);
        left -= s.avail_in;
    }
    deflateEnd(&s);
    clear(&z->b);
    z->n = 0;
    m = zip_add(z, "a.npy", packed.v, packed.n);
    m->method = 8;
    m->size = (uint32_t)(npy_head.n + claim);
    z->b.v[m->at + 8] = 8;
    for (int i = 0; i < 4; i++)
        z->b.v[m->at + 22 + (size_t)i] = (unsigned char)(m->size >> (8 * i));
    zip_end(z);
    clear(&npy_head);
    clear(&packed);
}

static void npz_bombs(void **state)
{
    made_zip z = { 0 };
    (void)state;
    put_deflated(&z, 1000, 1000);
    expect("CRC of the packed bytes", z.b.v, z.b.n, "zip-data", NULL);
    put_deflated(&z, 1000, 1001);
    expect("shorter than said", z.b.v, z.b.n, "zip-data", NULL);
    put_deflated(&z, 70000, 4000000);
    expect("more than deflate can", z.b.v, z.b.n, "expansion", NULL);
    put_deflated(&z, 320u << 20, 320u << 20);
    expect("320 MiB of zeros", z.b.v, z.b.n, "expansion", NULL);
    clear(&z.b);
}

/* ---- PyTorch ------------------------------------------------------------------------------------------ */

/* A PyTorch zip of one pickle and storages data/0 (8 floats 0..7) and data/1 (1 byte). */
static void put_torch(made_zip *z, const buffer *p)
{
    static const float eight[8] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    clear(&z->b);
    z->n = 0;
    zip_add(z, "archive/data.pkl", p->v, p->n);
    zip_add(z, "archive/data/0", eight, sizeof eight);
    zip_add(z, "archive/data/1", "\1", 1);
    zip_add(z, "archive/version", "3\n", 2);
}

static void expect_torch(const char *what, const buffer *p, const char *rule, arrays **a)
{
    made_zip z = { 0 };
    put_torch(&z, p);
    zip_end(&z);
    expect(what, z.b.v, z.b.n, rule, a);
    clear(&z.b);
}

#define M INT64_MAX
static const struct {
    const char *what;
    made_tensor t;
    const char *rule;
} tensors[] = {
    { "vector", { "FloatStorage", "0", 8, 0, 1, 1, { 8 }, { 1 } }, NULL },
    { "scalar", { "FloatStorage", "0", 8, 7, 0, 0, { 0 }, { 0 } }, NULL },
    { "matrix, columns first", { "FloatStorage", "0", 8, 0, 2, 2, { 2, 4 }, { 1, 2 } }, NULL },
    { "last element", { "FloatStorage", "0", 8, 1, 2, 2, { 2, 4 }, { 3, 1 } }, NULL },
    { "empty", { "FloatStorage", "0", 8, 8, 1, 1, { 0 }, { 1 } }, NULL },
    { "empty, large stride", { "FloatStorage", "0", 8, 0, 2, 2, { 0, 3 }, { M, M } }, NULL },
    { "stride of one row", { "FloatStorage", "0", 8, 0, 2, 2, { 1, 8 }, { M, 1 } }, NULL },
    { "smaller storage declared", { "FloatStorage", "0", 4, 0, 1, 1, { 4 }, { 1 } }, NULL },
    { "as bytes", { "ByteStorage", "0", 32, 0, 1, 1, { 32 }, { 1 } }, NULL },
    { "expanded to the budget", { "ByteStorage", "1", 1, 0, 1, 1, { 1 << 26 }, { 0 } }, NULL },
    { "expanded beyond", { "ByteStorage", "1", 1, 0, 1, 1, { (1 << 26) + 8000 }, { 0 } }, "expansion" },
    { "expanded to 2^60", { "ByteStorage", "1", 1, 0, 1, 1, { 1LL << 60 }, { 0 } }, "expansion" },
    { "rank 8", { "FloatStorage", "0", 8, 0, 8, 8, { 1, 1, 1, 1, 1, 1, 1, 8 }, { 8, 8, 8, 8, 8, 8, 8, 1 } }, NULL },
    { "rank 9", { "FloatStorage", "0", 8, 0, 9, 9, { 1, 1, 1, 1, 1, 1, 1, 1, 8 }, { 1 } }, "tensor" },
    { "one beyond", { "FloatStorage", "0", 8, 1, 1, 1, { 8 }, { 1 } }, "bounds" },
    { "offset at the end", { "FloatStorage", "0", 8, 8, 1, 1, { 1 }, { 1 } }, "bounds" },
    { "empty beyond the end", { "FloatStorage", "0", 8, 9, 1, 1, { 0 }, { 1 } }, "bounds" },
    { "stride beyond", { "FloatStorage", "0", 8, 0, 2, 2, { 2, 4 }, { 5, 1 } }, "bounds" },
    { "stride overflows", { "FloatStorage", "0", 8, 0, 2, 2, { 3, 1 }, { M, 1 } }, "bounds" },
    { "sum overflows", { "FloatStorage", "0", 8, M, 3, 3, { 2, 2, 2 }, { M, M, 3 } }, "bounds" },
    { "product overflows", { "FloatStorage", "0", 8, 0, 2, 2, { 1LL << 32, 1LL << 32 }, { 0, 0 } }, "shape" },
    { "bytes overflow", { "FloatStorage", "0", 8, 0, 1, 1, { 1LL << 61 }, { 0 } }, "shape" },
    { "negative size", { "FloatStorage", "0", 8, 0, 1, 1, { -1 }, { 1 } }, "tensor" },
    { "negative stride", { "FloatStorage", "0", 8, 7, 1, 1, { 2 }, { -1 } }, "tensor" },
    { "negative offset", { "FloatStorage", "0", 8, -1, 1, 1, { 1 }, { 1 } }, "tensor" },
    { "fewer strides", { "FloatStorage", "0", 8, 0, 2, 1, { 2, 2 }, { 1 } }, "tensor" },
    { "more declared than there", { "FloatStorage", "0", 9, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "negative storage", { "FloatStorage", "0", -1, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "huge storage", { "DoubleStorage", "0", M, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "as doubles, too many", { "DoubleStorage", "0", 5, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "no such storage", { "FloatStorage", "2", 8, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "key no number", { "FloatStorage", "../0", 8, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "empty key", { "FloatStorage", "", 8, 0, 1, 1, { 1 }, { 1 } }, "storage" },
    { "quantised", { "QInt8Storage", "0", 8, 0, 1, 1, { 1 }, { 1 } }, "dtype" },
    { "complex", { "ComplexFloatStorage", "0", 4, 0, 1, 1, { 1 }, { 1 } }, "dtype" },
    { "not a storage", { "Size", "0", 8, 0, 1, 1, { 1 }, { 1 } }, "dtype" },
};

static void torch_tensors(void **state)
{
    buffer p = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        p.n = 0;
        put_text(&p, "\x80\x02}");
        put_str(&p, "w");
        put_tensor(&p, &tensors[i].t);
        put_text(&p, "s.");
        expect_torch(tensors[i].what, &p, tensors[i].rule, NULL);
    }
    clear(&p);
}

static void strides_are_applied(void **state)
{
    static const float want[8] = { 0, 2, 4, 6, 1, 3, 5, 7 };
    buffer p = { 0 };
    arrays *a = NULL;
    const array *v;
    (void)state;
    put_tensor(&p, &tensors[2].t);
    put_text(&p, ".");
    expect_torch("transposed", &p, NULL, &a);
    v = arrays_at(a, 0);
    assert_string_equal(v->name, "");
    assert_int_equal(v->rank, 2);
    assert_memory_equal(v->data, want, sizeof want);
    arrays_close(&a);
    clear(&p);
}

typedef struct object_case {
    const char *what;
    const char *before; /* pickle text, then one good vector "w", then `after` */
    size_t before_n;
    const char *after;
    size_t after_n;
    const char *rule;
} object_case;

static const object_case objects[] = {
    { "plain", BYTES("}U\x01w"), BYTES("s."), NULL },
    { "an unknown global beside the state dict", BYTES("}U\x01x" "cos\nsystem\nU\x02id\x85RsU\x05model}U\x01w"),
      BYTES("ss."), NULL },
    { "a chain of calls beside it", BYTES("}U\x01x" "cos\nsystem\nU\x02id\x85R)RsU\x05model}U\x01w"),
      BYTES("ss."), NULL },
    { "an unknown global in the state dict", BYTES("}U\x01xcos\nsystem\nU\x02id\x85RsU\x01w"), BYTES("s."),
      "pickle-global" },
    { "an unknown class in the state dict", BYTES("}U\x01xcos\nsystem\nsU\x01w"), BYTES("s."), "pickle-global" },
    { "a sparse tensor", BYTES("}U\x01xctorch._utils\n_rebuild_sparse_tensor\n)RsU\x01w"), BYTES("s."),
      "pickle-global" },
    { "a namespace in the state dict", BYTES("}U\x01x" "cargparse\nNamespace\n)\x81}bsU\x01w"), BYTES("s."), NULL },
    { "numbers and text in it", BYTES("}U\x01xK\x07sU\x01yU\x01zsU\x01nNsU\x01w"), BYTES("s."), NULL },
    { "a wrapper without tensors", BYTES("}U\x05model}sU\x01w"), BYTES("s."), NULL },
    { "a wrapper that is a list", BYTES("}U\x05model]sU\x01w"), BYTES("s."), NULL },
    { "number as a key", BYTES("}K\x07"), BYTES("s."), NULL },
    { "None as a key", BYTES("}N"), BYTES("s."), "name" },
    { "NUL in a key", BYTES("}U\x03" "a\0b"), BYTES("s."), "name" },
    { "no UTF-8 in a key", BYTES("}U\x01\xff"), BYTES("s."), "name" },
    { "a surrogate in a key", BYTES("}U\x03\xed\xa0\x80"), BYTES("s."), "name" },
    { "an overlong key", BYTES("}U\x02\xc0\x80"), BYTES("s."), "name" },
    { "two of one name", BYTES("}U\x03" "a.b"), BYTES("q\x01sU\x01" "a}U\x01" "bh\x01ss."), "duplicate" },
    { "one key twice", BYTES("}U\x01w"), BYTES("q\x01sU\x01wh\x01s."), "duplicate" },
    { "a dict in itself", BYTES("}q\x09U\x01" "ah\x09sU\x01w"), BYTES("s."), "limit" },
    { "bytes behind", BYTES("}U\x01w"), BYTES("s.."), "trailing" },
    { "no tensor", BYTES("}U\x01w"), BYTES("0}."), "pickle-opcode" },
    { "a parameter", BYTES("}U\x01w" "ctorch._utils\n_rebuild_parameter\n"), BYTES("\x88}\x87Rs."), NULL },
    { "a parameter of two", BYTES("}U\x01w" "ctorch._utils\n_rebuild_parameter\n"), BYTES("\x88\x86Rs."), "tensor" },
    { "a parameter of an unknown", BYTES("}U\x01x" "ctorch._utils\n_rebuild_parameter\nca\nb\n)R\x88}\x87RsU\x01w"),
      BYTES("s."), "pickle-global" },
};

static void torch_objects(void **state)
{
    buffer p = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        p.n = 0;
        put_text(&p, "\x80\x02");
        put(&p, objects[i].before, objects[i].before_n);
        put_vector(&p, "0", 8);
        put(&p, objects[i].after, objects[i].after_n);
        expect_torch(objects[i].what, &p, objects[i].rule, NULL);
    }
    clear(&p);
}

static void the_message_names_tensor_and_global(void **state)
{
    buffer p = { 0 };
    made_zip z = { 0 };
    arrays *a = NULL;
    (void)state;
    put(&p, BYTES("\x80\x02}U\x05model}U\x04" "fc.w" "cevil.module\nrun\n)RsU\x01w"));
    put_vector(&p, "0", 8);
    put_text(&p, "ss.");
    put_torch(&z, &p);
    zip_end(&z);
    err_clear();
    assert_int_equal(arrays_open(&a, temp_file(z.b.v, z.b.n)), ERR_INPUT);
    assert_non_null(strstr(err_text(), "'fc.w' is made by evil.module.run"));
    clear(&z.b);
    clear(&p);
}

/* dicts in dicts around one tensor */
static void nesting_limit(void **state)
{
    buffer p = { 0 };
    (void)state;
    for (int depth = 64; depth <= 65; depth++) {
        p.n = 0;
        put_text(&p, "\x80\x02");
        for (int i = 0; i < depth; i++)
            put_text(&p, "}U\x01" "a");
        put_vector(&p, "0", 8);
        for (int i = 0; i < depth; i++)
            put_text(&p, "s");
        put_text(&p, ".");
        expect_torch("depth", &p, depth == 64 ? NULL : "limit", NULL);
    }
    clear(&p);
}

/* ((x, x), (x, x)) ...: 2^40 values from 200 bytes */
static void shared_values_do_not_explode(void **state)
{
    buffer p = { 0 };
    (void)state;
    put_text(&p, "\x80\x02]");
    for (int i = 0; i < 40; i++) {
        unsigned char op[] = { 'q', (unsigned char)i, 'h', (unsigned char)i, 0x86 }; /* x -> (x, x) */
        put(&p, op, sizeof op);
    }
    put_text(&p, ".");
    expect_torch("fan-out", &p, "limit", NULL);
    clear(&p);
}

static void torch_archives(void **state)
{
    buffer p = { 0 };
    made_zip z = { 0 };
    (void)state;
    put_text(&p, "\x80\x02}U\x01w");
    put_vector(&p, "0", 8);
    put_text(&p, "s.");
    put_torch(&z, &p);
    zip_add(&z, "archive/byteorder", "little", 6);
    zip_add(&z, "archive/.data/serialization_id", "123", 3);
    zip_end(&z);
    expect("as torch 2 writes", z.b.v, z.b.n, NULL, NULL);
    put_torch(&z, &p);
    zip_add(&z, "archive/byteorder", "big", 3);
    zip_end(&z);
    expect("big-endian", z.b.v, z.b.n, "byteorder", NULL);
    put_torch(&z, &p);
    zip_add(&z, "archive/code/a.py", "x", 1);
    zip_end(&z);
    expect("TorchScript", z.b.v, z.b.n, "torchscript", NULL);
    put_torch(&z, &p);
    zip_add(&z, "other/x", "x", 1);
    zip_end(&z);
    expect("outside the root", z.b.v, z.b.n, "zip-root", NULL);
    put_torch(&z, &p);
    zip_add(&z, "archive/b/data.pkl", "N.", 2);
    zip_end(&z);
    expect("two pickles", z.b.v, z.b.n, "zip-root", NULL);
    put_torch(&z, &p);
    zip_end(&z);
    z.b.v[z.m[2].at - 1] ^= 1;
    expect("storage CRC", z.b.v, z.b.n, "zip-crc", NULL);
    put_torch(&z, &p);
    zip_end(&z);
    z.b.v[z.m[1].at - 1] ^= 1;
    expect("pickle CRC", z.b.v, z.b.n, "zip-crc", NULL);
    clear(&z.b);
    clear(&p);
}

/* ---- numpy pickles ---------------------------------------------------------------------------------- */

#define DTYPE "cnumpy\ndtype\nU\x02" "f4\x89\x88\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
#define RECONSTRUCT "cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01" "b\x87R"

static const struct {
    const char *what, *bytes;
    size_t n;
    const char *rule;
} ndarrays[] = {
    { "good", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85" DTYPE "\x89U\x08" "12345678tb."), NULL },
    { "latin-1", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x01\x85" DTYPE
                       "\x89" "c_codecs\nencode\nX\x05\0\0\0\xc3\xbf" "abcU\x06latin1\x86Rtb."), NULL },
    { "beyond latin-1", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x01\x85" DTYPE
                       "\x89" "c_codecs\nencode\nX\x05\0\0\0\xc4\xbf" "abcU\x06latin1\x86Rtb."), "ndarray" },
    { "another codec", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x01\x85" DTYPE
                       "\x89" "c_codecs\nencode\nX\x04\0\0\0abcdU\x03zip\x86Rtb."), "ndarray" },
    { "empty bytes", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x00\x85" DTYPE "\x89" "c__builtin__\nbytes\n)Rtb."), NULL },
    { "short", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85" DTYPE "\x89U\x07" "1234567tb."), "truncated" },
    { "long", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85" DTYPE "\x89U\x09" "123456789tb."), "trailing" },
    { "no state", BYTES("\x80\x02" RECONSTRUCT "."), "ndarray" },
    { "object list", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85" DTYPE "\x89]tb."), "dtype" },
    { "no bytes", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85" DTYPE "\x89Ntb."), "ndarray" },
    { "version 2", BYTES("\x80\x02" RECONSTRUCT "(K\x02K\x02\x85" DTYPE "\x89U\x08" "12345678tb."), "ndarray" },
    { "negative", BYTES("\x80\x02" RECONSTRUCT "(K\x01J\xff\xff\xff\xff\x85" DTYPE "\x89U\x08" "12345678tb."), "ndarray" },
    { "overflow", BYTES("\x80\x02" RECONSTRUCT "(K\x01\x8a\x05\0\0\0\0\1\x8a\x05\0\0\0\0\1\x86" DTYPE "\x89U\x00tb."), "shape" },
    { "no dtype", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85N\x89U\x08" "12345678tb."), "ndarray" },
    { "no tuple", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02" DTYPE "\x89U\x08" "12345678tb."), "ndarray" },
    { "subclass", BYTES("\x80\x02" "cnumpy.core.multiarray\n_reconstruct\nca\nb\nK\x00\x85U\x01" "b\x87R(K\x01K\x02\x85"
                        DTYPE "\x89U\x08" "12345678tb."), "ndarray" },
    { "frombuffer", BYTES("\x80\x05" "cnumpy.core.numeric\n_frombuffer\n(\x96\x08\0\0\0\0\0\0\0" "12345678" DTYPE
                          "K\x02\x85U\x01" "CtR."), NULL },
    { "frombuffer, order", BYTES("\x80\x05" "cnumpy.core.numeric\n_frombuffer\n(\x96\x08\0\0\0\0\0\0\0" "12345678" DTYPE
                          "K\x02\x85U\x01" "AtR."), "ndarray" },
    { "type", BYTES("\x80\x02" RECONSTRUCT "(K\x01K\x02\x85" "cnumpy\ndtype\nU\x02O8\x89\x88\x87R\x89]tb."), "dtype" },
    { "a plain list", BYTES("\x80\x04]K\x01" "a."), "no-arrays" },
    { "a plain number", BYTES("\x80\x04K\x01."), "no-arrays" },
    { "a tensor without storages", BYTES("\x80\x02" "ctorch._utils\n_rebuild_tensor_v2\n(U\x01kQK\x00))\x89}tR."), "storage" },
    { "evil", BYTES("\x80\x02" "cos\nsystem\nU\x02id\x85R."), "pickle-global" },
};

static void numpy_pickles(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ndarrays / sizeof ndarrays[0]; i++)
        expect(ndarrays[i].what, ndarrays[i].bytes, ndarrays[i].n, ndarrays[i].rule, NULL);
}

/* ---- legacy ------------------------------------------------------------------------------------------ */

#define MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
#define SYSTEM(flag) "\x80\x02}U\x0dlittle_endian" flag "s."

static void legacy(const char *what, const char *protocol, const char *system, const char *keys, size_t keys_n,
                   uint64_t count, size_t floats, const char *rule)
{
    buffer b = { 0 };
    put(&b, BYTES(MAGIC));
    put(&b, protocol, 6);
    put_text(&b, system);
    put_text(&b, "\x80\x02}U\x01w");
    put_vector(&b, "0", 4);
    put_text(&b, "s.");
    put(&b, keys, keys_n);
    put_number(&b, count, 8);
    for (size_t i = 0; i < 4 * floats; i++)
        put_number(&b, 0, 1);
    expect(what, b.v, b.n, rule, NULL);
    clear(&b);
}

static void legacy_streams(void **state)
{
    static const char p[] = "\x80\x02M\xe9\x03.", little[] = SYSTEM("\x88");
    (void)state;
    legacy("good", p, little, BYTES("\x80\x02]X\1\0\0\0000a."), 4, 4, NULL);
    legacy("protocol 1000", "\x80\x02M\xe8\x03.", little, BYTES("\x80\x02]X\1\0\0\0000a."), 4, 4, "legacy-protocol");
    legacy("big-endian", p, SYSTEM("\x89"), BYTES("\x80\x02]X\1\0\0\0000a."), 4, 4, "byteorder");
    legacy("no byte order", p, "\x80\x02}.", BYTES("\x80\x02]X\1\0\0\0000a."), 4, 4, "byteorder");
    legacy("no system", p, "\x80\x02].", BYTES("\x80\x02]X\1\0\0\0000a."), 4, 4, "legacy-system");
    legacy("other count", p, little, BYTES("\x80\x02]X\1\0\0\0000a."), 5, 5, "storage");
    legacy("short", p, little, BYTES("\x80\x02]X\1\0\0\0000a."), 4, 3, "truncated");
    legacy("long", p, little, BYTES("\x80\x02]X\1\0\0\0000a."), 4, 5, "trailing");
    legacy("key of nothing", p, little, BYTES("\x80\x02]X\1\0\0\0001a."), 4, 4, "legacy-keys");
    legacy("key twice", p, little, BYTES("\x80\x02](X\1\0\0\0000X\1\0\0\0000e."), 4, 4, "legacy-keys");
    legacy("no keys", p, little, BYTES("\x80\x02]."), 4, 4, "trailing");
    legacy("keys no list", p, little, BYTES("\x80\x02}."), 4, 4, "legacy-keys");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_headers),
        cmocka_unit_test(safetensors_like_pickles),
        cmocka_unit_test(safetensors_name_and_depth_limits),
        cmocka_unit_test(npy_headers),
        cmocka_unit_test(npy_header_limit),
        cmocka_unit_test(npz_members),
        cmocka_unit_test(npz_bombs),
        cmocka_unit_test(torch_tensors),
        cmocka_unit_test(strides_are_applied),
        cmocka_unit_test(torch_objects),
        cmocka_unit_test(the_message_names_tensor_and_global),
        cmocka_unit_test(nesting_limit),
        cmocka_unit_test(shared_values_do_not_explode),
        cmocka_unit_test(torch_archives),
        cmocka_unit_test(numpy_pickles),
        cmocka_unit_test(legacy_streams),
    };
    return cmocka_run_group_tests_name("arrays_refused", tests, NULL, NULL);
}
