#include "extract/cuda/dnn.h"
#include "extract/cuda/errors.h"

#include "common/mem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, NOTES_MAX = 16 };

size_t element_bytes(element e)
{
    return e == ELEMENT_F32 ? sizeof(float) : sizeof(uint16_t);
}

element element_of(precision p)
{
    return p == PRECISION_FP16 ? ELEMENT_F16 : p == PRECISION_BF16 ? ELEMENT_BF16 : ELEMENT_F32;
}

static int data_type(element e)
{
    return e == ELEMENT_F16    ? DNN_DATA_HALF
           : e == ELEMENT_BF16 ? DNN_DATA_BFLOAT16
                               : DNN_DATA_FLOAT;
}

/* ---- descriptors ------------------------------------------------------------------------------- */

int dnn_add(dnn_list *l, int type, void **out)
{
    int rc = 0;
    void *d = NULL;
    CHECK(l->n < DNN_LIST, ERR_INTERNAL, "a cuDNN graph of more than %d parts", DNN_LIST);
    DNN_OK(cuda.dnn_new(&d, type), "making a cuDNN descriptor");
    l->d[l->n++] = d;
    *out = d;
done:
    return rc;
}

int dnn_finish(void *d, const char *what)
{
    return cuda_status(LIB_CUDNN, cuda.dnn_finalise(d), what);
}

void dnn_list_free(dnn_list *l)
{
    while (l->n > 0)
        (void)cuda.dnn_free(l->d[--l->n]);
}

static int set(void *d, int attribute, int type, int64_t n, const void *v)
{
    return cuda_status(LIB_CUDNN, cuda.dnn_set(d, attribute, type, n, v),
                       "describing work to cuDNN");
}

int dnn_set_ints(void *d, int attribute, int64_t n, const int64_t *v)
{
    return set(d, attribute, DNN_TYPE_INT64, n, v);
}

int dnn_set_number(void *d, int attribute, int type, int v)
{
    return set(d, attribute, type, 1, &v);
}

int dnn_set_float(void *d, int attribute, float v)
{
    return set(d, attribute, DNN_TYPE_FLOAT, 1, &v);
}

int dnn_set_parts(void *d, int attribute, int64_t n, void *const *v)
{
    return set(d, attribute, DNN_TYPE_BACKEND_DESCRIPTOR, n, v);
}

int dnn_device(dnn_list *l, const char *json, void **out)
{
    int rc = 0;
    TRY(dnn_add(l, DNN_BACKEND_DEVICEPROP_DESCRIPTOR, out));
    TRY(set(*out, DNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, DNN_TYPE_CHAR, (int64_t)strlen(json),
            json));
    TRY(dnn_finish(*out, "describing a device to cuDNN"));
done:
    return rc;
}

int dnn_tensor(dnn_list *l, int64_t id, element e, const int64_t dim[4], const int64_t *strides,
               int is_virtual, void **out)
{
    int rc = 0;
    int64_t dense[4] = {dim[1] * dim[2] * dim[3], 1, dim[1] * dim[3], dim[1]}, align = ALIGN;
    bool yes = true;
    TRY(dnn_add(l, DNN_BACKEND_TENSOR_DESCRIPTOR, out));
    TRY(dnn_set_number(*out, DNN_ATTR_TENSOR_DATA_TYPE, DNN_TYPE_DATA_TYPE, data_type(e)));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_DIMENSIONS, 4, dim));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_STRIDES, 4, strides != NULL ? strides : dense));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_UNIQUE_ID, 1, &id));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &align));
    if (is_virtual) TRY(set(*out, DNN_ATTR_TENSOR_IS_VIRTUAL, DNN_TYPE_BOOLEAN, 1, &yes));
    TRY(dnn_finish(*out, "describing a tensor to cuDNN"));
done:
    return rc;
}

