/* Finding and loading outpost-cuda.so.  A process loads it once, so each case is a child process. */
#include "common/err.h"
#include "extract/plugin.h"

#include <dlfcn.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char self[PATH_MAX], build[PATH_MAX], scratch[PATH_MAX]; /* program, build/, a directory */

/* A device that was checked is handed over as it is, once; another one is opened. */
static int taken(const char *device)
{
    device_list found;
    int rc = 0, n = 0;
    const cuda_plugin *plugin = NULL;
    cuda_backend *one = NULL, *two = NULL, *other = NULL;
    TRY(plugin_check(device, &found));
    n = found.id[0];
    TRY(plugin_open(&plugin, &other, 1 - n));
    TRY(plugin_open(&plugin, &one, n));
    CHECK(one != other, ERR_INTERNAL, "two devices are one");
    TRY(plugin_check(device, &found));
    TRY(plugin_check(device, &found));
    TRY(plugin_open(&plugin, &two, n));
    CHECK(one != two, ERR_INTERNAL, "one device twice");
done:
    printf("%d 0 %s\n", rc, rc < 0 ? err_text() : "taken");
    if (plugin != NULL) {
        plugin->close(&one);
        plugin->close(&two);
        plugin->close(&other);
    }
    return err_exit_status(rc);
}

/* What a child finds out: a line "CODE FAULT TEXT", and the exit status of extract would be CODE's. */
static int probe(const char *device)
{
    const cuda_plugin *plugin = NULL;
    cuda_backend *be = NULL;
    device_list found;
    int rc = 0, n = 0;
    void *x = NULL;
    float v[3] = { -1, 0, 7 };
    op_args args = { .n = 1, .c = 3, .h = 1, .w = 1 };
    if (strncmp(device, "check:", 6) == 0) {
        TRY(plugin_check(device + 6, &found));
        n = found.id[0];
        goto done;
    }
    if (strncmp(device, "taken:", 6) == 0) return taken(device + 6);
    TRY(plugin_parse_device(device, &n));
    TRY(plugin_open(&plugin, &be, n));
    TRY(plugin->alloc(be, sizeof v, &x));
    TRY(plugin->upload(be, x, v, sizeof v));
    args.x[0] = args.y = x;
    TRY(plugin->run(be, KERNEL_relu_fwd, &args));
    TRY(plugin->download(be, v, x, sizeof v));
    TRY(plugin->sync(be));
    CHECK(v[0] == 0 && v[1] == 0 && v[2] == 7, ERR_INTERNAL, "wrong result");
done:
    printf("%d %d %s\n", rc, plugin != NULL ? (int)plugin->fault() : 0, rc < 0 ? err_text() : n == 0 ? "computed" : "found");
    if (plugin != NULL) plugin->close(&be);
    return err_exit_status(rc);
}

