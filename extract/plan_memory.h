/* The memory pass of a plan: concatenations become slices, convolutions that pad get halos,
 * lifetimes are found and every root tensor gets its offset in one arena. */
#ifndef OUTPOST_PLAN_MEMORY_H
#define OUTPOST_PLAN_MEMORY_H

#include "extract/plan.h"

int plan_memory(plan *p, int dense);

#endif
