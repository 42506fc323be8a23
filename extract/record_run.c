/* Records through the CPU twins of the decode kernels, group by group as on a device. */
#include "extract/record_run.h"
#include "common/err.h"
#include "common/mem.h"
#include "kernels/table.h"

#include <stdlib.h>

struct record_decoder {
    size_t h, w, batch;
    record_limits limits;
    record_image *images; /* [batch] a copy: the batch is the caller's */
    uint8_t *scratch, *rgb;
};

int record_decoder_new(record_decoder **out, const prep *p, size_t batch)
{
    int rc = 0;
    size_t bytes;
    record_decoder *d = NULL;
    TRY(mem_new(&d, 1, sizeof *d, "record decoder"));
    d->h = (size_t)p->out_h;
    d->w = (size_t)p->out_w;
    d->batch = batch;
    d->limits = record_limits_of(batch, d->h, d->w);
    TRY(mem_product(&bytes, d->h * d->w * 3, batch, "batch of images"));
    TRY(mem_new(&d->images, batch, sizeof *d->images, "batch of images"));
    TRY(mem_new_aligned(&d->rgb, bytes, 1, "batch of images"));
    TRY(mem_new_aligned(&d->scratch, d->limits.together, 1, "batch of images"));
    *out = d;
    d = NULL;
done:
    record_decoder_free(&d);
    return rc;
}

void record_decoder_free(record_decoder **at)
{
    record_decoder *d = *at;
    if (d == NULL) return;
    free(d->images);
    free(d->scratch);
    free(d->rgb);
    free(d);
    *at = NULL;
}

static int run_group(const record_decoder *d, const record_image *head, const uint8_t *base,
                     uint8_t *rgb)
{
    static const int kernels[RECORD_STAGES] = {KERNEL_jpeg_samples_fwd, KERNEL_jpeg_rgb_fwd,
                                               KERNEL_resize_across_fwd, KERNEL_resize_down_fwd};
    int rc = 0;
    op_args a = {.u8 = base, .n = (int)head->group, .c = 3, .h = (int)d->h, .w = (int)d->w};
    a.x[0] = head;
    a.x[2] = d->scratch;
    for (int s = 0; s < RECORD_STAGES; s++) {
        const char *problem;
        if (head->tasks[s] == 0) continue;
        a.y_c = (int)head->tasks[s];
        a.y = s == STAGE_DOWN ? rgb : d->scratch;
        problem = kernel_problem(kernels[s], &a);
        CHECK(problem == NULL, ERR_INTERNAL, "%s: %s", kernel_names[kernels[s]], problem);
        TRY(kernels_cpu[kernels[s]](&a));
    }
done:
    return rc;
}

int record_decode(record_decoder *d, const record_batch *b, size_t first, size_t n,
                  const uint8_t **rgb)
{
    int rc = 0;
    CHECK(n <= d->batch && first <= b->n && n <= b->n - first, ERR_INTERNAL,
          "images %zu and %zu more of a batch of %zu, made for %zu", first, n, b->n, d->batch);
    for (size_t i = 0; i < n; i++)
        d->images[i] = b->images[first + i];
    record_layout(d->images, n, d->h, d->w, d->limits.together, 0);
    for (size_t i = 0; i < n; i += d->images[i].group)
        TRY(run_group(d, &d->images[i], (const uint8_t *)b->images, d->rgb + i * d->h * d->w * 3));
    *rgb = d->rgb;
done:
    return rc;
}
