/* What CARef and CADRef share: class means by predicted class. */
#ifndef OUTPOST_CAREF_H
#define OUTPOST_CAREF_H

#include "score/stats/prototypes.h"
#include "score/stats/shared.h"

/* Classes that no train row is predicted as get the mean of all. */
int caref_fit(fit_context *f, prototypes *q, const char *who);

#endif
