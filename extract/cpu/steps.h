/* The steps of a plan on the CPU: weights packed once, then run on one worker's arena. */
#ifndef OUTPOST_STEPS_H
#define OUTPOST_STEPS_H

#include "extract/cpu/view.h"
#include "extract/plan.h"

typedef struct arena_layout { /* where the tensors of a plan lie in an arena */
    const plan *p;
    size_t images;  /* that an arena holds */
    int is_bf16;    /* maps; vectors stay f32 */
    int uses_dnnl;  /* convolutions run through oneDNN */
} arena_layout;

enum { ARENA_ELEMENT = sizeof(float) }; /* bytes that every arena element gets: those of the widest */

view arena_view(const arena_layout *l, char *arena, int tensor);

typedef struct cpu_step cpu_step;

/* Takes what it needs of s->w and s->b.  `arena` is only measured.  like: of the same weights, which are then shared,
 * or NULL. */
int cpu_step_new(cpu_step **out, const arena_layout *l, const plan_step *s, char *arena, const cpu_step *like);
void cpu_step_free(cpu_step **c);
/* Bytes of scratch that a run needs, MEM_ALIGN-aligned. */
size_t cpu_step_scratch(const cpu_step *c);
/* On n images; all steps but OP_input. */
int cpu_step_run(const cpu_step *c, char *arena, void *scratch, int n);

#endif
