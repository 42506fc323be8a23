#include "extract/cpu/conv_dnnl.h"
#include "common/err.h"
#include "common/mem.h"

#include <dnnl.h>
#include <stdlib.h>

struct conv_dnnl {
    int is_back;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t x, y;
    dnnl_memory_t weights, bias; /* bias borrows `b` */
    void *packed;                /* blocked weights */
    float *b;
    size_t scratch;
    dnnl_memory_desc_t scratch_desc;
};

/* One engine and one stream per process: a CPU stream holds no state of its own. */
static dnnl_engine_t engine;
static dnnl_stream_t stream;

#define DNNL(call)                                                                                 \
    do {                                                                                           \
        dnnl_status_t status_ = (call);                                                            \
        CHECK(status_ == dnnl_success, status_ == dnnl_out_of_memory ? ERR_ENV : ERR_INTERNAL,     \
              "oneDNN: %s gave status %d", #call, (int)status_);                                   \
    } while (0)

static int open_engine(void)
{
    int rc = 0;
    if (stream != NULL) return 0;
    /* The environment must not lower the precision unseen. */
    DNNL(dnnl_set_default_fpmath_mode(dnnl_fpmath_mode_strict));
    DNNL(dnnl_engine_create(&engine, dnnl_cpu, 0));
    DNNL(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
done:
    return rc;
}

int conv_dnnl_has_amx(void)
{
    return (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) ==
           dnnl_cpu_isa_avx512_core_amx;
}

static dnnl_data_type_t type_of(const view *v)
{
    return v->is_bf16 ? dnnl_bf16 : dnnl_f32;
}

typedef struct post_op {
    dnnl_alg_kind_t kind;
    float alpha, beta;
} post_op;

static const post_op activations[] = {
    [ACT_RELU] = { dnnl_eltwise_relu, 0, 0 },      [ACT_RELU6] = { dnnl_eltwise_clip, 0, 6 },
    [ACT_GELU] = { dnnl_eltwise_gelu_erf, 0, 0 },  [ACT_SILU] = { dnnl_eltwise_swish, 1, 0 },
    [ACT_SIGMOID] = { dnnl_eltwise_logistic, 0, 0 },
};

/* Bias, then + residual, then activation, scratch from the caller. */
static int attributes(dnnl_primitive_attr_t *out, const plan_step *s, const dnnl_memory_desc_t *y)
{
    int rc = 0;
    dnnl_post_ops_t ops = NULL;
    DNNL(dnnl_primitive_attr_create(out));
    DNNL(dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user));
    DNNL(dnnl_post_ops_create(&ops));
    if (s->residual >= 0) DNNL(dnnl_post_ops_append_binary(ops, dnnl_binary_add, y));
    if (s->act != ACT_NONE) {
        const post_op *p = &activations[s->act];
        DNNL(dnnl_post_ops_append_eltwise(ops, 1, p->kind, p->alpha, p->beta));
    }
    DNNL(dnnl_primitive_attr_set_post_ops(*out, ops));
done:
    dnnl_post_ops_destroy(ops);
    return rc;
}

/* OIHW f32 -> the layout and type that the primitive asks for. */
static int pack(conv_dnnl *c, const float *w, const dnnl_memory_desc_t *plain,
                const dnnl_memory_desc_t *wanted)
{
    int rc = 0;
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_t reorder = NULL;
    void *borrowed = (void *)(size_t)w; /* read only */
    TRY(mem_new_aligned(&c->packed, dnnl_memory_desc_get_size(wanted), 1, "weights"));
    DNNL(dnnl_memory_create(&from, plain, engine, borrowed));
    DNNL(dnnl_memory_create(&c->weights, wanted, engine, c->packed));
    DNNL(dnnl_reorder_primitive_desc_create(&pd, plain, engine, wanted, engine, NULL));
    DNNL(dnnl_primitive_create(&reorder, pd));
    DNNL(dnnl_primitive_execute(reorder, stream, 2,
                                (dnnl_exec_arg_t[]){ { DNNL_ARG_FROM, from },
                                                     { DNNL_ARG_TO, c->weights } }));
done:
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(pd);
    dnnl_memory_destroy(from);
    return rc;
}

/* The forward convolution from `in` to `out`, weights in any layout. */
static int describe(dnnl_convolution_desc_t *desc, const plan_step *s, const view *in, const view *out,
                    const dnnl_memory_desc_t *x, const dnnl_memory_desc_t *w, const dnnl_memory_desc_t *b,
                    const dnnl_memory_desc_t *y, int back)
{
    int rc = 0;
    const dnnl_dims_t stride = { s->stride, s->stride }, pad = { s->pad, s->pad };
    dnnl_dims_t after;
    for (int i = 0; i < 2; i++) { /* what the last window does not reach is padding less */
        int size = i == 0 ? in->h : in->w, made = i == 0 ? out->h : out->w;
        after[i] = (made - 1) * s->stride + s->kernel - size - s->pad;
    }
    if (back)
        DNNL(dnnl_convolution_backward_data_desc_init(desc, dnnl_convolution_direct, x, w, y, stride, pad, after));
    else
        DNNL(dnnl_convolution_forward_desc_init(desc, dnnl_forward_inference, dnnl_convolution_direct, x, w, b, y,
                                                stride, pad, after));
done:
    return rc;
}

/* in, out: of the forward.  *w_desc: the layout of weights that the primitive asks for. */
static int make_primitive(conv_dnnl *c, const plan_step *s, const view *in, const view *out,
                          const dnnl_memory_desc_t *w_any, const dnnl_memory_desc_t *b,
                          dnnl_memory_desc_t *w_desc)
{
    int rc = 0;
    dnnl_convolution_desc_t desc;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t pd = NULL, hint = NULL;
    const dnnl_memory_desc_t *x = c->is_back ? &c->y : &c->x, *y = c->is_back ? &c->x : &c->y;
    if (c->is_back) { /* whose sums and masks are the caller's */
        TRY(describe(&desc, s, in, out, x, w_any, b, y, 0));
        DNNL(dnnl_primitive_desc_create(&hint, &desc, NULL, engine, NULL));
        DNNL(dnnl_primitive_attr_create(&attr));
        DNNL(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    } else {
        TRY(attributes(&attr, s, &c->y));
    }
    TRY(describe(&desc, s, in, out, x, w_any, b, y, c->is_back));
    DNNL(dnnl_primitive_desc_create(&pd, &desc, attr, engine, hint));
    DNNL(dnnl_primitive_create(&c->primitive, pd));
    c->scratch_desc = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    c->scratch = dnnl_memory_desc_get_size(&c->scratch_desc);
    *w_desc = *dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0);
done:
    dnnl_primitive_desc_destroy(hint);
    dnnl_primitive_desc_destroy(pd);
    dnnl_primitive_attr_destroy(attr);
    return rc;
}

int conv_dnnl_new(conv_dnnl **made, const plan_step *s, const view *x, const view *y, int n)
{
    int rc = 0;
    conv_dnnl *c = NULL;
    dnnl_memory_desc_t w_any, w_plain, w_desc, b_desc;
    const int is_back = s->op == OP_conv_back || s->op == OP_linear_back, grouped = s->groups > 1;
    const view *in = is_back ? y : x, *out = is_back ? x : y; /* of the forward */
    const dnnl_dims_t dx = { n, x->c, x->h, x->w }, dy = { n, y->c, y->h, y->w };
    const dnnl_dims_t db = { out->c }, dw = { out->c, in->c, s->kernel, s->kernel };
    const dnnl_dims_t dg = { s->groups, out->c / s->groups, in->c / s->groups, s->kernel, s->kernel };
    TRY(open_engine());
    TRY(mem_new(&c, 1, sizeof *c, "convolution"));
    c->is_back = is_back;
    DNNL(dnnl_memory_desc_init_by_tag(&c->x, 4, dx, type_of(x), dnnl_nhwc));
    DNNL(dnnl_memory_desc_init_by_tag(&c->y, 4, dy, type_of(y), dnnl_nhwc));
    DNNL(dnnl_memory_desc_init_by_tag(&w_any, 4 + grouped, grouped ? dg : dw, type_of(x),
                                      dnnl_format_tag_any));
    DNNL(dnnl_memory_desc_init_by_tag(&w_plain, 4 + grouped, grouped ? dg : dw, dnnl_f32,
                                      grouped ? dnnl_goihw : dnnl_oihw));
    DNNL(dnnl_memory_desc_init_by_tag(&b_desc, 1, db, dnnl_f32, dnnl_a));
    TRY(make_primitive(c, s, in, out, &w_any, &b_desc, &w_desc));
    TRY(pack(c, s->w, &w_plain, &w_desc));
    TRY(mem_new(&c->b, (size_t)out->c, sizeof *c->b, "bias"));
    for (int i = 0; i < out->c && s->b != NULL; i++)
        c->b[i] = s->b[i];
    DNNL(dnnl_memory_create(&c->bias, &b_desc, engine, c->b));
    *made = c;
    c = NULL;
done:
    conv_dnnl_free(&c);
    return rc;
}

void conv_dnnl_free(conv_dnnl **c)
{
    if (*c == NULL) return;
    dnnl_primitive_destroy((*c)->primitive);
    dnnl_memory_destroy((*c)->weights);
    dnnl_memory_destroy((*c)->bias);
    free((*c)->packed);
    free((*c)->b);
    free(*c);
    *c = NULL;
}

size_t conv_dnnl_scratch(const conv_dnnl *c)
{
    return c->scratch;
}

int conv_dnnl_run(const conv_dnnl *c, const view *x, const view *y, const view *residual,
                  void *scratch)
{
    int rc = 0, n = 4;
    dnnl_memory_t mx = NULL, my = NULL, mr = NULL, ms = NULL;
    dnnl_exec_arg_t args[6];
    DNNL(dnnl_memory_create(&mx, &c->x, engine, x->p));
    DNNL(dnnl_memory_create(&my, &c->y, engine, y->p));
    DNNL(dnnl_memory_create(&ms, &c->scratch_desc, engine, scratch));
    args[0] = (dnnl_exec_arg_t){ c->is_back ? DNNL_ARG_DIFF_DST : DNNL_ARG_SRC, mx };
    args[1] = (dnnl_exec_arg_t){ c->is_back ? DNNL_ARG_DIFF_SRC : DNNL_ARG_DST, my };
    args[2] = (dnnl_exec_arg_t){ DNNL_ARG_WEIGHTS, c->weights };
    args[3] = (dnnl_exec_arg_t){ DNNL_ARG_SCRATCHPAD, ms };
    if (!c->is_back) args[n++] = (dnnl_exec_arg_t){ DNNL_ARG_BIAS, c->bias };
    if (residual != NULL) {
        DNNL(dnnl_memory_create(&mr, &c->y, engine, residual->p));
        args[n++] = (dnnl_exec_arg_t){ DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1, mr };
    }
    DNNL(dnnl_primitive_execute(c->primitive, stream, n, args));
done:
    dnnl_memory_destroy(mx);
    dnnl_memory_destroy(my);
    dnnl_memory_destroy(mr);
    dnnl_memory_destroy(ms);
    return rc;
}