int dnn_scalar(dnn_list *l, int64_t id, void **out)
{
    int rc = 0;
    int64_t one[4] = {1, 1, 1, 1}, align = sizeof(float);
    bool yes = true;
    TRY(dnn_add(l, DNN_BACKEND_TENSOR_DESCRIPTOR, out));
    TRY(dnn_set_number(*out, DNN_ATTR_TENSOR_DATA_TYPE, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_DIMENSIONS, 4, one));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_STRIDES, 4, one));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_UNIQUE_ID, 1, &id));
    TRY(dnn_set_ints(*out, DNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &align));
    TRY(set(*out, DNN_ATTR_TENSOR_IS_BY_VALUE, DNN_TYPE_BOOLEAN, 1, &yes));
    TRY(dnn_finish(*out, "describing a number to cuDNN"));
done:
    return rc;
}

/* ---- operations -------------------------------------------------------------------------------- */

int dnn_pointwise(dnn_list *l, int mode, void *x, void *b, void *y, void **out)
{
    int rc = 0;
    void *how = NULL;
    TRY(dnn_add(l, DNN_BACKEND_POINTWISE_DESCRIPTOR, &how));
    TRY(dnn_set_number(how, DNN_ATTR_POINTWISE_MODE, DNN_TYPE_POINTWISE_MODE, mode));
    TRY(dnn_set_number(how, DNN_ATTR_POINTWISE_MATH_PREC, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT));
    TRY(dnn_finish(how, "describing a sum to cuDNN"));
    TRY(dnn_add(l, DNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, out));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, 1, &how));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_POINTWISE_XDESC, 1, &x));
    if (b != NULL) TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_POINTWISE_BDESC, 1, &b));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_POINTWISE_YDESC, 1, &y));
    TRY(dnn_finish(*out, "describing a sum to cuDNN"));
done:
    return rc;
}

int dnn_product(dnn_list *l, void *a, void *b, void *c, void **out)
{
    int rc = 0;
    void *how = NULL;
    TRY(dnn_add(l, DNN_BACKEND_MATMUL_DESCRIPTOR, &how));
    TRY(dnn_set_number(how, DNN_ATTR_MATMUL_COMP_TYPE, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT));
    TRY(dnn_finish(how, "describing a product to cuDNN"));
    TRY(dnn_add(l, DNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, out));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_MATMUL_DESC, 1, &how));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_MATMUL_ADESC, 1, &a));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_MATMUL_BDESC, 1, &b));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_MATMUL_CDESC, 1, &c));
    TRY(dnn_finish(*out, "describing a product to cuDNN"));
done:
    return rc;
}

int dnn_reduction(dnn_list *l, int mode, void *x, void *y, void **out)
{
    int rc = 0;
    void *how = NULL;
    TRY(dnn_add(l, DNN_BACKEND_REDUCTION_DESCRIPTOR, &how));
    TRY(dnn_set_number(how, DNN_ATTR_REDUCTION_OPERATOR, DNN_TYPE_REDUCTION_OPERATOR_TYPE, mode));
    TRY(dnn_set_number(how, DNN_ATTR_REDUCTION_COMP_TYPE, DNN_TYPE_DATA_TYPE, DNN_DATA_FLOAT));
    TRY(dnn_finish(how, "describing a reduction to cuDNN"));
    TRY(dnn_add(l, DNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, out));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_REDUCTION_DESC, 1, &how));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_REDUCTION_XDESC, 1, &x));
    TRY(dnn_set_parts(*out, DNN_ATTR_OPERATION_REDUCTION_YDESC, 1, &y));
    TRY(dnn_finish(*out, "describing a reduction to cuDNN"));
done:
    return rc;
}

/* ---- engines ----------------------------------------------------------------------------------- */

static int may_use(const dnn_rule *rule, const int *notes, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (notes[i] == DNN_NUMERICAL_NOTE_STRICT_NAN_PROP) continue;
        if (notes[i] == DNN_NUMERICAL_NOTE_TENSOR_CORE && rule->precision != PRECISION_FP32)
            continue;
        return 0; /* lower precision inside, transforms, or sums in no fixed order */
    }
    return 1;
}

