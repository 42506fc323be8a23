#include "common/args_pages.h"

#include <ctype.h>
#include <string.h>

static const char DATE[] = "2026-11-21"; /* of the last change to what the pages say beyond the tables */

/* ---- manual pages ------------------------------------------------------------------------------- */

/* Text with roff's own characters escaped; `fill`: broken into lines of the page's source, else as it stands. */
static void roff_text(FILE *f, const char *text, int fill)
{
    int column = 0;
    for (; *text != '\0'; text++) {
        if (fill && *text == ' ' && column > 55) {
            fputc('\n', f);
            column = 0;
            continue;
        }
        if (column == 0 && (*text == '.' || *text == '\'')) fputs("\\&", f);
        if (*text == '\\') fputs("\\e", f);
        else if (*text == '-') fputs("\\-", f);
        else fputc(*text, f);
        column = *text == '\n' ? 0 : column + 1;
    }
}

static void roff(FILE *f, const char *text)
{
    roff_text(f, text, 1);
}

/* Words in capitals are what the user fills in. */
static void synopsis(FILE *f, const char *text)
{
    while (*text != '\0') {
        size_t n = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_5.h"), capitals = 0;
        for (size_t i = 0; i < n; i++)
            capitals += isupper((unsigned char)text[i]) != 0;
        if (capitals > 0) {
            fputs("\\fI", f);
            fwrite(text, 1, n, f);
            fputs("\\fR", f);
            text += n;
            continue;
        }
        fputs(*text == '-' ? "\\-" : "", f);
        if (*text != '-') fputc(*text, f);
        text++;
    }
    fputc('\n', f);
}

static void option(FILE *f, const opt *o)
{
    fputs(".TP\n", f);
    if (o->letter != 0) fprintf(f, "\\fB\\-%c\\fR, ", o->letter);
    fputs("\\fB\\-\\-", f);
    roff(f, o->name);
    fputs("\\fR", f);
    if (o->value != NULL) {
        fputs(" \\fI", f);
        roff(f, o->value);
        fputs("\\fR", f);
        if (o->kind == OPT_REPEAT || o->kind == OPT_MANY) fputs("...", f);
    }
    fputc('\n', f);
    roff(f, o->help);
    if (o->def != NULL) {
        fputs(" (default ", f);
        roff(f, o->def);
        fputc(')', f);
    }
    fputc('\n', f);
}

static void header(FILE *f, const program *p, const command *c)
{
    char title[128] = "OUTPOST-";
    size_t n = strlen(title);
    n += (size_t)snprintf(title + n, sizeof title - n, "%s%s%s", p->name, c != NULL ? "-" : "",
                          c != NULL ? c->name : "");
    for (size_t i = 0; i < n; i++)
        title[i] = (char)toupper((unsigned char)title[i]);
    fprintf(f, ".TH %s 1 %s \"outpost %s\" \"outpost\"\n.SH NAME\n", title, DATE, OUTPOST_VERSION);
}

static void footer(FILE *f, const program *p, const command *c)
{
    fputs(".SH EXIT STATUS\n", f);
    roff(f, "0 done; 1 internal failure; 2 usage; 3 finished, but images could not be read; 4 an input file is refused; "
            "5 environment (device, space, I/O); 75 interrupted and committed, the same command continues; 130 second "
            "Ctrl-C.");
    fputs("\n.SH SEE ALSO\n", f);
    if (c != NULL) fprintf(f, ".BR outpost\\-%s (1)", p->name);
    for (const command *const *v = p->commands; *v != NULL; v++) {
        if (*v == c) continue;
        fprintf(f, "%s.BR outpost\\-%s\\-", v != p->commands || c != NULL ? " ,\n" : "", p->name);
        roff(f, (*v)->name);
        fputs(" (1)", f);
    }
    fputc('\n', f);
}

