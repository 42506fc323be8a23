#include "extract/cuda/errors.h"

#include <stdio.h>
#include <string.h>

typedef struct fault {
    cuda_library library;
    int number;
    cuda_fault kind;
    const char *symbol, *words;
} fault;

static const fault faults[] = {
#define FAULT(library, symbol, number, kind, words)                                                \
    { LIB_##library, number, FAULT_##kind, #symbol, words },
#include "extract/cuda/errors.def"
#undef FAULT
};

static _Thread_local cuda_fault last = FAULT_NONE;

static const fault *find(cuda_library library, int number)
{
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        if (faults[i].library == library && faults[i].number == number) return &faults[i];
    return NULL;
}

/* cuDNN numbers its refinements below a round thousand: 2008 is a kind of 2000. */
static const fault *find_near(cuda_library library, int number)
{
    const fault *f = find(library, number);
    if (f == NULL && library == LIB_CUDNN) f = find(library, number / 1000 * 1000);
    return f;
}

cuda_fault cuda_fault_of(cuda_library library, int status)
{
    const fault *f = find_near(library, status);
    return status == 0 ? FAULT_NONE : f != NULL ? f->kind : FAULT_FAILED;
}

const char *cuda_words(cuda_library library, int status)
{
    const fault *f = find(library, status);
    const char *theirs;
    if (f != NULL && f->words[0] != '\0') return f->words;
    theirs = cuda.error_text(library, status);
    return theirs != NULL ? theirs : "no text";
}

int cuda_status(cuda_library library, int status, const char *doing)
{
    static const char *const names[] = { "CUDA", "cuBLAS", "cuDNN", "cuSOLVER" };
    const fault *f = find(library, status);
    char details[256] = "";
    if (status == 0) return 0;
    last = cuda_fault_of(library, status);
    /* The runtime remembers an error until it is asked; a later launch must not inherit this one.
     * A lost context answers with its error again, whatever is asked. */
    (void)cuda.last_error();
    if (library == LIB_CUDNN) cuda.dnn_details(details, sizeof details);
    details[strcspn(details, "\n")] = '\0';
    return err_set(last == FAULT_REFUSED ? ERR_INTERNAL : ERR_ENV, "%s: %s (%s%s%d)%s%s", doing,
                   cuda_words(library, status), f != NULL ? f->symbol : names[library],
                   f != NULL ? ", " : " error ", status, details[0] != '\0' ? ": " : "", details);
}

cuda_fault cuda_fault_now(void)
{
    return last;
}

void cuda_fault_set(cuda_fault kind)
{
    last = kind;
}

int launched(const char *kernel)
{
    char doing[96];
    int status = cuda.last_error();
    if (status == 0) return 0;
    snprintf(doing, sizeof doing, "launching %s", kernel);
    return cuda_status(LIB_CUDA, status, doing);
}
