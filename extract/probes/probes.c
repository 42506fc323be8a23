/* The probes: one line each. */
#include "extract/probes/probe.h"
#include "common/args.h"
#include "common/err.h"

#include <string.h>

#define PROBES(X)                                                                                  \
    X(odin) X(iodin) X(nac) X(mahalanobis) X(mdsens) X(adascale) X(gap) X(rankfeat) X(rankweight) X(gram)

#define DECLARE(name) extern const probe_def probe_def_##name;
PROBES(DECLARE)
#define ENTRY(name) &probe_def_##name,
const probe_def *const probes[] = { PROBES(ENTRY) NULL };

int probe_find(const probe_def **out, const char *name, size_t length)
{
    const char *names[sizeof probes / sizeof probes[0]], *near;
    char word[64];
    size_t n = 0, keep = length < sizeof word - 1 ? length : sizeof word - 1;
    for (; probes[n] != NULL; n++) {
        names[n] = probes[n]->name;
        if (strlen(names[n]) == length && memcmp(names[n], name, length) == 0) {
            *out = probes[n];
            return 0;
        }
    }
    memcpy(word, name, keep);
    word[keep] = '\0';
    near = args_nearest(word, names, n);
    return err_set(ERR_USAGE, "no probe '%s'%s%s%s; `extract probes` lists them", word,
                   near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}
