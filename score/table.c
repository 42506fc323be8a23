#include "score/table.h"

#include <math.h>
#include <string.h>

#include "common/log.h"

enum { NAME_ROOM = 200, CELL_ROOM = 32, GAP = 2 };

/* How wide things print: numbers, and the gap between the columns of one group. */
typedef struct layout {
    size_t number, gap;
} layout;

static double at(const table *t, size_t row, size_t group, size_t column)
{
    return t->value[(row * t->n_groups + group) * t->n_columns + column];
}

static const char *cell(char buf[CELL_ROOM], double v)
{
    if (isnan(v)) snprintf(buf, CELL_ROOM, "-");
    else snprintf(buf, CELL_ROOM, "%.2f", 100 * v);
    return buf;
}

/* The best of a column as it prints, "" when nothing is there or nothing to compare. */
static void best_of(const table *t, size_t group, size_t column, char buf[CELL_ROOM])
{
    double best = NAN;
    size_t n = 0;
    for (size_t i = 0; i < t->n_rows && !t->column[column].plain; i++) {
        double v = at(t, i, group, column);
        if (isnan(v)) continue;
        n++;
        if (isnan(best) || (t->column[column].larger_is_better ? v > best : v < best)) best = v;
    }
    buf[0] = '\0';
    if (n > 1) cell(buf, best);
}

/* Columns on a terminal: UTF-8 continuation bytes take none. */
static size_t columns_of(const char *s)
{
    size_t n = 0;
    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void pad(FILE *f, size_t n)
{
    while (n-- > 0)
        fputc(' ', f);
}

/* ---- text ------------------------------------------------------------------------------------- */

static size_t label_width(const table *t)
{
    size_t width = columns_of(t->corner);
    char name[NAME_ROOM];
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t n = columns_of(log_printable(name, sizeof name, t->row[i]));
        if (n > width) width = n;
    }
    return width;
}

/* The longest number that prints, at least "00.00". */
static size_t number_width(const table *t)
{
    char buf[CELL_ROOM];
    size_t width = sizeof "00.00" - 1;
    for (size_t i = 0; i < t->n_rows * t->n_groups * t->n_columns; i++) {
        size_t n = strlen(cell(buf, t->value[i]));
        if (n > width) width = n;
    }
    return width;
}

/* Width of a column with the gap before it: number and title have room. */
static size_t own_width(const table *t, const layout *l, size_t column)
{
    size_t title = columns_of(t->column[column].title);
    return (title > l->number ? title : l->number) + (column == 0 ? GAP : l->gap);
}

static size_t group_width(const table *t, const layout *l, size_t group)
{
    char name[NAME_ROOM];
    size_t width = 0, whole = columns_of(log_printable(name, sizeof name, t->group[group])) + GAP;
    for (size_t c = 0; c < t->n_columns; c++)
        width += own_width(t, l, c);
    return width > whole ? width : whole;
}

/* The first column of a group takes what a long name of the group needs. */
static size_t cell_width(const table *t, const layout *l, size_t group, size_t column)
{
    size_t width = group_width(t, l, group);
    if (column > 0) return own_width(t, l, column);
    for (size_t c = 1; c < t->n_columns; c++)
        width -= own_width(t, l, c);
    return width;
}

static size_t whole_width(const table *t, const layout *l)
{
    size_t sum = label_width(t);
    for (size_t g = 0; g < t->n_groups; g++)
        sum += group_width(t, l, g);
    return sum;
}

static void print_block(FILE *f, const table *t, const layout *l, size_t from, size_t to,
                        int bold)
{
    size_t label = label_width(t);
    char name[NAME_ROOM], best[CELL_ROOM], buf[CELL_ROOM];
    size_t owed = label; /* blanks not printed yet, so that no line ends in one */
    for (size_t g = from; g < to; g++) {
        size_t whole = group_width(t, l, g), n;
        log_printable(name, sizeof name, t->group[g]);
        n = columns_of(name);
        pad(f, owed + whole - n - (whole - GAP - n) / 2);
        fputs(name, f);
        owed = (whole - GAP - n) / 2;
    }
    fprintf(f, "\n%s", t->corner);
    pad(f, label - columns_of(t->corner));
    for (size_t g = from; g < to; g++)
        for (size_t c = 0; c < t->n_columns; c++) {
            pad(f, cell_width(t, l, g, c) - columns_of(t->column[c].title));
            fputs(t->column[c].title, f);
        }
    fputc('\n', f);
    for (size_t i = 0; i < t->n_rows; i++) {
        log_printable(name, sizeof name, t->row[i]);
        fputs(name, f);
        pad(f, label - columns_of(name));
        for (size_t g = from; g < to; g++)
            for (size_t c = 0; c < t->n_columns; c++) {
                int strong;
                best_of(t, g, c, best);
                cell(buf, at(t, i, g, c));
                strong = bold && strcmp(buf, best) == 0;
                pad(f, cell_width(t, l, g, c) - strlen(buf));
                fprintf(f, "%s%s%s", strong ? "\033[1m" : "", buf, strong ? "\033[0m" : "");
            }
        fputc('\n', f);
    }
}

