/* What the passes of extract/plan.c share; nobody else includes it. */
#ifndef OUTPOST_PLAN_PARTS_H
#define OUTPOST_PLAN_PARTS_H

#include "extract/plan.h"

enum { BRANCHES_MAX = 4 };

typedef struct branch { /* of a sum of convolutions of one map: node indices, -1: none */
    int conv, bn;       /* without a convolution: the map itself */
} branch;

typedef struct branches {
    int sum;            /* the outermost add node */
    int source;         /* the node that all of them read */
    int kernel, stride;
    branch of[BRANCHES_MAX];
    int n;
} branches;

typedef struct planner {
    const graph *g;
    const weights *w;
    plan *p;
    size_t n;            /* nodes */
    int *uses;           /* [n] consumers that are needed */
    int *consumer;       /* [n] the only consumer where uses == 1 */
    unsigned char *need; /* [n] */
    unsigned char *kept; /* [n] value is asked for */
    int *owner;          /* [n] node that starts the chain which absorbed this one, else itself */
    int *end;            /* [n] last node of the chain that starts here */
    int *tensor;         /* [n] tensor of a chain's last node, -1 otherwise */
    branches *merged;    /* sums that become one convolution */
    size_t n_merged, merged_room;
} planner;

/* Finds the sums that models.md 13.3 re-parameterises and gives their nodes to the outermost add. */
int plan_find_branches(planner *b);
/* NULL when node i is no such sum. */
const branches *plan_branches(const planner *b, int i);

/* Fill w and b of a step.  v: the convolution or linear layer; bn, scale: nodes folded into it or NULL. */
int plan_conv_weights(const planner *b, plan_step *s, const node *v, const node *bn,
                      const node *scale);
int plan_branch_weights(const planner *b, plan_step *s, const branches *m);
/* Norms and ops whose parameters are taken as they are. */
int plan_other_weights(const planner *b, plan_step *s, const node *v);

#endif
