#include "common/err.h"
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 2048 };
static _Thread_local char text[TEXT_MAX];

int err_set(int code, const char *format, ...)
{
    char raw[TEXT_MAX];
    va_list ap;
    if (text[0] != '\0') return code;
    va_start(ap, format);
    vsnprintf(raw, sizeof raw, format, ap);
    va_end(ap);
    log_printable(text, sizeof text, raw);
    return code;
}

const char *err_text(void)
{
    return text;
}

void err_clear(void)
{
    text[0] = '\0';
}

int err_exit_status(int code)
{
    switch (code) {
    case 0: return 0;
    case ERR_USAGE: return 2;
    case ERR_BAD_IMAGES: return 3;
    case ERR_INPUT: return 4;
    case ERR_ENV: return 5;
    case ERR_INTERRUPTED: return 75;
    default: return code > 0 ? 0 : 1;
    }
}
