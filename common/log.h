/* Words for people, on stderr only.  Results never pass through here. */
#ifndef OUTPOST_LOG_H
#define OUTPOST_LOG_H

enum log_level { LOG_QUIET, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* program is the prefix of each line ("extract"); the default level is LOG_INFO. */
void log_open(const char *program, enum log_level level);
enum log_level log_level_now(void);
/* One line each, "program: [warning: ]text"; control bytes are escaped.  Safe from any thread. */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A progress bar that owns the terminal's last line registers how to wipe it before a message. */
void log_set_line_wiper(void (*wipe)(void));
/* Copies src to dst with control bytes as \xNN; always terminated.  Returns dst. */
char *log_printable(char *dst, unsigned long room, const char *src);

#endif
