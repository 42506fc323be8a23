#include "extract/cuda/steps.h"
int step_attention_prepare(device_step *t, device_plan *d, const device_view *x) { (void)t;(void)d;(void)x; return 0; }
int step_attention_bind(device_step *t, device_plan *d) { (void)t;(void)d; return 0; }
int step_attention_run(const device_step *t, const device_plan *d, const device_view *x, const device_view *y) { (void)t;(void)d;(void)x;(void)y; return 0; }
int step_performer_prepare(device_step *t, device_plan *d, const device_view *x, const device_view *y) { (void)t;(void)d;(void)x;(void)y; return 0; }
int step_performer_run(const device_step *t, const device_plan *d, const device_view *x, const device_view *y) { (void)t;(void)d;(void)x;(void)y; return 0; }
