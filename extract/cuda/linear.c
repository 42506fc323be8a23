#include "extract/cuda/linear.h"

#include "common/mem.h"

#include <stdlib.h>

int linear_new(linear **out, cuda_backend *be, const lt_shape *s)
{
    int rc = 0;
    linear *l = NULL;
    TRY(mem_new(&l, 1, sizeof *l, "linear layer"));
    l->shape = *s;
    BLAS(cuda.lt_plan(&l->plan, be->lt, s, LINEAR_WORKSPACE), "planning a linear layer");
    *out = l;
    l = NULL;
done:
    linear_free(&l);
    return rc;
}

void linear_free(linear **out)
{
    if (*out == NULL) return;
    if ((*out)->plan != NULL) (void)cuda.lt_plan_free((*out)->plan);
    free(*out);
    *out = NULL;
}

int linear_run(const linear *l, cuda_backend *be, const lt_operands *o)
{
    return cuda_status(LIB_CUBLAS, cuda.lt_run(be->lt, l->plan, o, be->stream),
                       "queueing a linear layer");
}
