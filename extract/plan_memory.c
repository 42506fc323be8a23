#include "extract/plan_memory.h"
#include "common/err.h"
#include "common/mem.h"

#include <stdlib.h>
#include <string.h>

enum { ROUND = 16 }; /* elements: 64 bytes of f32 */

/* ---- slices ------------------------------------------------------------------------------------ */

static int occurs_once(const plan_step *s, int i)
{
    for (int k = 0; k < s->n_x; k++)
        if (k != i && s->x[k] == s->x[i]) return 0;
    return 1;
}

/* The memory that t lies in, when what it lies in lies elsewhere in turn. */
static void resolve(plan *p, plan_tensor *t)
{
    int root = t->root;
    while (p->tensors[root].root != root) {
        t->channel += p->tensors[root].channel;
        root = p->tensors[root].root;
    }
    t->root = root;
}

/* Puts the inputs of a concatenation into its output where they are free to move, and drops the step
 * when all of them are; what stays is copied by the backend.  So does an odd number of channels: a
 * kernel that takes them in pairs reads one beyond, which must not be a neighbour of later steps.
 * A slice lies in what it is taken from, under the same condition. */
static int make_slices(plan *p)
{
    int rc = 0, *moved = NULL; /* [steps] where each is now */
    size_t kept = 0;
    TRY(mem_new(&moved, p->n_steps, sizeof *moved, "plan"));
    for (size_t i = 0; i < p->n_steps; i++) {
        plan_step *s = &p->steps[i];
        int channel = 0, copies = 0;
        if (s->op == OP_concat) {
            for (int k = 0; k < s->n_x; k++) {
                plan_tensor *t = &p->tensors[s->x[k]];
                if (t->root == s->x[k] && t->s.c % 2 == 0 && occurs_once(s, k)) {
                    t->root = s->y;
                    t->channel = channel;
                } else {
                    copies++;
                }
                channel += t->s.c;
            }
            if (copies == 0) continue;
        }
        if (s->op == OP_slice && p->tensors[s->y].s.c % 2 == 0 && s->v->offset % 2 == 0) {
            p->tensors[s->y].root = s->x[0];
            p->tensors[s->y].channel = s->v->offset;
            continue;
        }
        moved[i] = (int)kept;
        p->steps[kept] = *s;
        if (s->twin >= 0) p->steps[kept].twin = moved[s->twin];
        kept++;
    }
    p->n_steps = kept;
    for (size_t i = 0; i < p->n_tensors; i++)
        if (p->tensors[i].root != (int)i) resolve(p, &p->tensors[i]);
done:
    free(moved);
    return rc;
}

/* ---- lifetimes --------------------------------------------------------------------------------- */

static void touch(plan *p, int tensor, int step)
{
    plan_tensor *r = &p->tensors[p->tensors[tensor].root];
    if (r->first < 0 || step < r->first) r->first = step;
    if (step > r->last) r->last = step;
}

/* Zeros that a step wants around its first input. */
static int halo_of(const plan *p, const plan_step *s)
{
    if (s->op == OP_conv) return s->pad;
    if (s->op == OP_conv_back)
        return plan_back_halo(s, p->tensors[s->x[0]].s, p->tensors[s->y].s);
    return 0;
}

static void find_lifetimes(plan *p, int halos)
{
    for (size_t i = 0; i < p->n_tensors; i++)
        p->tensors[i].first = p->tensors[i].last = -1;
    for (size_t i = 0; i < p->n_steps; i++) {
        const plan_step *s = &p->steps[i];
        for (int k = 0; k < s->n_x; k++)
            touch(p, s->x[k], (int)i);
        if (s->residual >= 0) touch(p, s->residual, (int)i);
        if (s->gate_x >= 0) touch(p, s->gate_x, (int)i);
        touch(p, s->y, (int)i);
        if (halos) {
            plan_tensor *r = &p->tensors[p->tensors[s->n_x > 0 ? s->x[0] : s->y].root];
            int halo = halo_of(p, s);
            if (r->halo < halo) r->halo = halo;
        }
    }
    for (size_t i = 0; i < p->n_outputs; i++)
        touch(p, p->outputs[i].tensor, (int)p->n_steps);
}

/* ---- offsets ----------------------------------------------------------------------------------- */

typedef struct root_size {
    size_t elements;
    int tensor;
} root_size;

static int larger_first(const void *a, const void *b)
{
    const root_size *x = a, *y = b;
    if (x->elements != y->elements) return x->elements < y->elements ? 1 : -1;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

static int alive_together(const plan_tensor *a, const plan_tensor *b)
{
    return a->first <= b->last && b->first <= a->last;
}

/* The lowest gap among the placed tensors that live at the same time. */
static size_t lowest_gap(const plan *p, const root_size *placed, size_t n, const plan_tensor *t)
{
    size_t at = 0;
    int moved = 1;
    while (moved) {
        moved = 0;
        for (size_t i = 0; i < n; i++) {
            const plan_tensor *u = &p->tensors[placed[i].tensor];
            if (!alive_together(u, t)) continue;
            if (at < u->at + u->elements && u->at < at + t->elements) {
                at = u->at + u->elements;
                moved = 1;
            }
        }
    }
    return at;
}

static int place(plan *p)
{
    int rc = 0;
    root_size *roots = NULL;
    size_t n = 0;
    TRY(mem_new(&roots, p->n_tensors, sizeof *roots, "plan"));
    for (size_t i = 0; i < p->n_tensors; i++) {
        plan_tensor *t = &p->tensors[i];
        size_t h = (size_t)(t->s.h + 2 * t->halo), w = (size_t)(t->s.w + 2 * t->halo), area;
        if (t->root != (int)i || t->first < 0) continue;
        TRY(mem_product(&area, h, w, "plan"));
        TRY(mem_product(&t->elements, area, (size_t)t->s.c, "plan"));
        t->elements = (t->elements / ROUND + 1) * ROUND; /* at least one to spare */
        roots[n++] = (root_size){ t->elements, (int)i };
    }
    qsort(roots, n, sizeof *roots, larger_first);
    for (size_t i = 0; i < n; i++) {
        plan_tensor *t = &p->tensors[roots[i].tensor];
        t->at = lowest_gap(p, roots, i, t);
        if (t->at + t->elements > p->arena) p->arena = t->at + t->elements;
    }
done:
    free(roots);
    return rc;
}

int plan_memory(plan *p, int dense)
{
    int rc = 0;
    if (!dense) TRY(make_slices(p));
    find_lifetimes(p, !dense);
    TRY(place(p));
done:
    return rc;
}
