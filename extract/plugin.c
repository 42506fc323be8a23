#include "extract/plugin.h"

#include "common/err.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "outpost-cuda.so"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const cuda_plugin *loaded;
static void *library;
static char reason[PATH_MAX + 256]; /* why `loaded` is NULL */
static char where[PATH_MAX];        /* the file that is loaded */
static cuda_backend *checked[DEVICES_MAX]; /* opened by plugin_check for plugin_open; live until then */
static int checked_device[DEVICES_MAX];

static int fail(int code, const char *text)
{
    return err_set(code, "%s", text);
}

static const cuda_host host = { .fail = fail };

static int exists(char path[PATH_MAX], const char *directory, const char *below)
{
    int n = snprintf(path, PATH_MAX, "%s%s/%s", directory, below, FILE_NAME);
    return n > 0 && n < PATH_MAX && access(path, F_OK) == 0;
}

/* The file to load, or the reason why there is none. */
static int find(char path[PATH_MAX])
{
    const char *asked = secure_getenv("OUTPOST_PLUGIN_DIR");
    char program[PATH_MAX];
    ssize_t n;
    if (asked != NULL && asked[0] != '\0') {
        if (asked[0] == '/' && exists(path, asked, "")) return 1;
        snprintf(reason, sizeof reason, "no CUDA plugin in $OUTPOST_PLUGIN_DIR: %s%s", asked,
                 asked[0] == '/' ? " has no " FILE_NAME : " is not an absolute path");
        return 0;
    }
    n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0) {
        char *slash;
        program[n] = '\0';
        slash = strrchr(program, '/');
        if (slash != NULL) {
            *slash = '\0';
            if (exists(path, program, "") || exists(path, program, "/../libexec/outpost")) return 1;
        }
    }
    snprintf(reason, sizeof reason, "no CUDA plugin beside this program (built with CUDA=0?)");
    return 0;
}

static void load(void)
{
    char path[PATH_MAX];
    void *symbol;
    cuda_plugin_entry *entry;
    if (!find(path)) return;
    library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *why = dlerror();
        snprintf(reason, sizeof reason, "the CUDA plugin does not load: %.*s", PATH_MAX,
                 why != NULL ? why : path);
        return;
    }
    /* Never closed again: the libraries below it keep threads, memory and exit handlers. */
    symbol = dlsym(library, CUDA_PLUGIN_ENTRY);
    if (symbol == NULL) {
        snprintf(reason, sizeof reason, "%s is not a plugin of outpost", path);
        return;
    }
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from object to function pointer */
    loaded = entry(CUDA_PLUGIN_ABI, sizeof(op_args), KERNEL_COUNT, &host);
    if (loaded != NULL && loaded->abi != CUDA_PLUGIN_ABI) loaded = NULL;
    if (loaded != NULL && strcmp(loaded->version, OUTPOST_VERSION) != 0) loaded = NULL;
    if (loaded == NULL)
        snprintf(reason, sizeof reason, "%s is not of this build of outpost %s; install both together",
                 path, OUTPOST_VERSION);
    snprintf(where, sizeof where, "%s", path);
}

int plugin_load(const cuda_plugin **out)
{
    int rc = 0;
    pthread_once(&once, load);
    CHECK(loaded != NULL, ERR_ENV, "%s", reason);
    *out = loaded;
done:
    return rc;
}

void *plugin_symbol(const char *name)
{
    pthread_once(&once, load);
    return loaded != NULL ? dlsym(library, name) : NULL;
}

const cuda_host *plugin_host(void)
{
    return &host;
}

void plugin_describe(char *text, size_t room)
{
    int n;
    char built[128];
    pthread_once(&once, load);
    if (loaded == NULL) {
        snprintf(text, room, "%s\n", reason);
        return;
    }
    loaded->built(built, sizeof built);
    n = snprintf(text, room, "plugin %s, built with %s\n", where, built);
    if (n > 0 && (size_t)n < room) loaded->describe(text + n, room - (size_t)n);
}

/* Which of several it was. */
static int blame(int rc, int device)
{
    char why[2048];
    snprintf(why, sizeof why, "%s", err_text());
    err_clear();
    return err_set(rc, "cuda:%d: %s", device, why);
}

static void close_checked(const cuda_plugin *plugin)
{
    for (int i = 0; i < DEVICES_MAX; i++)
        if (checked[i] != NULL) plugin->close(&checked[i]);
}

int plugin_check(const char *text, device_list *devices)
{
    int rc = 0;
    const cuda_plugin *plugin = NULL;
    TRY(plugin_parse_devices(text, devices));
    TRY(plugin_load(&plugin));
    close_checked(plugin);
    for (size_t i = 0; i < devices->n; i++) {
        rc = plugin->open(&checked[i], devices->id[i]);
        if (rc < 0 && devices->n > 1) rc = blame(rc, devices->id[i]);
        if (rc < 0) close_checked(plugin);
        if (rc < 0) goto done;
        checked_device[i] = devices->id[i];
    }
done:
    return rc;
}

int plugin_open(const cuda_plugin **plugin, cuda_backend **out, int device)
{
    int rc = 0;
    TRY(plugin_load(plugin));
    for (int i = 0; i < DEVICES_MAX; i++)
        if (checked[i] != NULL && checked_device[i] == device) {
            *out = checked[i];
            checked[i] = NULL;
            return 0;
        }
    TRY((*plugin)->open(out, device));
done:
    return rc;
}

/* A number at *at, which moves behind it; 0 when there is none that a device could have. */
static int take_number(const char **at, int *n)
{
    char *end = NULL;
    long v;
    if (**at < '0' || **at > '9') return 0;
    errno = 0;
    v = strtol(*at, &end, 10);
    if (errno != 0 || v > INT_MAX) return 0;
    *at = end;
    *n = (int)v;
    return 1;
}

int plugin_parse_devices(const char *text, device_list *devices)
{
    int rc = 0;
    device_list found = {.n = 1};
    const char *at = text + 5;
    int listed = strncmp(text, "cuda:", 5) == 0;
    CHECK(listed || strcmp(text, "cuda") == 0, ERR_USAGE,
          "'%s' is not a CUDA device: cuda or cuda:N", text);
    for (found.n = listed ? 0 : 1; listed; at++) {
        CHECK(found.n < DEVICES_MAX, ERR_USAGE, "'%s': more than %d devices", text, DEVICES_MAX);
        CHECK(take_number(&at, &found.id[found.n]) && (*at == ',' || *at == '\0'), ERR_USAGE,
              "'%s' is not a CUDA device: cuda:N or cuda:N,M,... with numbers from 0", text);
        for (size_t i = 0; i < found.n; i++)
            CHECK(found.id[i] != found.id[found.n], ERR_USAGE, "'%s' names device %d twice", text,
                  found.id[i]);
        found.n++;
        listed = *at == ',';
    }
    *devices = found;
done:
    return rc;
}

int plugin_parse_device(const char *text, int *device)
{
    int rc = 0;
    device_list found;
    TRY(plugin_parse_devices(text, &found));
    CHECK(found.n == 1, ERR_USAGE, "'%s' is more than one device: cuda or cuda:N", text);
    *device = found.id[0];
done:
    return rc;
}
