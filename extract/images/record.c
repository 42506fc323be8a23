#include "extract/images/record.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

/* Makes room for `bytes` at the next place that is a multiple of RECORD_ALIGN. */
static int append(record_memory *m, size_t bytes, const char *name)
{
    int rc = 0;
    size_t at = record_aligned(m->used);
    TRY(mem_grow(&m->bytes, &m->room, at + bytes, 1, name));
    memset(m->bytes + m->used, 0, at - m->used);
    m->used = at + bytes;
done:
    return rc;
}

/* A pass as the kernels read it; `origin` is the window's first pixel. */
static int append_pass(record_memory *m, record_axis *a, const resize_pass *p, int origin, const char *name)
{
    int rc = 0;
    size_t count = (size_t)p->count, weights = count * (size_t)p->most;
    int32_t *t;
    *a = (record_axis){.count = p->count, .most = p->most};
    if (p->count == 0) return 0;
    TRY(append(m, (2 * count + weights) * sizeof *t, name));
    a->taps = (uint32_t)(m->used - (2 * count + weights) * sizeof *t);
    t = (int32_t *)(void *)(m->bytes + a->taps);
    for (size_t i = 0; i < count; i++) {
        t[2 * i] = p->first[i] - origin;
        t[2 * i + 1] = p->n[i];
    }
    memcpy(t + 2 * count, p->weight, weights * sizeof *t);
done:
    return rc;
}

int record_make(record_image *d, record_memory *m, const prep *p, prep_scratch *s, image *im,
                const uint8_t *bytes, size_t n, const char *name, const record_limits *limits)
{
    int rc = 0, x, y;
    uint32_t tasks[RECORD_STAGES];
    jpeg_head head;
    resize_plan *plan;
    resize_shape shape;
    resize_pass across, down;
    prep_wanted wanted = {p, s, 1};
    image_wish wish = {prep_window_of, &wanted};
    if (n < 3 || memcmp(bytes, "\xff\xd8\xff", 3) != 0 || jpeg_head_read(&head, bytes, n, name) < 0 ||
        prep_plan(&wanted, head.w, head.h, &plan, &shape, &x, &y) < 0 ||
        !resize_plan_passes(plan, &across, &down)) {
        err_clear(); /* prep_decode will say it */
        return 0;
    }
    rc = jpeg_record(d, m, im, bytes, n, &head, &wish, limits, name);
    if (rc != 1) return rc;
    TRY(append_pass(m, &d->across, &across, d->x, name));
    TRY(append_pass(m, &d->down, &down, d->y, name));
    d->to_x = x;
    d->to_y = y;
    d->cw = shape.cw;
    d->ch = shape.ch;
    d->bytes = (uint32_t)m->used;
    rc = m->used <= limits->one &&
         record_place(d, (size_t)p->out_h, (size_t)p->out_w, tasks) <= limits->scratch;
done:
    return rc;
}

record_image record_of_pixels(const prep *p)
{
    return (record_image){.kind = RECORD_PIXELS,
                          .bytes = (uint32_t)p->out_h * (uint32_t)p->out_w * 3};
}

void record_memory_clear(record_memory *m)
{
    free(m->bytes);
    *m = (record_memory){.bytes = NULL};
}
