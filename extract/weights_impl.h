/* What the files behind extract/weights.h share.  Nobody else includes this. */
#ifndef OUTPOST_WEIGHTS_IMPL_H
#define OUTPOST_WEIGHTS_IMPL_H

#include "extract/weights.h"

struct weights {
    arrays *file;
    char *path;
    char prefix[64];         /* what every key begins with */
    const model *chosen_for; /* whose layout was chosen, NULL: none yet */
    const layout *layout;
    char layout_name[40];
    positions_how positions;
    int from, to;            /* grids of resampled positions, 0: none */
    const float **v;         /* [params] */
    float **owned;           /* converted copies, NULL where the file's own bytes serve */
    size_t n;
};

typedef struct source { /* where a parameter's values are in the file */
    const array *part[KEY_PARTS];
    int n;                   /* arrays it needs; 0: its name is too long */
    int missing;             /* the first part that is not there, -1: all are */
    key_how how;
} source;

typedef struct fitting { /* how well a file fits a graph under a layout */
    size_t missing, misshaped, unexpected;
    size_t used;             /* arrays of the file that some parameter names */
    int from, to;            /* sides of the grids, where positions need resampling; else 0 */
} fitting;

/* The layouts of m, ended by name == NULL. */
const layout *layouts_of(const model *m);
/* A layout's name; for a model without a list, the first word of its `layouts`. */
void layout_call(char *out, size_t room, const model *m, const layout *l);

/* Must the file hold it? */
static inline int is_stored(const param *p)
{
    return p->given == NULL && p->base < 0;
}

/* Finds the arrays of one parameter; 1 when all are there. */
int source_find(source *s, const weights *w, const layout *l, const char *name);
/* 1: right shape; 2: positions of another grid, of side *from where p's is *to; 0: neither. */
int source_fits(const source *s, const param *p, int *from, int *to);
/* Classes of m under layout l; 0 when its classifier is not there. */
int classes_under(const weights *w, const model *m, const layout *l);
/* Counts troubles, and gives up beyond `limit` of them.  ERR_ENV: no memory. */
int fitting_count(fitting *f, const weights *w, const layout *l, const graph *g, size_t limit);
size_t fitting_troubles(const fitting *f);
/* The more of the file is made sense of, the better; then, the less trouble. */
int fitting_better(const fitting *a, const fitting *b);
/* Is this key there for other reasons than the network's parameters? */
int is_unexpected(const layout *l, const weights *w, const char *name);

/* Writes the refusal: what is missing, unexpected and mis-shaped, and what it looks like instead. */
int weights_refuse(const weights *w, const model *m, const graph *g, const source *sources);

/* relative_position_index and attn_mask of Swin, which old files store and every program computes:
 * ERR_INPUT when one is not what the network uses.  Other names pass. */
int stored_table_check(const array *a, const char *path);

#endif