static void program_page(FILE *f, const program *p)
{
    fprintf(f, "outpost\\-%s \\-\n", p->name);
    roff(f, p->summary);
    fprintf(f, "\n.SH SYNOPSIS\n.B outpost\\-%s\n\\fICOMMAND\\fR [\\fIoptions\\fR]\n.SH COMMANDS\n", p->name);
    for (const command *const *c = p->commands; *c != NULL; c++) {
        fputs(".TP\n.B ", f);
        roff(f, (*c)->name);
        fputc('\n', f);
        roff(f, (*c)->summary);
        fputc('\n', f);
    }
    fputs(".SH OPTIONS\n.TP\n.B \\-\\-version\nWhat this build is and which libraries it found; with\n.B \\-\\-json\nfor "
          "programs.\n.TP\n.B \\-\\-help\nThe commands.\n", f);
}

void args_print_man(FILE *f, const program *p, const command *c)
{
    header(f, p, c);
    if (c == NULL) {
        program_page(f, p);
        footer(f, p, c);
        return;
    }
    fprintf(f, "outpost\\-%s\\-", p->name);
    roff(f, c->name);
    fputs(" \\-\n", f);
    roff(f, c->summary);
    fprintf(f, "\n.SH SYNOPSIS\n.B outpost\\-%s ", p->name);
    roff(f, c->name);
    fputc('\n', f);
    synopsis(f, c->synopsis);
    fputs(".SH OPTIONS\n", f);
    for (const opt *o = c->opts; o != NULL && o->name != NULL; o++)
        option(f, o);
    for (const opt *o = args_common_opts; o->name != NULL; o++)
        option(f, o);
    if (c->about != NULL) {
        fputs(".SH NOTES\n.nf\n", f);
        roff_text(f, c->about, 0);
        fputs("\n.fi\n", f);
    }
    footer(f, p, c);
}

/* ---- completion ---------------------------------------------------------------------------------- */

static void option_names(FILE *f, const opt *o)
{
    for (; o != NULL && o->name != NULL; o++)
        fprintf(f, " --%s", o->name);
}

/* A case for each option that takes one of a list, or what a command prints. */
static void option_values(FILE *f, const char *command_name, const opt *o)
{
    for (; o != NULL && o->name != NULL; o++) {
        int models = strcmp(o->name, "model") == 0, methods = strcmp(o->name, "methods") == 0;
        if (o->choices == NULL && !models && !methods) continue;
        fprintf(f, "    %s:--%s", command_name, o->name);
        if (o->letter != 0) fprintf(f, "|%s:-%c", command_name, o->letter);
        fputs(") words=", f);
        if (models || methods) {
            fprintf(f, "$(\"$1\" %s 2>/dev/null | sed -n 's/^ *\\([a-z][a-z0-9_-]*\\) .*/\\1/p')", models ? "models" : "methods");
        } else {
            fputc('"', f);
            for (size_t i = 0; o->choices[i] != NULL; i++)
                fprintf(f, "%s%s", i > 0 ? " " : "", o->choices[i]);
            fputc('"', f);
        }
        fputs(" ;;\n", f);
    }
}

void args_print_completion(FILE *f, const program *p)
{
    fprintf(f, "_outpost_%s()\n{\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}\n"
               "    local words=\n    COMPREPLY=()\n    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '",
            p->name);
    for (const command *const *c = p->commands; *c != NULL; c++)
        fprintf(f, "%s ", (*c)->name);
    fputs("--help --version' -- \"$cur\"))\n        return\n    fi\n    case $command:$prev in\n", f);
    for (const command *const *c = p->commands; *c != NULL; c++)
        option_values(f, (*c)->name, (*c)->opts);
    fputs("    *)\n        if [[ $cur == -* ]]; then\n            case $command in\n", f);
    for (const command *const *c = p->commands; *c != NULL; c++) {
        fprintf(f, "            %s) words='", (*c)->name);
        option_names(f, (*c)->opts);
        option_names(f, args_common_opts);
        fputs("' ;;\n", f);
    }
    fprintf(f, "            esac\n        fi\n        ;;\n    esac\n    if [ -n \"$words\" ]; then\n"
               "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n"
               "    fi\n}\ncomplete -o filenames -F _outpost_%s outpost-%s\n", p->name, p->name);
}