/* Runs `program --probe DEVICE` with these variables ("NAME=VALUE ..."); its line and exit status. */
static int child(const char *program, const char *variables, const char *device, char line[4096])
{
    char command[3 * PATH_MAX];
    FILE *out;
    int status;
    snprintf(command, sizeof command, "env -u OUTPOST_PLUGIN_DIR -u OUTPOST_MOCK_FAIL -u OUTPOST_MOCK_WRONG %s '%s' --probe '%s'",
             variables, program, device);
    out = popen(command, "r");
    assert_non_null(out);
    if (fgets(line, 4096, out) == NULL) line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    status = pclose(out);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char *dir_variable(const char *directory)
{
    static char text[3 * PATH_MAX];
    snprintf(text, sizeof text, "OUTPOST_PLUGIN_DIR='%s'", directory);
    return text;
}

static char *in_scratch(const char *below)
{
    static char path[2 * PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", scratch, below);
    return path;
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...)
{
    char command[4 * PATH_MAX];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    assert_int_equal(system(command), 0);
}

static void device_names(void **state)
{
    static const struct {
        const char *text;
        int rc, device;
    } cases[] = {
        { "cuda", 0, 0 },           { "cuda:0", 0, 0 },          { "cuda:7", 0, 7 },
        { "cuda:2147483647", 0, 2147483647 },                    { "cuda:2147483648", ERR_USAGE, 0 },
        { "cuda:", ERR_USAGE, 0 },  { "cuda:-1", ERR_USAGE, 0 }, { "cuda:1x", ERR_USAGE, 0 },
        { "cuda: 1", ERR_USAGE, 0 }, { "cpu", ERR_USAGE, 0 },    { "cuda1", ERR_USAGE, 0 },
        { "", ERR_USAGE, 0 },       { "cuda:99999999999999999999", ERR_USAGE, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int device = -7;
        err_clear();
        assert_int_equal(plugin_parse_device(cases[i].text, &device), cases[i].rc);
        assert_int_equal(device, cases[i].rc < 0 ? -7 : cases[i].device);
        assert_true((err_text()[0] != '\0') == (cases[i].rc < 0));
    }
    err_clear();
}

static void lists_of_devices(void **state)
{
    static const struct {
        const char *text;
        int rc;
        size_t n;
        int id[3];
    } cases[] = {
        { "cuda", 0, 1, { 0 } },         { "cuda:3", 0, 1, { 3 } },
        { "cuda:0,1", 0, 2, { 0, 1 } },  { "cuda:7,0,2", 0, 3, { 7, 0, 2 } },
        { "cuda:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15", 0, 16, { 0, 1, 2 } },
        { "cuda:0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", ERR_USAGE, 0, { 0 } },
        { "cuda:0,0", ERR_USAGE, 0, { 0 } }, { "cuda:1,2,1", ERR_USAGE, 0, { 0 } },
        { "cuda:0,", ERR_USAGE, 0, { 0 } },  { "cuda:,0", ERR_USAGE, 0, { 0 } },
        { "cuda:0,,1", ERR_USAGE, 0, { 0 } }, { "cuda:0;1", ERR_USAGE, 0, { 0 } },
        { "cuda,cuda:1", ERR_USAGE, 0, { 0 } }, { "cuda:0,-1", ERR_USAGE, 0, { 0 } },
    };
    int one = -7;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        device_list found = { .n = 99 };
        err_clear();
        assert_int_equal(plugin_parse_devices(cases[i].text, &found), cases[i].rc);
        assert_true((err_text()[0] != '\0') == (cases[i].rc < 0));
        assert_int_equal(found.n, cases[i].rc < 0 ? 99 : cases[i].n);
        for (size_t k = 0; cases[i].rc == 0 && k < found.n && k < 3; k++)
            assert_int_equal(found.id[k], cases[i].id[k]);
    }
    err_clear(); /* score takes one */
    assert_int_equal(plugin_parse_device("cuda:0,1", &one), ERR_USAGE);
    assert_int_equal(one, -7);
    err_clear();
}

static void no_plugin(void **state)
{
    char line[4096];
    (void)state;
    assert_int_equal(child(self, "", "cuda", line), 5);
    assert_string_equal(line, "-5 0 no CUDA plugin beside this program (built with CUDA=0?)");
    assert_int_equal(child(self, "OUTPOST_PLUGIN_DIR=/nonexistent", "cuda", line), 5);
    assert_string_equal(line, "-5 0 no CUDA plugin in $OUTPOST_PLUGIN_DIR: /nonexistent has no outpost-cuda.so");
    assert_int_equal(child(self, "OUTPOST_PLUGIN_DIR=build/mock", "cuda", line), 5);
    assert_string_equal(line, "-5 0 no CUDA plugin in $OUTPOST_PLUGIN_DIR: build/mock is not an absolute path");
    assert_int_equal(child(self, "", "cuda:x", line), 2);
}

static void files_that_are_no_plugin(void **state)
{
    char line[4096];
    (void)state;
    shell("mkdir -p '%s/text' && echo no library > '%s/text/outpost-cuda.so'", scratch, scratch);
    assert_int_equal(child(self, dir_variable(in_scratch("text")), "cuda", line), 5);
    assert_non_null(strstr(line, "-5 0 the CUDA plugin does not load: "));
    assert_non_null(strstr(line, "text/outpost-cuda.so"));
    shell("mkdir -p '%s/zlib' && cp -L /lib/*-linux-gnu/libz.so.1 '%s/zlib/outpost-cuda.so'", scratch, scratch);
    assert_int_equal(child(self, dir_variable(in_scratch("zlib")), "cuda", line), 5);
    assert_non_null(strstr(line, "zlib/outpost-cuda.so is not a plugin of outpost"));
}

/* The mock with another version in it, as two installations that were mixed would have. */
static void a_plugin_of_another_version(void **state)
{
    char line[4096], pattern[64] = "", other[64] = "";
    (void)state;
    for (const char *v = OUTPOST_VERSION; *v != '\0'; v++) {
        size_t n = strlen(pattern);
        snprintf(pattern + n, sizeof pattern - n, "[%c]", *v);
        strcat(other, *v == '.' ? "." : *v == '9' ? "8" : "9");
    }
    shell("mkdir -p '%s/old' && LC_ALL=C sed 's/%s/%s/g' < '%s/mock/outpost-cuda.so' > '%s/old/outpost-cuda.so'",
          scratch, pattern, other, build, scratch);
    assert_int_equal(child(self, dir_variable(in_scratch("old")), "cuda", line), 5);
    assert_non_null(strstr(line, "old/outpost-cuda.so is not of this build of outpost " OUTPOST_VERSION
                                 "; install both together"));
}

static void places_beside_the_program(void **state)
{
    char line[4096];
    (void)state;
    shell("mkdir -p '%s/a' '%s/b/bin' '%s/b/libexec/outpost'", scratch, scratch, scratch);
    shell("cp '%s' '%s/mock/outpost-cuda.so' '%s/a'", self, build, scratch);
    shell("cp '%s' '%s/b/bin'", self, scratch);
    shell("cp '%s/mock/outpost-cuda.so' '%s/b/libexec/outpost'", build, scratch);
    assert_int_equal(child(in_scratch("a/test_plugin"), "", "cuda", line), 0);
    assert_string_equal(line, "0 0 computed");
    assert_int_equal(child(in_scratch("b/bin/test_plugin"), "", "cuda:0", line), 0);
    assert_string_equal(line, "0 0 computed");
}

/* Across the border of two copies of common/: code, text and kind arrive in the program. */
static void failures_cross_the_border(void **state)
{
    char line[4096], variables[3 * PATH_MAX];
    static const struct {
        const char *mock, *line;
        int status;
    } cases[] = {
        { "OUTPOST_MOCK_DEVICES=0", "-5 1 no CUDA device: the driver sees no GPU (error 100)", 5 },
        { "OUTPOST_MOCK_FAIL=dnn_create:1:1001",
          "-5 1 starting cuDNN: cuDNN cannot be initialised (CUDNN_STATUS_NOT_INITIALIZED, 1001): details", 5 },
        { "OUTPOST_MOCK_FAIL=stream_sync:5:214:lost",
          "-5 4 waiting for the CUDA device: GPU memory has an uncorrectable ECC error "
          "(cudaErrorECCUncorrectable, 214)", 5 },
        { "OUTPOST_MOCK_FAIL=copy_in:3:1",
          "-1 5 copying to the GPU: the library's own words (cudaErrorInvalidValue, 1)", 1 },
        { "OUTPOST_MOCK_MEMORY=7000",
          "-5 2 out of GPU memory: 0.0 MiB asked for, 0.0 of 0.0 MiB free", 5 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(variables, sizeof variables, "OUTPOST_PLUGIN_DIR='%s/mock' %s", build, cases[i].mock);
        assert_int_equal(child(self, variables, "cuda", line), cases[i].status);
        assert_string_equal(line, cases[i].line);
    }
}

/* What `-d cuda` asks before a run begins. */
static void a_device_is_checked(void **state)
{
    char line[4096], variables[3 * PATH_MAX];
    size_t n;
    (void)state;
    snprintf(variables, sizeof variables, "OUTPOST_PLUGIN_DIR='%s/mock' OUTPOST_MOCK_DEVICES=2", build);
    assert_int_equal(child(self, variables, "check:cuda:1", line), 0);
    assert_string_equal(line, "0 0 found");
    assert_int_equal(child(self, variables, "check:cuda:2", line), 5);
    assert_string_equal(line, "-5 0 no CUDA device: 2 asked for, this machine has 2, counted from 0");
    assert_int_equal(child(self, variables, "check:cuda:two", line), 2);
    assert_int_equal(child(self, variables, "taken:cuda:1", line), 0);
    assert_string_equal(line, "0 0 taken");
    n = strlen(variables);
    strcat(variables, " OUTPOST_MOCK_FAIL=blas_create:5:3"); /* four devices were opened, no fifth */
    assert_int_equal(child(self, variables, "taken:cuda:1", line), 0);
    variables[n] = '\0';
    strcat(variables, " OUTPOST_MOCK_FAIL=blas_create:4:3");
    assert_int_equal(child(self, variables, "taken:cuda:1", line), 5);
    variables[n] = '\0';
    strcat(variables, " OUTPOST_MOCK_WRONG=add_fwd");
    assert_int_equal(child(self, variables, "check:cuda", line), 5);
    assert_non_null(strstr(line, "computes wrongly: self-test 'add' gave"));
}

static void another_abi(void **state)
{
    char path[2 * PATH_MAX];
    void *library, *symbol;
    cuda_plugin_entry *entry;
    const cuda_plugin *plugin;
    (void)state;
    snprintf(path, sizeof path, "%s/mock/outpost-cuda.so", build);
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(library);
    symbol = dlsym(library, CUDA_PLUGIN_ENTRY);
    assert_non_null(symbol);
    memcpy(&entry, &symbol, sizeof entry);
    assert_null(entry(CUDA_PLUGIN_ABI + 1, sizeof(op_args), KERNEL_COUNT, NULL));
    plugin = entry(CUDA_PLUGIN_ABI, sizeof(op_args), KERNEL_COUNT, NULL);
    assert_non_null(plugin);
    assert_int_equal(plugin->abi, CUDA_PLUGIN_ABI);
    assert_null(dlsym(library, "err_set")); /* nothing but the entry is exported */
    /* Left open: libgomp, which may have come with it, does not free all it holds. */
}

/* The plugin itself, with NVIDIA's libraries: it loads, and says why there is no device. */
static void the_real_plugin(void **state)
{
    char line[4096], text[2048];
    const cuda_plugin *plugin = NULL;
    int devices = 0;
    (void)state;
    setenv("OUTPOST_PLUGIN_DIR", build, 1);
    plugin_describe(text, sizeof text);
    print_message("# %.*s\n", (int)strcspn(text, "\n"), text);
    assert_int_equal(plugin_load(&plugin), 0);
    assert_non_null(strstr(text, "CUDA runtime 1"));
    assert_true(strncmp(text, "plugin /", 8) == 0);
    assert_non_null(strstr(text, "/outpost-cuda.so, built with CUDA 1"));
    if (plugin->count(&devices) == 0) {
        assert_true(devices > 0);
        assert_int_equal(child(self, dir_variable(build), "cuda", line), 0);
        assert_string_equal(line, "0 0 computed");
    } else {
        print_message("# %s\n", err_text());
        assert_true(strncmp(err_text(), "no CUDA device: ", 16) == 0);
        assert_int_equal(plugin->fault(), FAULT_ABSENT);
        err_clear();
        assert_int_equal(child(self, dir_variable(build), "cuda", line), 5);
        assert_non_null(strstr(line, "-5 1 no CUDA device: "));
    }
    unsetenv("OUTPOST_PLUGIN_DIR");
}

static int teardown(void **state)
{
    char command[2 * PATH_MAX];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command);
}

int main(int argc, char **argv)
{
    struct CMUnitTest tests[] = {
        cmocka_unit_test(device_names), cmocka_unit_test(lists_of_devices),
        cmocka_unit_test(no_plugin),
        cmocka_unit_test(files_that_are_no_plugin),
        cmocka_unit_test(a_plugin_of_another_version),
        cmocka_unit_test(places_beside_the_program),
        cmocka_unit_test(failures_cross_the_border),
        cmocka_unit_test(a_device_is_checked),
        cmocka_unit_test(another_abi),
        { NULL, NULL, NULL, NULL, NULL },
    };
    const char *tmp = getenv("TMPDIR");
    char path[2 * PATH_MAX];
    ssize_t n;
    if (argc == 3 && strcmp(argv[1], "--probe") == 0) return probe(argv[2]);
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0) return 1;
    self[n] = '\0';
    snprintf(build, sizeof build, "%.*s", (int)(strrchr(self, '/') - self), self);
    *strrchr(build, '/') = '\0';
    snprintf(scratch, sizeof scratch, "%s/outpost-plugin-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(scratch) == NULL) return 1;
    /* Present in builds with the toolkit only. */
    snprintf(path, sizeof path, "%s/outpost-cuda.so", build);
    if (access(path, F_OK) == 0) {
        tests[8] = (struct CMUnitTest)cmocka_unit_test(the_real_plugin);
        return _cmocka_run_group_tests("plugin", tests, 9, NULL, teardown);
    }
    return _cmocka_run_group_tests("plugin", tests, 8, NULL, teardown);
}
