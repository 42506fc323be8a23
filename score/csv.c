#include "score/csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

void csv_text(FILE *f, const char *text)
{
    char name[1024];
    log_printable(name, sizeof name, text);
    if (strpbrk(name, ",\"") == NULL) {
        fputs(name, f);
        return;
    }
    fputc('"', f);
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '"') fputc('"', f);
        fputc(*p, f);
    }
    fputc('"', f);
}

void csv_number(FILE *f, double v)
{
    char buf[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (strtod(buf, NULL) == v) break;
    }
    fputs(buf, f);
}

void csv_value(FILE *f, double v)
{
    fputc(',', f);
    if (!isnan(v)) csv_number(f, v);
}
