#include "tests/mock/cuda.h"
#include "tests/mock/libraries.h"

#include "kernels/table.h"
#include "extract/cuda/errors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef MOCK_TWINS
#define MOCK_TWINS kernels_cpu /* build/emu: kernels_cuda, compiled for the CPU */
#endif

enum { DRIVER_13 = 13000, NOTHING = -1, FILLED = 4 << 20, OTHER_DEVICE = 400 };

#define SOUND                                                                                      \
    {                                                                                              \
        .devices = 1, .driver = DRIVER_13, .major = 9, .minor = 0, .memory = (size_t)1 << 30,      \
        .wrong_kernel = NOTHING, .fail_call = NOTHING, .fail_device = NOTHING                      \
    }

mock_settings mock = SOUND;

const char *const mock_names[MOCK_CALLS] = {
#define CALL(library, name, parameters, arguments, real) #name,
#include "extract/cuda/calls.def"
#include "score/cuda/calls_linalg.def"
#undef CALL
};
const cuda_library mock_libraries[MOCK_CALLS] = {
#define CALL(library, name, parameters, arguments, real) LIB_##library,
#include "extract/cuda/calls.def"
#include "score/cuda/calls_linalg.def"
#undef CALL
};

static unsigned counts[MOCK_CALLS];
static unsigned there; /* calls of the failing one on its device */
static int pending, lost[MOCK_DEVICES]; /* what cudaGetLastError would give */
static int live;
static size_t bytes_held[MOCK_DEVICES];
static _Thread_local int current; /* device */

void mock_made(int difference)
{
    live += difference;
}

typedef struct work {
    enum { COPY, FILL, RUN, RECORD, WAIT, GRAPH, LIBRARY } what;
    void *dst; /* RECORD, WAIT: the event; GRAPH: the graph */
    const void *src;
    int byte, kernel;
    size_t bytes;  /* RECORD, WAIT: which record of the event */
    op_args args;
    mock_library library;
} work;

typedef struct work_list {
    work *v;
    size_t n, room;
} work_list;

typedef struct mock_stream {
    work_list queue;
    size_t next;                /* what runs next */
    work_list *capture;         /* where work goes instead, NULL: nowhere else */
    struct mock_stream *others; /* all streams */
    int device;
} mock_stream;

typedef struct mock_event {
    mock_stream *stream;
    size_t recorded, done;
    int device;
} mock_event;

typedef struct mock_block { /* before each piece of device memory */
    size_t bytes;
    int device;
    char fill[244];
} mock_block;

void mock_reset(void)
{
    mock = (mock_settings)SOUND;
    memset(counts, 0, sizeof counts);
    pending = current = 0;
    there = 0;
    memset(lost, 0, sizeof lost);
}

unsigned mock_count(int call)
{
    return counts[call];
}

int mock_live(void)
{
    return live;
}

size_t mock_bytes(void)
{
    size_t sum = 0;
    for (int i = 0; i < MOCK_DEVICES; i++)
        sum += bytes_held[i];
    return sum;
}

/* Counts a call; the status it must fail with, or 0. */
static int enter(int call)
{
    int status = 0;
    counts[call]++;
    if (lost[current] != 0 && mock_libraries[call] == LIB_CUDA && call != MOCK_set_device)
        status = lost[current];
    if (call == mock.fail_call && mock.fail_device == current) there++;
    if (call == mock.fail_call && (mock.fail_device < 0 ? counts[call] : there) == mock.fail_at &&
        (mock.fail_device < 0 || mock.fail_device == current)) {
        status = mock.fail_status;
        if (mock.lost && mock_libraries[call] == LIB_CUDA) lost[current] = status;
    }
    if (status != 0 && mock_libraries[call] == LIB_CUDA) pending = status;
    return status;
}

int mock_enter(int call)
{
    return enter(call);
}

/* A failing release releases all the same: the driver takes back what a dead context held. */
static int releases(int call)
{
    return call == MOCK_device_free || call == MOCK_host_free || call == MOCK_stream_destroy ||
           call == MOCK_blas_destroy || call == MOCK_lt_destroy || call == MOCK_dnn_destroy ||
           call == MOCK_event_destroy || call == MOCK_graph_free || call == MOCK_graph_free_ready ||
           call == MOCK_lt_plan_free || call == MOCK_dnn_free || call == MOCK_capture_end;
}