/* Whether an engine suits the rule, and its number. */
static int judge(const dnn_rule *rule, void *engine, int *fits, int64_t *number)
{
    int rc = 0, notes[NOTES_MAX], behaviour[NOTES_MAX];
    int64_t n = 0, m = 0, got = 0;
    *fits = 0;
    DNN_OK(cuda.dnn_get(engine, DNN_ATTR_ENGINE_NUMERICAL_NOTE, DNN_TYPE_NUMERICAL_NOTE, NOTES_MAX,
                        &n, notes),
           "reading an engine of cuDNN");
    DNN_OK(cuda.dnn_get(engine, DNN_ATTR_ENGINE_BEHAVIOR_NOTE, DNN_TYPE_BEHAVIOR_NOTE, NOTES_MAX,
                        &m, behaviour),
           "reading an engine of cuDNN");
    DNN_OK(cuda.dnn_get(engine, DNN_ATTR_ENGINE_GLOBAL_INDEX, DNN_TYPE_INT64, 1, &got, number),
           "reading an engine of cuDNN");
    *fits = n <= NOTES_MAX && m <= NOTES_MAX && may_use(rule, notes, n);
    for (int64_t i = 0; *fits && i < m; i++)
        if (behaviour[i] == DNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION && !rule->may_compile) *fits = 0;
done:
    return rc;
}

/* A failure that another engine cannot mend. */
static int is_fatal(int status)
{
    cuda_fault kind = cuda_fault_of(LIB_CUDNN, status);
    return kind == FAULT_LOST || kind == FAULT_ABSENT || kind == FAULT_MEMORY;
}

/* Makes a plan of `config`; *good stays 0 where the engine cannot do it after all. */
static int make_plan(const dnn_target *t, const dnn_rule *rule, void *config, dnn_plan *p,
                     int *good)
{
    int rc = 0, status;
    int64_t got = 0, bytes = 0;
    *good = 0;
    TRY(dnn_add(&p->list, DNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &p->plan));
    TRY(dnn_set_parts(p->plan, DNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, 1, &config));
    if (t->handle != NULL)
        TRY(set(p->plan, DNN_ATTR_EXECUTION_PLAN_HANDLE, DNN_TYPE_HANDLE, 1, &t->handle));
    else TRY(dnn_set_parts(p->plan, DNN_ATTR_EXECUTION_PLAN_DEVICEPROP, 1, &t->properties));
    status = cuda.dnn_finalise(p->plan);
    if (is_fatal(status)) DNN_OK(status, "planning a cuDNN graph");
    if (status != 0) goto done;
    DNN_OK(cuda.dnn_get(p->plan, DNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, DNN_TYPE_INT64, 1, &got,
                        &bytes),
           "reading a plan of cuDNN");
    p->workspace = (size_t)bytes;
    *good = bytes >= 0 && (size_t)bytes <= rule->workspace;
done:
    return rc;
}

/* A plan of `*config`, which it takes over, where the engine suits. */
static int consider(const dnn_target *t, const dnn_rule *rule, void **config, dnn_plan *plans,
                    int *n)
{
    int rc = 0, fits = 0, good = 0;
    int64_t one = 0;
    void *engine = NULL;
    dnn_plan p = {.plan = NULL};
    DNN_OK(cuda.dnn_new(&engine, DNN_BACKEND_ENGINE_DESCRIPTOR), "making a cuDNN descriptor");
    DNN_OK(cuda.dnn_get(*config, DNN_ATTR_ENGINECFG_ENGINE, DNN_TYPE_BACKEND_DESCRIPTOR, 1, &one,
                        &engine),
           "reading an engine of cuDNN");
    TRY(judge(rule, engine, &fits, &p.engine));
    if (!fits) goto done;
    p.list.d[p.list.n++] = *config; /* needed for as long as the plan lives */
    *config = NULL;
    TRY(make_plan(t, rule, p.list.d[0], &p, &good));
    if (!good) goto done;
    plans[(*n)++] = p;
    p = (dnn_plan){.plan = NULL};
done:
    dnn_plan_free(&p);
    if (engine != NULL) (void)cuda.dnn_free(engine);
    return rc;
}

