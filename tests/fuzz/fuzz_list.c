/* libFuzzer target: any bytes as an image list, in each format; what is accepted obeys the grammar. */
#include "common/err.h"
#include "common/list.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const list *l, list_format format)
{
    if (l->n == 0 || strlen(l->sha256) != 64) abort();
    if ((format == LIST_MOS) > (l->group != NULL)) abort();
    if (format != LIST_MOS && format != LIST_AUTO && l->group != NULL) abort();
    for (size_t i = 0; i < l->n; i++) {
        const char *p = l->path[i];
        if (p[0] == '\0' || p[0] == '/' || strchr(p, '\n') != NULL || strlen(p) > l->path_max) abort();
        if (strcmp(p, "..") == 0 || strncmp(p, "../", 3) == 0 || strstr(p, "/../") != NULL) abort();
        if (l->label[i] < -1 || (l->group != NULL && l->group[i] < 0)) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int format = LIST_AUTO; format <= LIST_MOS; format++) {
        list *l = NULL;
        int rc;
        err_clear();
        rc = list_parse(&l, "fuzz", data, size, (list_format)format);
        if (rc != 0 && (rc != ERR_INPUT || strncmp(err_text(), "fuzz: list-", 11) != 0)) abort();
        if (rc == 0) check(l, (list_format)format);
        list_free(&l);
    }
    return 0;
}