/* ---- the device ---------------------------------------------------------------------------- */

static int host_driver_version(int *version)
{
    *version = mock.driver;
    return 0;
}

static int host_runtime_version(int *version)
{
    *version = DRIVER_13;
    return 0;
}

static int host_device_count(int *count)
{
    int status = mock.driver < DRIVER_13 ? 35 : mock.devices == 0 ? 100 : 0;
    *count = status == 0 ? mock.devices : 0;
    return status;
}

static int host_device_facts(device_facts *out, int device)
{
    *out = (device_facts){ .name = "mock device in host memory", .major = mock.major,
                           .minor = mock.minor, .processors = 1, .memory = mock.memory };
    if (device >= 0 && device < MOCK_DEVICES && mock.model[device][0] != '\0')
        snprintf(out->name, sizeof out->name, "mock device %s", mock.model[device]);
    snprintf(out->pci, sizeof out->pci, "0000:%02x:00.0", (unsigned)device & 0xff);
    return 0;
}

static int host_set_device(int device)
{
    if (device < 0 || device >= mock.devices || device >= MOCK_DEVICES) return 101;
    current = device;
    return lost[device];
}

static size_t memory_here(void)
{
    return mock.memory_of[current] > 0 ? mock.memory_of[current] : mock.memory;
}

static int host_memory_info(size_t *unused, size_t *total)
{
    *total = memory_here();
    *unused = *total - bytes_held[current];
    return 0;
}

static int new_thing(void **out, size_t bytes)
{
    *out = calloc(1, bytes);
    if (*out == NULL) return 2;
    live++;
    return 0;
}

static int free_thing(void *thing)
{
    free(thing);
    live--;
    return 0;
}

static mock_stream *streams;

static int host_stream_create(void **stream)
{
    int status = new_thing(stream, sizeof(mock_stream));
    mock_stream *s = *stream;
    if (status != 0) return status;
    s->others = streams;
    s->device = current;
    streams = s;
    return 0;
}

/* What was queued when waiting failed never happens. */
static void drop_queues(void)
{
    for (mock_stream *s = streams; s != NULL; s = s->others)
        if (s->device == current) s->queue.n = s->next = 0;
}

static int host_stream_destroy(void *stream)
{
    mock_stream **at = &streams;
    while (*at != stream)
        at = &(*at)->others;
    *at = (*at)->others;
    free(((mock_stream *)stream)->queue.v);
    return free_thing(stream);
}

static void flip_lowest_bit(float *v)
{
    uint32_t bits;
    memcpy(&bits, v, sizeof bits);
    bits ^= 1;
    memcpy(v, &bits, sizeof bits);
}

static void run_until(mock_event *e, size_t ticket);

static void run_work(work *w)
{
    work_list *l;
    switch (w->what) {
    case COPY: memcpy(w->dst, w->src, w->bytes); break;
    case FILL: memset(w->dst, w->byte, w->bytes); break;
    case RUN:
        (void)MOCK_TWINS[w->kernel](&w->args);
        if (w->kernel == mock.wrong_kernel) flip_lowest_bit(w->args.y);
        break;
    case RECORD: ((mock_event *)w->dst)->done = w->bytes; break;
    case WAIT: run_until(w->dst, w->bytes); break;
    case GRAPH:
        l = w->dst;
        for (size_t i = 0; i < l->n; i++)
            run_work(&l->v[i]);
        break;
    case LIBRARY: mock_library_run(&w->library); break;
    }
}

/* Streams run only as far as somebody waits for: a dependency that was not stated is work not done. */
static void run_until(mock_event *e, size_t ticket)
{
    mock_stream *s = e->stream;
    while (e->done < ticket && s->next < s->queue.n)
        run_work(&s->queue.v[s->next++]);
}

static int host_stream_sync(void *stream)
{
    mock_stream *s = stream;
    while (s->next < s->queue.n)
        run_work(&s->queue.v[s->next++]);
    s->queue.n = s->next = 0;
    return 0;
}

static int append(work_list *l, const work *w)
{
    if (l->n == l->room) {
        size_t room = l->room * 2 + 8;
        work *more = realloc(l->v, room * sizeof *more);
        if (more == NULL) return 2;
        l->v = more;
        l->room = room;
    }
    l->v[l->n++] = *w;
    return 0;
}

