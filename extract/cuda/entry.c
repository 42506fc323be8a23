#include "extract/cuda/entry.h"

static const cuda_host *host;

void entry_set_host(const cuda_host *program)
{
    host = program;
}

int entry_leave(int rc)
{
    if (rc < 0 && host != NULL) {
        (void)host->fail(rc, err_text());
        err_clear();
    }
    return rc;
}
