/* Between loader.c and loader_file.c; nothing else includes this. */
#ifndef OUTPOST_LOADER_PARTS_H
#define OUTPOST_LOADER_PARTS_H

#include "extract/images/loader.h"
#include "extract/images/record.h"

typedef struct worker { /* what one thread owns */
    image im;
    prep_scratch *scratch;
    record_memory record;
    uint8_t *file;
    size_t room;
} worker;

void loader_worker_clear(worker *k);
/* The whole of a regular file into k->file; anything else (folder, FIFO, device) is refused without
 * blocking.  ERR_INPUT, or ERR_ENV for a fault of the machine. */
int loader_read(worker *k, int root, const char *name, size_t *size);
/* errno in words; ERR_ENV where the run must stop, not flag the image, else ERR_INPUT. */
int loader_refuses(const char *name, const char *what);
/* The words of the recorded error without the file name in front, which the caller knows. */
int loader_reason(const char *name, const char **out);

#endif