/* The plans that one kind of heuristic leads to. */
static int ask(const dnn_target *t, const dnn_rule *rule, void *operations, int mode,
               dnn_plan *plans, int room, int *n)
{
    int rc = 0, status;
    int64_t count = 0, got = 0;
    dnn_list own = {.n = 0};
    void *heuristic = NULL, **configs = NULL;
    TRY(dnn_add(&own, DNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic));
    TRY(dnn_set_parts(heuristic, DNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, 1, &operations));
    TRY(dnn_set_number(heuristic, DNN_ATTR_ENGINEHEUR_MODE, DNN_TYPE_HEUR_MODE, mode));
    if (t->handle == NULL)
        TRY(dnn_set_parts(heuristic, DNN_ATTR_ENGINEHEUR_DEVICEPROP, 1, &t->properties));
    status = cuda.dnn_finalise(heuristic);
    if (is_fatal(status)) DNN_OK(status, "asking cuDNN for engines");
    if (status != 0) goto done; /* this heuristic knows nothing of the graph */
    DNN_OK(cuda.dnn_get(heuristic, DNN_ATTR_ENGINEHEUR_RESULTS, DNN_TYPE_BACKEND_DESCRIPTOR, 0,
                        &count, NULL),
           "asking cuDNN for engines");
    TRY(mem_new(&configs, (size_t)count, sizeof *configs, "cuDNN engines"));
    for (int64_t i = 0; i < count; i++)
        DNN_OK(cuda.dnn_new(&configs[i], DNN_BACKEND_ENGINECFG_DESCRIPTOR),
               "making a cuDNN descriptor");
    DNN_OK(cuda.dnn_get(heuristic, DNN_ATTR_ENGINEHEUR_RESULTS, DNN_TYPE_BACKEND_DESCRIPTOR, count,
                        &got, configs),
           "asking cuDNN for engines");
    for (int64_t i = 0; i < got && i < count && *n < room; i++)
        TRY(consider(t, rule, &configs[i], plans, n));
done:
    for (int64_t i = 0; configs != NULL && i < count; i++)
        if (configs[i] != NULL) (void)cuda.dnn_free(configs[i]);
    free(configs);
    dnn_list_free(&own);
    return rc;
}

int dnn_plans(const dnn_target *t, const dnn_rule *rule, dnn_list *l, void *const *ops, int n_ops,
              dnn_plan *plans, int room, int *n)
{
    int rc = 0, status;
    void *operations = NULL;
    *n = 0;
    TRY(dnn_add(l, DNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, &operations));
    TRY(dnn_set_parts(operations, DNN_ATTR_OPERATIONGRAPH_OPS, n_ops, ops));
    if (t->handle != NULL)
        TRY(set(operations, DNN_ATTR_OPERATIONGRAPH_HANDLE, DNN_TYPE_HANDLE, 1, &t->handle));
    status = cuda.dnn_finalise(operations);
    if (is_fatal(status)) DNN_OK(status, "making a cuDNN graph");
    if (status != 0) goto done; /* not a graph that this cuDNN knows: no plan */
    TRY(ask(t, rule, operations, DNN_HEUR_MODE_A, plans, room, n));
    if (*n < room) TRY(ask(t, rule, operations, DNN_HEUR_MODE_FALLBACK, plans, room, n));
done:
    if (rc < 0)
        while (*n > 0)
            dnn_plan_free(&plans[--*n]);
    return rc;
}

void dnn_plan_free(dnn_plan *p)
{
    dnn_list_free(&p->list);
    p->plan = NULL;
}

int dnn_run(const dnn_plan *p, void *handle, int n, const int64_t *ids, void *const *pointers,
            void *workspace)
{
    int rc = 0;
    void *pack = NULL;
    DNN_OK(cuda.dnn_new(&pack, DNN_BACKEND_VARIANT_PACK_DESCRIPTOR), "making a cuDNN descriptor");
    TRY(set(pack, DNN_ATTR_VARIANT_PACK_DATA_POINTERS, DNN_TYPE_VOID_PTR, n, pointers));
    TRY(set(pack, DNN_ATTR_VARIANT_PACK_UNIQUE_IDS, DNN_TYPE_INT64, n, ids));
    TRY(set(pack, DNN_ATTR_VARIANT_PACK_WORKSPACE, DNN_TYPE_VOID_PTR, 1, &workspace));
    TRY(dnn_finish(pack, "naming the tensors of a cuDNN graph"));
    DNN_OK(cuda.dnn_execute(handle, p->plan, pack), "queueing a cuDNN graph");
done:
    if (pack != NULL) (void)cuda.dnn_free(pack);
    return rc;
}
