/* Option tables -> parsing and usage text.
 * A program is a table of commands, a command a table of options; usage, `--help`, "did you mean"
 * and completion are made from the same tables that parse. */
#ifndef OUTPOST_ARGS_H
#define OUTPOST_ARGS_H

#include <stddef.h>
#include <stdio.h>

typedef enum opt_kind {
    OPT_FLAG,   /* no value; int set to 1 */
    OPT_STRING, /* const char * */
    OPT_INT,    /* int, range checked against min..max */
    OPT_SIZE,   /* size_t, bytes with an optional suffix K, M, G (powers of 1024) */
    OPT_DOUBLE, /* double, finite */
    OPT_REPEAT, /* args_strings: each occurrence appends */
    OPT_MANY,   /* args_strings: one occurrence takes all following words up to the next option */
    OPT_DURATION /* double seconds: 90, 90s, 15m, 2h */
} opt_kind;

typedef struct args_strings {
    const char **v;
    size_t n, room;
} args_strings;

typedef struct opt {
    const char *name;          /* long name without "--" */
    char letter;               /* short name or 0 */
    opt_kind kind;
    size_t at;                 /* offsetof the field in the command's configuration struct */
    const char *value;         /* name of the value in the usage, NULL for flags */
    const char *help;          /* may hold several lines */
    const char *def;           /* shown in brackets and parsed as the default; NULL for none */
    const char *const *choices; /* NULL-terminated list of allowed strings, or NULL */
    double min, max;           /* OPT_INT, OPT_DOUBLE: allowed range when min < max */
    int required;
} opt;

typedef struct command {
    const char *name;     /* "run" */
    const char *summary;  /* one line */
    const char *synopsis; /* what follows "usage: PROGRAM NAME" */
    const char *about;    /* further text below the options, an example first; may be NULL */
    const opt *opts;      /* ended by name == NULL */
    size_t config_size;   /* bytes of the configuration struct, zeroed before parsing */
    size_t words_at;      /* offsetof an args_strings that takes the other words; */
    int words_min, words_max; /* how many of them are allowed; max 0: none, -1: any number */
    int (*run)(void *config);
} command;

typedef struct program {
    const char *name;    /* "extract" */
    const char *summary; /* one line */
    const command *const *commands; /* NULL-terminated */
    int (*print_version)(FILE *f, int json);
} program;

/* Parses argv, runs the command, prints the error if there is one; returns the exit status.
 * Handles --help, --version [--json], -q/--quiet, -v/--verbose, help COMMAND for every program. */
int args_main(const program *p, int argc, char **argv);

/* The usage of one command, as --help prints it. */
void args_print_usage(FILE *f, const program *p, const command *c);
/* The nearest of `names` to `word` (edit distance), or NULL when nothing is near. */
const char *args_nearest(const char *word, const char *const *names, size_t n);
/* Splits "a,b,c"; the parts point into a copy that the list owns.  Empty parts are ERR_USAGE. */
typedef struct args_list {
    char *copy;
    const char **v;
    size_t n;
} args_list;
int args_split(args_list *out, const char *text, char separator);
void args_list_clear(args_list *l);
/* Strict numbers: the whole string must parse. ERR_USAGE naming `what`. */
int args_parse_double(double *out, const char *text, const char *what);
int args_parse_int(long long *out, const char *text, const char *what);

#endif
