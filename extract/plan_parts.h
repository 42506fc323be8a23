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
    int back;           /* adjoints: the sum of their results */
    branch of[BRANCHES_MAX];
    int n;
} branches;

enum { FOLDS_MAX = 4 };

typedef struct folds { /* nodes whose factors go into the weights of a product's adjoint, -1: none */
    int product;               /* conv_back, linear_back */
    int before[FOLDS_MAX];     /* scale, batchnorm_back: factors of its input channels */
    int behind[FOLDS_MAX];     /* likewise of its output channels */
    int n_before, n_behind;
} folds;

enum { WEIGHT_PARTS = 10 };

typedef struct weight_key { /* of what a step's weights are made; equal ones are twins */
    int part[WEIGHT_PARTS];
} weight_key;

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
    int kind;            /* bits of plan_kind */
    weight_key *keys;    /* [steps] */
} planner;

/* The consumer of the chain's last node when the chain may swallow it, else -1; and swallowing it. */
int plan_next(const planner *b, int last);
void plan_absorb(planner *b, int start, int next);
/* A sum goes to the operand that is computed last, so that the other one is there already. */
int plan_may_sum(const planner *b, int last, int sum);

/* Gradients (plan_back.c): adjoints of products with what is folded and fused. */
int plan_is_back(const planner *b, int start); /* does the chain at `start` hold one? */
void plan_fuse_back(planner *b, int start);
int plan_emit_back(planner *b, plan_step *s, int start);
int plan_back_weights(const planner *b, plan_step *s, const folds *f);
/* Notes what the weights of the step to come are made of; 1 where an earlier step has the same. */
int plan_find_twin(planner *b, plan_step *s, const node *v, const branches *m, const node *bn,
                   const node *scale);
int plan_is_twin(planner *b, plan_step *s, const weight_key *key);

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
