/* What probes add to a network (extract/graph.h), on NHWC views; vectors are f32, sums run in double. */
#ifndef OUTPOST_PROBES_H
#define OUTPOST_PROBES_H

#include "extract/cpu/view.h"
#include "extract/graph.h"

void probe_cotangent(const node *v, const view *z, const view *y, int n);
/* means [classes, d], precision [d, d], offsets [classes]: m_k' P m_k, made once; scratch: 2 d doubles */
void probe_gaussian_offsets(const float *means, size_t classes, const float *precision, size_t d, double *scratch,
                            double *offsets);
void probe_gaussian(const float *means, size_t classes, const float *precision, const double *offsets, const view *x,
                    void *scratch, const view *y, int n);
size_t probe_gaussian_scratch(const view *x);
void probe_perturb(const node *v, const view *x, const view *g, void *scratch, const view *y, int n);
size_t probe_perturb_scratch(const node *v, const view *x);
void probe_gram(const view *x, int powers, void *scratch, const view *y, int n);
size_t probe_gram_scratch(const view *x);

#endif
