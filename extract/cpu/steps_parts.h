/* What the files of steps share; nobody else includes it. */
#ifndef OUTPOST_STEPS_PARTS_H
#define OUTPOST_STEPS_PARTS_H

#include "extract/cpu/attention.h"
#include "extract/cpu/attention_back.h"
#include "extract/cpu/conv.h"
#include "extract/cpu/conv_back.h"
#include "extract/cpu/conv_dnnl.h"
#include "extract/cpu/deflate.h"
#include "extract/cpu/depthwise.h"
#include "extract/cpu/grouped.h"
#include "extract/cpu/performer.h"
#include "extract/cpu/performer_back.h"
#include "extract/cpu/steps.h"

struct cpu_step {
    plan_step s;          /* without weights; without its ending where that comes later */
    const arena_layout *l;
    conv *conv;           /* dense convolution and linear */
    conv_back *back;      /* their gradients, in groups too */
    depthwise *each;      /* a window per channel, and its gradient */
    grouped *grouped;     /* a window per group of channels */
    conv_dnnl *dnnl;      /* any of them in a network that runs through oneDNN */
    attention *attention;
    attention_back *attention_back;
    performer *performer;
    performer_back *performer_back;
    deflation *deflate;
    float *w, *b;         /* parameters of the rest */
    double *offsets;      /* gaussian: of its classes */
    size_t stage;         /* bytes of a stand-in for y, see run_staged */
    plan_step later;      /* staged: residual, act, gate of the step */
    size_t scratch;       /* bytes of all */
};

int step_copy_floats(float **out, const float *v, size_t n, const char *what);
/* OP_conv_back and all behind it in ops.def. */
int step_prepare_back(cpu_step *c, const view *x, const view *y, const cpu_step *like);
size_t step_scratch_back(const cpu_step *c, const view *x, const view *y);
int step_run_back(const cpu_step *c, char *arena, const view *x, const view *y, void *scratch, int n);
/* Whether the op reads and writes different element types by itself. */
int step_converts_back(const cpu_step *c);

#endif
