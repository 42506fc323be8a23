/* extract doctor: what this machine can do, and what would stand in a run's way. */
#include "extract/backend.h"
#include "extract/commands.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/conv_dnnl.h"
#include "extract/plugin.h"
#include "extract/session.h"
#include "extract/shard.h"
#include "common/err.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

typedef struct doctor_config {
    const char *device, *dir;
} doctor_config;

/* "NAME : VALUE" or "NAME:  VALUE kB" of a file in /proc; 0 when it is not there. */
static int proc_line(const char *path, const char *name, char *out, size_t room)
{
    char line[512];
    int found = 0;
    FILE *f = fopen(path, "re");
    while (f != NULL && !found && fgets(line, sizeof line, f) != NULL) {
        char *colon = strchr(line, ':');
        if (colon == NULL || strncmp(line, name, strlen(name)) != 0) continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, room, "%s", colon + 1 + strspn(colon + 1, " \t"));
        found = 1;
    }
    if (f != NULL) fclose(f);
    return found;
}

static double proc_gib(const char *name)
{
    char text[64];
    return proc_line("/proc/meminfo", name, text, sizeof text) ? strtod(text, NULL) / 1048576 : 0;
}

static void print_processor(void)
{
    char name[256] = "unknown";
    const char *cores = getenv("SLURM_CPUS_PER_TASK");
    (void)proc_line("/proc/cpuinfo", "model name", name, sizeof name);
    printf("processor  %s, %d threads for this process%s\n", name, session_default_threads(),
           cores != NULL ? " (SLURM_CPUS_PER_TASK counts)" : "");
    printf("           fp32 by %s kernels; bf16 by %s\n", conv_kernel_f32()->name,
           conv_dnnl_has_amx()            ? "oneDNN on AMX tiles"
           : conv_kernel_bf16() != NULL   ? "own kernels (AVX512_BF16)"
                                          : "nothing: -p bf16 needs AVX512_BF16 or AMX");
    if (strncmp(conv_kernel_f32()->name, "base", 4) == 0)
        printf("           slow: no AVX2 here, or OUTPOST_CPU=base is set\n");
}

static void print_memory(void)
{
    struct rlimit r;
    printf("memory     %.1f GiB, %.1f available", proc_gib("MemTotal"), proc_gib("MemAvailable"));
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
        printf("; this process is held to %.1f (ulimit -v)", (double)r.rlim_cur / 1073741824);
    putchar('\n');
}

/* The plugin's own words, or why there is none. */
static void print_cuda(void)
{
    char text[4096], *line, *rest = text;
    const char *head = "CUDA";
    plugin_describe(text, sizeof text);
    for (; (line = strsep(&rest, "\n")) != NULL; head = "")
        if (line[0] != '\0') printf("%-10s %s\n", head, line);
}

static void print_batch_system(void)
{
    shard s;
    if (shard_parse(&s, "auto") == 0)
        printf("batch      task %zu of %zu: --shard auto takes that part\n", s.index, s.count);
    else if (getenv("SLURM_JOB_ID") != NULL)
        printf("batch      Slurm job %s, no array\n", getenv("SLURM_JOB_ID"));
    else printf("batch      none: --shard I/N says the part by hand\n");
    err_clear();
}

/* Where an output would go: may be written, room, and whether space can be claimed beforehand. */
static int print_folder(const char *dir)
{
    int rc = 0, fd = -1;
    struct statvfs v;
    char name[4096];
    snprintf(name, sizeof name, "%s/outpost-doctor-XXXXXX", dir);
    CHECK(statvfs(dir, &v) == 0, ERR_ENV, "%s: no such folder", dir);
    fd = mkstemp(name);
    CHECK(fd >= 0, ERR_ENV, "%s: cannot be written", dir);
    unlink(name);
    printf("folder     %s: %.1f GiB free%s\n", dir, (double)v.f_bavail * (double)v.f_frsize / 1073741824,
           posix_fallocate(fd, 0, 1 << 20) == 0 ? ", space can be claimed before a run"
                                                : "; space cannot be claimed beforehand");
done:
    if (fd >= 0) close(fd);
    return rc;
}

static int cmd_doctor(void *config)
{
    const doctor_config *c = config;
    int rc = 0;
    const backend_def *backend;
    device_list devices;
    print_processor();
    print_memory();
    print_cuda();
    print_batch_system();
    TRY(print_folder(c->dir));
    if (c->device != NULL) {
        fflush(stdout);
        TRY(backend_find(&backend, &devices, c->device));
        printf("device     %s: ready%s\n", c->device, strncmp(c->device, "cuda", 4) == 0 ? ", self-test passed" : "");
    }
done:
    return rc;
}

#define AT(field) offsetof(doctor_config, field)
static const opt opts[] = {
    { .name = "device", .letter = 'd', .kind = OPT_STRING, .at = AT(device), .value = "NAME",
      .help = "also open this one: cpu, cuda, cuda:N, cuda:N,M,..." },
    { .name = "dir", .kind = OPT_STRING, .at = AT(dir), .value = "DIR", .help = "where outputs would go", .def = "." },
    { .name = NULL }
};

const command command_doctor = {
    .name = "doctor",
    .summary = "Says what this machine can do and what would stand in a run's way.",
    .synopsis = "[-d DEVICE] [--dir DIR]",
    .about = "example: srun --gpus=1 extract doctor -d cuda --dir /scratch/me\n"
             "Exit: 0, or 5 when the device or the folder cannot be used.",
    .opts = opts,
    .config_size = sizeof(doctor_config),
    .run = cmd_doctor,
};