void table_print_text(FILE *f, const table *t, int width, int bold)
{
    size_t label = label_width(t);
    layout l = { number_width(t), GAP };
    if (whole_width(t, &l) > (size_t)width) l.gap = 1; /* closer columns, if that saves a block */
    if (whole_width(t, &l) > (size_t)width) l.gap = GAP;
    for (size_t from = 0, to; from < t->n_groups; from = to) {
        size_t used = label;
        for (to = from; to < t->n_groups; to++) {
            size_t more = group_width(t, &l, to);
            if (to > from && used + more > (size_t)width) break;
            used += more;
        }
        if (from > 0) fputc('\n', f);
        print_block(f, t, &l, from, to, bold);
    }
}

/* ---- Markdown --------------------------------------------------------------------------------- */

static void print_escaped(FILE *f, const char *text, const char *special)
{
    char name[NAME_ROOM];
    for (const char *p = log_printable(name, sizeof name, text); *p != '\0'; p++) {
        if (strchr(special, *p) != NULL) fputc('\\', f);
        fputc(*p, f);
    }
}

void table_print_markdown(FILE *f, const table *t)
{
    static const char special[] = "\\`*_|<>[]";
    char best[CELL_ROOM], buf[CELL_ROOM];
    fprintf(f, "| %s |", t->corner);
    for (size_t g = 0; g < t->n_groups; g++)
        for (size_t c = 0; c < t->n_columns; c++) {
            fputc(' ', f);
            print_escaped(f, t->group[g], special);
            fprintf(f, " %s |", t->column[c].title);
        }
    fputs("\n|:---|", f);
    for (size_t k = 0; k < t->n_groups * t->n_columns; k++)
        fputs("---:|", f);
    fputc('\n', f);
    for (size_t i = 0; i < t->n_rows; i++) {
        fputs("| ", f);
        print_escaped(f, t->row[i], special);
        fputs(" |", f);
        for (size_t g = 0; g < t->n_groups; g++)
            for (size_t c = 0; c < t->n_columns; c++) {
                int strong;
                best_of(t, g, c, best);
                cell(buf, at(t, i, g, c));
                strong = strcmp(buf, best) == 0;
                fprintf(f, strong ? " **%s** |" : " %s |", buf);
            }
        fputc('\n', f);
    }
}

/* ---- LaTeX ------------------------------------------------------------------------------------ */

static void print_latex(FILE *f, const char *text)
{
    char name[NAME_ROOM];
    for (const char *p = log_printable(name, sizeof name, text); *p != '\0'; p++) {
        switch (*p) {
        case '\\': fputs("\\textbackslash{}", f); break;
        case '~': fputs("\\textasciitilde{}", f); break;
        case '^': fputs("\\textasciicircum{}", f); break;
        case '&': case '%': case '$': case '#': case '_': case '{': case '}':
            fputc('\\', f);
            /* fall through */
        default: fputc(*p, f);
        }
    }
}

void table_print_latex(FILE *f, const table *t)
{
    char best[CELL_ROOM], buf[CELL_ROOM];
    fputs("% needs \\usepackage{booktabs}\n\\begin{tabular}{l", f);
    for (size_t k = 0; k < t->n_groups * t->n_columns; k++)
        fputc('r', f);
    fputs("}\n\\toprule\n", f);
    for (size_t g = 0; g < t->n_groups; g++) {
        fprintf(f, " & \\multicolumn{%zu}{c}{", t->n_columns);
        print_latex(f, t->group[g]);
        fputc('}', f);
    }
    fputs(" \\\\\n", f);
    for (size_t g = 0; g < t->n_groups; g++)
        fprintf(f, "\\cmidrule(lr){%zu-%zu}", 2 + g * t->n_columns, 1 + (g + 1) * t->n_columns);
    fprintf(f, "\n%s", t->corner);
    for (size_t g = 0; g < t->n_groups; g++)
        for (size_t c = 0; c < t->n_columns; c++)
            if (t->column[c].plain) fprintf(f, " & %s", t->column[c].title);
            else
                fprintf(f, " & %s $\\%sarrow$", t->column[c].title,
                        t->column[c].larger_is_better ? "up" : "down");
    fputs(" \\\\\n\\midrule\n", f);
    for (size_t i = 0; i < t->n_rows; i++) {
        print_latex(f, t->row[i]);
        for (size_t g = 0; g < t->n_groups; g++)
            for (size_t c = 0; c < t->n_columns; c++) {
                int strong;
                best_of(t, g, c, best);
                cell(buf, at(t, i, g, c));
                strong = strcmp(buf, best) == 0;
                fprintf(f, strong ? " & \\textbf{%s}" : " & %s", buf);
            }
        fputs(" \\\\\n", f);
    }
    fputs("\\bottomrule\n\\end{tabular}\n", f);
}
