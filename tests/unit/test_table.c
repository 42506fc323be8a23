/* score/table.c: layout, blocks, bold, markup in names. */
#include "score/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const rows[] = { "msp", "gen-residual" };
static const char *const sets[] = { "texture", "a_b|c" };
static const table_column columns[] = { { "AUROC", 1, 0 }, { "FPR95", 0, 0 } };
static const double values[] = { 0.5, 1, 0.12345, 0.999, 0.5000001, 0.25, NAN, NAN };
static const table small = { "method", 2, 2, 2, rows, sets, columns, values };

static char *text(const table *t, int width, int bold)
{
    static char *out; /* static: gcc 12 takes a local one for dangling */
    size_t n;
    FILE *f = open_memstream(&out, &n);
    table_print_text(f, t, width, bold);
    fclose(f);
    return out;
}

static void aligned_text(void **state)
{
    char *s = text(&small, 80, 0);
    (void)state;
    assert_string_equal(s, "                  texture          a_b|c\n"
                           "method         AUROC   FPR95   AUROC   FPR95\n"
                           "msp            50.00  100.00   12.35   99.90\n"
                           "gen-residual   50.00   25.00       -       -\n");
    free(s);
}

static void blocks_when_it_is_wide(void **state)
{
    char *s = text(&small, 30, 0);
    (void)state;
    assert_string_equal(s, "                  texture\n"
                           "method         AUROC   FPR95\n"
                           "msp            50.00  100.00\n"
                           "gen-residual   50.00   25.00\n"
                           "\n"
                           "                   a_b|c\n"
                           "method         AUROC   FPR95\n"
                           "msp            12.35   99.90\n"
                           "gen-residual       -       -\n");
    free(s);
    s = text(&small, 1, 0); /* never less than one group */
    assert_non_null(strstr(s, "gen-residual   50.00   25.00\n\n"));
    free(s);
}

/* 0.5 and 0.5000001 print alike: both are best.  A column with one value has no best. */
static void bold_is_what_prints_best(void **state)
{
    char *s = text(&small, 80, 1);
    (void)state;
    assert_non_null(strstr(s, "msp            \033[1m50.00\033[0m  100.00   12.35   99.90\n"));
    assert_non_null(strstr(s, "gen-residual   \033[1m50.00\033[0m   \033[1m25.00\033[0m"));
    free(s);
}

static void long_names_widen_their_group(void **state)
{
    static const char *const long_sets[] = { "a-name-longer-than-its-columns", "b" };
    table t = small;
    char *s, *line;
    size_t width = 0;
    (void)state;
    t.group = long_sets;
    s = text(&t, 80, 0);
    assert_non_null(strstr(s, "a-name-longer-than-its-columns"));
    line = strchr(s, '\n') + 1;
    width = strcspn(line, "\n");
    for (line += width + 1; *line != '\0'; line += width + 1)
        assert_int_equal(strcspn(line, "\n"), width);
    free(s);
}

static void control_bytes_do_not_reach_the_terminal(void **state)
{
    static const char *const bad[] = { "x\033[31m\n", "y" };
    table t = small;
    char *s;
    (void)state;
    t.group = bad;
    s = text(&t, 80, 0);
    assert_null(strchr(s, '\033'));
    assert_non_null(strstr(s, "x\\x1b[31m\\x0a"));
    free(s);
}

static void markdown(void **state)
{
    char *out = NULL;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    (void)state;
    table_print_markdown(f, &small);
    fclose(f);
    assert_string_equal(
        out, "| method | texture AUROC | texture FPR95 | a\\_b\\|c AUROC | a\\_b\\|c FPR95 |\n"
             "|:---|---:|---:|---:|---:|\n"
             "| msp | **50.00** | 100.00 | 12.35 | 99.90 |\n"
             "| gen-residual | **50.00** | **25.00** | - | - |\n");
    free(out);
}

static void latex(void **state)
{
    static const char *const odd[] = { "a_b&50%", "~^\\" };
    table t = small;
    char *out = NULL;
    size_t n;
    FILE *f = open_memstream(&out, &n);
    (void)state;
    t.group = odd;
    table_print_latex(f, &t);
    fclose(f);
    assert_string_equal(
        out,
        "% needs \\usepackage{booktabs}\n"
        "\\begin{tabular}{lrrrr}\n"
        "\\toprule\n"
        " & \\multicolumn{2}{c}{a\\_b\\&50\\%} & "
        "\\multicolumn{2}{c}{\\textasciitilde{}\\textasciicircum{}\\textbackslash{}} \\\\\n"
        "\\cmidrule(lr){2-3}\\cmidrule(lr){4-5}\n"
        "method & AUROC $\\uparrow$ & FPR95 $\\downarrow$ & AUROC $\\uparrow$ & FPR95 $\\downarrow$ "
        "\\\\\n"
        "\\midrule\n"
        "msp & \\textbf{50.00} & 100.00 & 12.35 & 99.90 \\\\\n"
        "gen-residual & \\textbf{50.00} & \\textbf{25.00} & - & - \\\\\n"
        "\\bottomrule\n"
        "\\end{tabular}\n");
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_text),
        cmocka_unit_test(blocks_when_it_is_wide),
        cmocka_unit_test(bold_is_what_prints_best),
        cmocka_unit_test(long_names_widen_their_group),
        cmocka_unit_test(control_bytes_do_not_reach_the_terminal),
        cmocka_unit_test(markdown),
        cmocka_unit_test(latex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
