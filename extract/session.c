#include "extract/session.h"
#include "common/args.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const precisions[] = { "fp32", "tf32", "bf16", "fp16" };

int precision_find(precision *out, const char *name)
{
    for (int i = 0; i < 4; i++)
        if (strcmp(precisions[i], name) == 0) {
            *out = (precision)i;
            return 0;
        }
    return err_set(ERR_USAGE, "no precision '%s': fp32, tf32, bf16, fp16", name);
}

const char *precision_name(precision p)
{
    return precisions[p];
}

int session_default_threads(void)
{
    static const char *const names[] = { "OMP_NUM_THREADS", "SLURM_CPUS_PER_TASK" };
    cpu_set_t set;
    for (size_t i = 0; i < 2; i++) {
        const char *text = getenv(names[i]);
        int n = text != NULL ? atoi(text) : 0;
        if (n > 0 && n <= 4096) return n;
    }
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    return 1;
}

static int find_model(session *s, const char *name)
{
    const char *names[256], *near;
    size_t n = 0;
    s->m = model_find(name);
    if (s->m != NULL) return 0;
    for (; models[n] != NULL && n < 256; n++)
        names[n] = models[n]->name;
    near = args_nearest(name, names, n);
    return err_set(ERR_USAGE, "no model '%s'%s%s%s; `extract models` lists them", name,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* ---- outputs ----------------------------------------------------------------------------------- */

static int add_outputs(session *s, const session_options *o)
{
    int rc = 0;
    TRY(outputs_add_dumps(&s->out, s->g, s->m->name, o->dump, o->scalar));
    for (size_t i = 0; i < o->n_taps; i++)
        TRY(outputs_add_tap(&s->out, s->g, s->m->name, o->taps[i]));
    if (o->n_probes > 0)
        TRY(probes_build(&s->probes, &s->out, s->g, s->m, o->probes, o->n_probes, o->stats));
done:
    return rc;
}

static int make_plan(session *s)
{
    int rc = 0;
    plan_request *requests = NULL;
    TRY(mem_new(&requests, s->out.n, sizeof *requests, "outputs"));
    for (size_t i = 0; i < s->out.n; i++)
        requests[i] = (plan_request){ s->out.v[i].name, s->out.v[i].node, s->out.v[i].reduce };
    TRY(plan_build(&s->p, s->g, s->w, requests, s->out.n, s->backend->wants_dense(s->precision)));
    for (size_t i = 0; i < s->out.n; i++) {
        output *v = &s->out.v[i];
        if (v->rank > 0) continue;
        v->rank = s->p->outputs[i].rank;
        for (int k = 0; k < v->rank; k++)
            v->dim[k] = s->p->outputs[i].dim[k];
    }
done:
    free(requests);
    return rc;
}

/* ---- the graph --------------------------------------------------------------------------------- */

/* A parameter whose shape follows from the input size is stored for one size only, unless it is a grid
 * of positions. */
static int check_sizes(const session *s, int variant)
{
    int rc = 0, side = s->prep.out_h;
    graph *own = NULL;
    TRY(model_build_as(&own, s->m, s->classes, s->m->prep.side, variant));
    for (size_t i = 0; i < graph_params(s->g) && i < graph_params(own); i++) {
        const param *a = graph_param(s->g, (int)i), *b = graph_param(own, (int)i);
        CHECK(a->count == b->count || a->grid_prefix >= 0, ERR_USAGE,
              "%s takes %dx%d images; for %dx%d there is no '%s'", s->m->name, s->m->prep.side,
              s->m->prep.side, side, side, a->name);
    }
done:
    graph_free(&own);
    return rc;
}

/* The network's graph for the size that the preprocessing gives. */
static int build_graph(session *s)
{
    int rc = 0, side = s->prep.out_h, native = s->m->prep.side;
    int variant = weights_layout(s->w)->variant;
    char why[512];
    shape in;
    rc = model_build_as(&s->g, s->m, s->classes, side, variant);
    if (rc == ERR_ENV || (rc < 0 && side == native)) return rc; /* said already */
    if (rc < 0) {
        snprintf(why, sizeof why, "%s", err_text());
        err_clear();
        CHECK(0, ERR_USAGE, "%s takes %dx%d images and has no form for %dx%d (%s)", s->m->name,
              native, native, side, side, why);
    }
    in = graph_node(s->g, 0)->out;
    CHECK(in.h == side && in.w == side, ERR_USAGE, "%s takes %dx%d images; this preprocessing gives %dx%d",
          s->m->name, in.w, in.h, side, side);
    if (side != native) TRY(check_sizes(s, variant));
done:
    return rc;
}

static void say_resampled(const session *s, positions_how how)
{
    int from, to;
    if (weights_resampled(s->w, &from, &to))
        log_info("positions of a %d x %d grid resampled to %d x %d (%s)", from, from, to, to,
                 positions_name(how));
}

/* ---- opening ----------------------------------------------------------------------------------- */

/* A GPU has the time, and few cores feed it. */
static int decodes_itself(const backend_def *be, const char *who)
{
    if (who == NULL || strcmp(who, "cpu") == 0) return 0;
    return strcmp(who, "gpu") == 0 || be->host_alloc != NULL;
}

int session_open(session *s, const session_options *o)
{
    int rc = 0;
    backend_options options = { .threads = o->threads, .batch = o->batch };
    memset(s, 0, sizeof *s);
    TRY(find_model(s, o->model));
    TRY(precision_find(&s->precision, o->precision));
    TRY(positions_find(&s->positions, o->positions));
    TRY(prep_resolve(&s->prep, o->prep, &s->m->prep));
    CHECK(s->prep.out_w == s->prep.out_h, ERR_USAGE,
          "%s takes square images; this preprocessing gives %dx%d", s->m->name, s->prep.out_w,
          s->prep.out_h);
    TRY(backend_find(&s->backend, &s->devices, o->device));
    TRY(weights_open(&s->w, o->checkpoint));
    weights_set_positions(s->w, s->positions);
    TRY(weights_choose(s->w, s->m, s->prep.out_h));
    s->classes = weights_classes(s->w, s->m);
    TRY(build_graph(s));
    TRY(add_outputs(s, o));
    TRY(weights_bind(s->w, s->m, s->g));
    say_resampled(s, s->positions);
    TRY(make_plan(s));
    options.precision = s->precision;
    options.devices = s->devices.id;
    options.n_devices = s->devices.n;
    options.prep = &s->prep;
    s->records = options.records = decodes_itself(s->backend, o->decode);
    TRY(s->backend->open(&s->net, s->p, &options));
    s->backend->describe(s->net, s->about, sizeof s->about);
done:
    return rc;
}

void session_clear(session *s)
{
    if (s->net != NULL) s->backend->close(&s->net);
    plan_free(&s->p);
    outputs_clear(&s->out);
    probes_free(&s->probes);
    graph_free(&s->g);
    weights_close(&s->w);
}

const float *session_head(const session *s, int bias)
{
    const char *head = graph_head(s->g);
    for (size_t i = 0; head != NULL && i < graph_nodes(s->g); i++) {
        const node *v = graph_node(s->g, (int)i);
        if ((v->op == OP_linear || v->op == OP_conv) && strcmp(v->name, head) == 0)
            return weights_at(s->w, bias ? v->bias : v->weight);
    }
    return NULL;
}
