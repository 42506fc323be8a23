#include "extract/cuda/decode.h"

static const char *const uploading = "copying images to the GPU";

int decode_open(cuda_decode *k, cuda_backend *be, const backend_options *o)
{
    int rc = 0;
    k->be = be;
    k->h = (size_t)o->prep->out_h;
    k->w = (size_t)o->prep->out_w;
    k->limits = record_limits_of(o->batch, k->h, k->w);
    for (int i = 0; i < DECODE_SLOTS; i++)
        TRY(memory_alloc(be, k->limits.batch, 0, &k->d_records[i]));
    TRY(memory_alloc(be, k->limits.together, 0, &k->d_scratch));
    k->bytes = DECODE_SLOTS * k->limits.batch + k->limits.together;
done:
    return rc;
}

void decode_close(cuda_decode *k)
{
    if (k->be == NULL) return;
    for (int i = 0; i < DECODE_SLOTS; i++)
        memory_release(k->be, &k->d_records[i]);
    memory_release(k->be, &k->d_scratch);
    k->be = NULL;
}

/* The kernels over the group that begins with `head`, whose record_image lies at d_head. */
static int run_group(const cuda_decode *k, const record_image *head, const char *d_head, const void *d_records,
                     void *d_rgb)
{
    static const int kernels[RECORD_STAGES] = { KERNEL_jpeg_samples_fwd, KERNEL_jpeg_rgb_fwd,
                                                KERNEL_resize_across_fwd, KERNEL_resize_down_fwd };
    int rc = 0;
    op_args a = { .u8 = d_records, .n = (int)head->group, .c = 3, .h = (int)k->h, .w = (int)k->w };
    a.x[0] = d_head;
    a.x[2] = k->d_scratch;
    for (int s = 0; s < RECORD_STAGES; s++) {
        if (head->tasks[s] == 0) continue;
        a.y_c = (int)head->tasks[s];
        a.y = s == STAGE_DOWN ? d_rgb : k->d_scratch;
        TRY(device_run(k->be, kernels[s], &a));
    }
done:
    return rc;
}

static int queue_whole(const cuda_decode *k, char *d_records, const record_batch *b, void *up,
                       void *uploaded, char *d_rgb)
{
    int rc = 0;
    record_layout(b->images, b->n, k->h, k->w, k->limits.together, 0);
    CU(cuda.copy_in(d_records, b->images, b->bytes, up), uploading);
    CU(cuda.event_record(uploaded, up), uploading);
    CU(cuda.event_wait(k->be->stream, uploaded), uploading);
    for (size_t i = 0; i < b->n; i += b->images[i].group)
        TRY(run_group(k, &b->images[i], d_records + i * sizeof *b->images, d_records,
                      d_rgb + i * k->h * k->w * 3));
done:
    return rc;
}

/* Records of a group, one behind another after its record_images; then those, which say where. */
static int copy_group(const cuda_decode *k, char *d_records, const record_batch *b, record_image *head)
{
    int rc = 0;
    size_t at = record_aligned(head->group * sizeof *head);
    for (size_t i = 0; i < head->group; i++) {
        record_image *d = &head[i];
        d->from = at;
        if (d->kind == RECORD_EMPTY) continue;
        CU(cuda.copy_in(d_records + at, (const char *)b->images + d->at, d->bytes, k->be->stream), uploading);
        at += record_aligned(d->bytes);
    }
    CU(cuda.copy_in(d_records, head, head->group * sizeof *head, k->be->stream), uploading);
done:
    return rc;
}

/* The device's network is smaller than the batch; so is its memory for records.  All on one stream: a group
 * takes the place of the one before. */
static int queue_part(const cuda_decode *k, char *d_records, const record_batch *b, size_t first, size_t n,
                      char *d_rgb)
{
    int rc = 0;
    record_image *d = b->images + first;
    record_layout(d, n, k->h, k->w, k->limits.together, k->limits.batch - RECORD_ALIGN);
    for (size_t i = 0; i < n; i += d[i].group) {
        TRY(copy_group(k, d_records, b, &d[i]));
        TRY(run_group(k, &d[i], d_records, d_records, d_rgb + i * k->h * k->w * 3));
    }
done:
    return rc;
}

int decode_queue(cuda_decode *k, int slot, const record_batch *b, size_t first, size_t n, void *up,
                 void *uploaded, void *d_rgb)
{
    int rc = 0;
    CHECK(k->be != NULL, ERR_INTERNAL, "records for a network that was opened for pixels");
    CHECK(first <= b->n && n <= b->n - first, ERR_INTERNAL, "images %zu to %zu of a batch of %zu", first,
          first + n, b->n);
    if (first == 0 && n == b->n && b->bytes <= k->limits.batch)
        TRY(queue_whole(k, k->d_records[slot], b, up, uploaded, d_rgb));
    else TRY(queue_part(k, k->d_records[slot], b, first, n, d_rgb));
done:
    return rc;
}