static int push(void *stream, work w)
{
    mock_stream *s = stream;
    if (s->device != current) return OTHER_DEVICE;
    return append(s->capture != NULL ? s->capture : &s->queue, &w);
}

int mock_push(void *stream, const mock_library *l)
{
    return push(stream, (work){ .what = LIBRARY, .library = *l });
}

/* ---- events and graphs --------------------------------------------------------------------- */

static int host_event_create(void **event, int timed)
{
    int status = new_thing(event, sizeof(mock_event));
    (void)timed;
    if (status == 0) ((mock_event *)*event)->device = current;
    return status;
}

static int host_event_destroy(void *event)
{
    return free_thing(event);
}

static int host_event_record(void *event, void *stream)
{
    mock_event *e = event;
    if (e->device != current) return OTHER_DEVICE;
    e->stream = stream;
    return push(stream, (work){ .what = RECORD, .dst = e, .bytes = ++e->recorded });
}

static int host_event_wait(void *stream, void *event)
{
    mock_event *e = event;
    return e->recorded == 0 ? 0 : push(stream, (work){ .what = WAIT, .dst = e, .bytes = e->recorded });
}

static int host_event_sync(void *event)
{
    mock_event *e = event;
    if (e->recorded > 0) run_until(e, e->recorded);
    return 0;
}

/* Some order, so that choosing the fastest has something to choose. */
static int host_event_elapsed(float *ms, void *from, void *to)
{
    *ms = 1.0f + 0.25f * (float)((((mock_event *)from)->recorded + ((mock_event *)to)->recorded) % 7);
    return 0;
}

static int host_capture_begin(void *stream)
{
    return new_thing((void **)&((mock_stream *)stream)->capture, sizeof(work_list));
}

static int host_capture_end(void *stream, void **recorded)
{
    mock_stream *s = stream;
    *recorded = s->capture;
    s->capture = NULL;
    return 0;
}

static int host_graph_make(void **ready, void *recorded)
{
    const work_list *from = recorded;
    int status = new_thing(ready, sizeof(work_list));
    for (size_t i = 0; status == 0 && i < from->n; i++)
        status = append(*ready, &from->v[i]);
    return status;
}

static int host_graph_launch(void *ready, void *stream)
{
    return push(stream, (work){ .what = GRAPH, .dst = ready });
}

static int host_graph_free(void *recorded)
{
    if (recorded == NULL) return 0;
    free(((work_list *)recorded)->v);
    return free_thing(recorded);
}

static int host_graph_free_ready(void *ready)
{
    return host_graph_free(ready);
}

static int host_device_alloc(void **mem, size_t bytes)
{
    mock_block *b;
    size_t whole = sizeof *b + (bytes + 255) / 256 * 256;
    *mem = NULL;
    if (bytes > memory_here() - bytes_held[current]) return pending = 2;
    b = aligned_alloc(256, whole);
    if (b == NULL) return pending = 2;
    /* NaN, as no real device promises anything better; of large workspaces the beginning, for speed. */
    memset(b, 0xff, whole < FILLED ? whole : FILLED);
    b->bytes = bytes;
    b->device = current;
    bytes_held[current] += bytes;
    live++;
    *mem = b + 1;
    return 0;
}

static int host_device_free(void *mem)
{
    mock_block *b = (mock_block *)mem - 1;
    bytes_held[b->device] -= b->bytes;
    live--;
    free(b);
    return 0;
}

static int host_host_alloc(void **mem, size_t bytes)
{
    *mem = malloc(bytes);
    if (*mem == NULL) return 2;
    live++;
    return 0;
}

static int host_host_free(void *mem)
{
    return free_thing(mem);
}

static int host_copy_in(void *dst, const void *src, size_t bytes, void *stream)
{
    return push(stream, (work){ .what = COPY, .dst = dst, .src = src, .bytes = bytes });
}

static int host_copy_out(void *dst, const void *src, size_t bytes, void *stream)
{
    return push(stream, (work){ .what = COPY, .dst = dst, .src = src, .bytes = bytes });
}

static int host_fill(void *dst, int byte, size_t bytes, void *stream)
{
    return push(stream, (work){ .what = FILL, .dst = dst, .byte = byte, .bytes = bytes });
}

static int host_last_error(void)
{
    int status = pending;
    pending = lost[current];
    return status;
}

