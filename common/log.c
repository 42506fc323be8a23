#include "common/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static const char *program_name = "outpost";
static enum log_level level_now = LOG_INFO;
static void (*line_wiper)(void);
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void log_open(const char *program, enum log_level level)
{
    program_name = program;
    level_now = level;
}

enum log_level log_level_now(void)
{
    return level_now;
}

void log_set_line_wiper(void (*wipe)(void))
{
    line_wiper = wipe;
}

char *log_printable(char *dst, unsigned long room, const char *src)
{
    static const char hex[] = "0123456789abcdef";
    unsigned long n = 0;
    if (room == 0) return dst;
    for (; *src != '\0' && n + 5 < room; src++) {
        unsigned char c = (unsigned char)*src;
        if (c >= 0x20 && c != 0x7f) {
            dst[n++] = (char)c;
            continue;
        }
        dst[n++] = '\\';
        dst[n++] = 'x';
        dst[n++] = hex[c >> 4];
        dst[n++] = hex[c & 15];
    }
    dst[n] = '\0';
    return dst;
}

static void say(enum log_level level, const char *kind, const char *format, va_list ap)
{
    char raw[2048], line[2600];
    if (level > level_now) return;
    vsnprintf(raw, sizeof raw, format, ap);
    log_printable(line, sizeof line, raw);
    pthread_mutex_lock(&lock);
    if (line_wiper != NULL) line_wiper();
    fprintf(stderr, "%s: %s%s\n", program_name, kind, line);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

#define SAY(name, level, kind)                                                                     \
    void name(const char *format, ...)                                                             \
    {                                                                                              \
        va_list ap;                                                                                \
        va_start(ap, format);                                                                      \
        say(level, kind, format, ap);                                                              \
        va_end(ap);                                                                                \
    }

SAY(log_error, LOG_ERROR, "")
SAY(log_warn, LOG_WARN, "warning: ")
SAY(log_info, LOG_INFO, "")
SAY(log_debug, LOG_DEBUG, "")
