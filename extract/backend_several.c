/* `-d cuda:0,1,...`: several GPUs of one machine in one process.  Each has a network of its own; batches
 * are dealt to them in turn and come back in the order in which they were handed in.  All networks have one
 * batch size, so an image meets the same kernels on each, and GPUs of one model give the bytes of one GPU.
 * One thread serves them: what it does per image is to copy its outputs out of pinned memory, and every call into the plugin selects its device first. */
#include "extract/backend_cuda.h"
#include "extract/plugin.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ABOUT = 192 };

typedef struct several {
    size_t n;
    int device[DEVICES_MAX];
    void *net[DEVICES_MAX];
    size_t next, oldest; /* whose turn it is to take a batch, and to give one back */
    size_t under_way;
} several;

/* Says which device it was; the text behind it is that of one device. */
static int blame(const several *s, size_t at, int rc)
{
    char why[2048];
    if (rc >= 0) return rc;
    snprintf(why, sizeof why, "%s", err_text());
    err_clear();
    return err_set(rc, "cuda:%d: %s", s->device[at], why);
}

static void close_several(void **out)
{
    several *s = *out;
    if (s == NULL) return;
    for (size_t i = 0; i < s->n; i++)
        if (s->net[i] != NULL) backend_cuda.close(&s->net[i]);
    free(s);
    *out = NULL;
}

/* The rounding follows the size of a device's batch: where one of them had to take half, all do. */
static int open_alike(several *s, const plan *p, const backend_options *o)
{
    int rc = 0;
    size_t least = o->batch;
    for (size_t i = 0; i < s->n; i++) {
        size_t part = least < o->batch ? least : 0;
        TRY(blame(s, i, cuda_net_open(&s->net[i], p, o, s->device[i], part)));
        if (cuda_net_batch(s->net[i]) < least) least = cuda_net_batch(s->net[i]);
    }
    for (size_t i = 0; i < s->n; i++) {
        if (cuda_net_batch(s->net[i]) == least) continue;
        backend_cuda.close(&s->net[i]);
        TRY(blame(s, i, cuda_net_open(&s->net[i], p, o, s->device[i], least)));
    }
done:
    return rc;
}

static size_t first_alike(const several *s, size_t at)
{
    char a[ABOUT], b[ABOUT];
    size_t i = 0;
    backend_cuda.describe(s->net[at], a, sizeof a);
    for (; i < at; i++) {
        backend_cuda.describe(s->net[i], b, sizeof b);
        if (strcmp(a, b) == 0) break;
    }
    return i;
}

/* GPUs of one model: the text of one of them, for the bytes are the same and a run may go on with fewer or
 * more.  Else each text once, with the devices that it is of. */
static void describe(const void *net, char *text, size_t room)
{
    const several *s = net;
    size_t at = 0;
    int mixed = 0;
    for (size_t i = 0; i < s->n; i++)
        mixed |= first_alike(s, i) != 0;
    if (!mixed) {
        backend_cuda.describe(s->net[0], text, room);
        return;
    }
    text[0] = '\0';
    for (size_t i = 0; i < s->n; i++) {
        char one[ABOUT];
        const char *comma = ":";
        if (first_alike(s, i) < i) continue;
        backend_cuda.describe(s->net[i], one, sizeof one);
        if (at < room) at += (size_t)snprintf(text + at, room - at, "%s%s", i > 0 ? " + " : "", one);
        for (size_t k = i; k < s->n; k++) {
            if (first_alike(s, k) != i) continue;
            if (at < room) at += (size_t)snprintf(text + at, room - at, "%s%d", comma, s->device[k]);
            comma = ",";
        }
    }
}

static void say_devices(const several *s)
{
    char text[1024], list[8 * DEVICES_MAX] = "";
    size_t at = 0;
    int mixed = 0;
    for (size_t i = 0; i < s->n; i++) {
        mixed |= first_alike(s, i) != 0;
        if (at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%d", i > 0 ? "," : "", s->device[i]);
    }
    describe(s, text, sizeof text);
    if (mixed)
        log_warn("GPUs of different models may round differently: the bits of an image depend on which "
                 "of them it met (%s)", text);
    else
        log_info("cuda:%s: %zu GPUs take batches in turn (%s each)", list, s->n, text);
}

static int open_several(void **out, plan *p, const backend_options *o)
{
    int rc = 0;
    void *made = NULL;
    several *s;
    CHECK(o->n_devices > 0 && o->n_devices <= DEVICES_MAX, ERR_INTERNAL, "%zu devices", o->n_devices);
    TRY(mem_new(&made, 1, sizeof *s, "networks"));
    s = made;
    s->n = o->n_devices;
    memcpy(s->device, o->devices, s->n * sizeof *s->device);
    TRY(open_alike(s, p, o));
    plan_drop_weights(p); /* each device has them now */
    say_devices(s);
    *out = made;
    made = NULL;
done:
    close_several(&made);
    return rc;
}

static size_t depth(const void *net)
{
    const several *s = net;
    return s->n * backend_cuda.depth(s->net[0]);
}

static int submit(void *net, const batch_input *in, size_t images)
{
    int rc = 0;
    several *s = net;
    CHECK(s->under_way < depth(s), ERR_INTERNAL, "%zu batches are under way", s->under_way);
    TRY(blame(s, s->next, backend_cuda.submit(s->net[s->next], in, images)));
    s->next = (s->next + 1) % s->n;
    s->under_way++;
done:
    return rc;
}

static int wait_oldest(void *net, float *const *out)
{
    int rc = 0;
    several *s = net;
    CHECK(s->under_way > 0, ERR_INTERNAL, "no batch is under way");
    TRY(blame(s, s->oldest, backend_cuda.wait(s->net[s->oldest], out)));
    s->oldest = (s->oldest + 1) % s->n;
    s->under_way--;
done:
    return rc;
}

static int forward(void *net, const batch_input *in, size_t images, float *const *out)
{
    int rc = submit(net, in, images);
    return rc < 0 ? rc : wait_oldest(net, out);
}

static size_t memory(const void *net)
{
    const several *s = net;
    size_t sum = 0;
    for (size_t i = 0; i < s->n; i++)
        sum += backend_cuda.memory(s->net[i]);
    return sum;
}

static int wants_dense(precision p)
{
    return backend_cuda.wants_dense(p);
}

/* Pinned memory serves every device, whichever it was asked of. */
static int host_alloc(void *net, size_t bytes, void **mem)
{
    const several *s = net;
    return blame(s, 0, backend_cuda.host_alloc(s->net[0], bytes, mem));
}

static void host_release(void *net, void **mem)
{
    const several *s = net;
    void *none = NULL;
    for (size_t i = 1; i < s->n; i++)
        backend_cuda.host_release(s->net[i], &none); /* waits */
    backend_cuda.host_release(s->net[0], mem);
}

/* Named as one GPU is: what it makes is the same. */
const backend_def backend_several = {"cuda", wants_dense,   open_several, forward,     describe,
                                     memory, close_several, submit,       wait_oldest, depth,
                                     host_alloc, host_release};