/* ---- the table ----------------------------------------------------------------------------- */

#define CALL(library, name, parameters, arguments, real)                                           \
    static int mock_##name parameters                                                              \
    {                                                                                              \
        int failed = enter(MOCK_##name), status;                                                   \
        if (failed != 0 && (MOCK_##name == MOCK_stream_sync || MOCK_##name == MOCK_event_sync))        \
            drop_queues();                         \
        if (failed != 0 && !releases(MOCK_##name)) return failed;                                  \
        status = host_##name arguments;                                                            \
        return failed != 0 ? failed : status;                                                      \
    }
#include "extract/cuda/calls.def"
#undef CALL

/* A launch queues the CPU twin and asks for the launch's error, as the real launchers do. */
#define KERNEL(name, operands)                                                                     \
    static int queue_##name(const op_args *a)                                                      \
    {                                                                                              \
        int status = push(a->stream, (work){ .what = RUN, .kernel = KERNEL_##name, .args = *a });  \
        if (status != 0) pending = status;                                                         \
        return launched(#name);                                                                    \
    }
#include "kernels/table.def"
#undef KERNEL

static const kernel_fn queue[KERNEL_COUNT] = {
#define KERNEL(name, operands) queue_##name,
#include "kernels/table.def"
#undef KERNEL
};

static const char *error_text(cuda_library library, int status)
{
    (void)library;
    return status == 0 ? "no error" : "the library's own words";
}

static void dnn_details(char *text, size_t room)
{
    snprintf(text, room, "details\nsecond line");
}

static size_t dnn_version(void)
{
    return 91900;
}

static void built(char *text, size_t room)
{
    snprintf(text, room, "a mock of CUDA 13.0");
}

static size_t lt_version(void)
{
    return 130001;
}

const cuda_calls cuda = {
#define CALL(library, name, parameters, arguments, real) .name = mock_##name,
#include "extract/cuda/calls.def"
#undef CALL
    .error_text = error_text,
    .dnn_details = dnn_details,
    .dnn_version = dnn_version,
    .lt_version = lt_version,
    .built = built,
    .kernels = queue,
};

/* Memory of each device, the last one for all that follow. */
static void read_memory(const char *text)
{
    size_t bytes = 0;
    for (int i = 0; i < MOCK_DEVICES; i++) {
        char *end;
        if (*text != '\0') {
            bytes = (size_t)strtoull(text, &end, 10);
            text = *end == ',' ? end + 1 : end;
        }
        mock.memory_of[i] = bytes;
    }
}

static void read_models(const char *text)
{
    for (int i = 0; i < MOCK_DEVICES && *text != '\0'; i++) {
        size_t n = strcspn(text, ",");
        snprintf(mock.model[i], sizeof mock.model[i], "%.*s", (int)n, text);
        text += n + (text[n] == ',');
    }
}

/* CALL[@DEVICE]:NTH:STATUS[:lost] */
static void read_failure(const char *text)
{
    char call[40], how[8] = "", *at;
    if (sscanf(text, "%39[^:]:%u:%d:%7s", call, &mock.fail_at, &mock.fail_status, how) < 3) return;
    at = strchr(call, '@');
    if (at != NULL) {
        *at = '\0';
        mock.fail_device = atoi(at + 1);
    }
    mock.lost = strcmp(how, "lost") == 0;
    for (int i = 0; i < MOCK_CALLS; i++)
        if (strcmp(call, mock_names[i]) == 0) mock.fail_call = i;
}

__attribute__((constructor)) static void read_environment(void)
{
    const char *devices = getenv("OUTPOST_MOCK_DEVICES"), *memory = getenv("OUTPOST_MOCK_MEMORY");
    const char *failing = getenv("OUTPOST_MOCK_FAIL"), *wrong = getenv("OUTPOST_MOCK_WRONG");
    const char *models = getenv("OUTPOST_MOCK_MODELS");
    if (devices != NULL) mock.devices = atoi(devices);
    if (memory != NULL) read_memory(memory);
    if (models != NULL) read_models(models);
    for (int k = 0; wrong != NULL && k < KERNEL_COUNT; k++)
        if (strcmp(wrong, kernel_names[k]) == 0) mock.wrong_kernel = k;
    if (failing != NULL) read_failure(failing);
}
