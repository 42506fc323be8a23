/* score/sweep_grid.c: grids from words and from the table of presets. */
#include "score/sweep.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static void first_key_is_fastest(void **state)
{
    grid g = { 0 };
    (void)state;
    assert_int_equal(grid_add(&g, "a=1,2,3"), 0);
    assert_int_equal(grid_add(&g, "b=x,y"), 0);
    assert_int_equal(g.points, 6);
    assert_string_equal(grid_value(&g, 0, 0), "1");
    assert_string_equal(grid_value(&g, 2, 0), "3");
    assert_string_equal(grid_value(&g, 2, 1), "x");
    assert_string_equal(grid_value(&g, 3, 0), "1");
    assert_string_equal(grid_value(&g, 5, 1), "y");
    grid_clear(&g);
}

static void ranges(void **state)
{
    static const struct { const char *text; size_t n; const char *last; } good[] = {
        { "a=0:1:0.1", 11, "1" },     { "a=0.1:0.35:0.1", 3, "0.3" }, { "a=5:5:1", 1, "5" },
        { "a=3:1:-1", 3, "1" },       { "a=1e-3:3e-3:1e-3", 3, "0.003" },
        { "a=65:95:5", 7, "95" },     { "a=-1:1:0.5", 5, "1" },
    };
    static const char *const bad[] = { "a", "a=", "=1", "a=1:2", "a=1:2:3:4", "a=1:2:0", "a=2:1:1", "a=1::2",
                                       "a=x:2:1", "a=1,,2", "a=1,1", "a=0:1:1e-9", "a=nan:1:1", "a=0:inf:1" };
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        grid g = { 0 };
        if (grid_add(&g, good[i].text) != 0) fail_msg("%s: %s", good[i].text, err_text());
        assert_int_equal(g.points, good[i].n);
        assert_string_equal(grid_value(&g, g.points - 1, 0), good[i].last);
        grid_clear(&g);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        grid g = { 0 };
        err_clear();
        if (grid_add(&g, bad[i]) != ERR_USAGE) fail_msg("%s was taken", bad[i]);
        grid_clear(&g);
    }
    err_clear();
}

/* Every published grid whose method is here is one that the method takes. */
static void presets_fit_their_methods(void **state)
{
    size_t known = 0;
    (void)state;
    for (const preset *p = presets; p->preset != NULL; p++) {
        grid g = { 0 };
        method_use *uses = NULL;
        if (p > presets && strcmp(p->method, p[-1].method) == 0 && strcmp(p->preset, p[-1].preset) == 0) continue;
        err_clear();
        assert_int_equal(grid_add_preset(&g, p->preset, p->method), 0);
        if (method_find(p->method) != NULL) {
            known++;
            if (grid_uses(&g, p->method, 0, g.points, NULL, 0, &uses) != 0)
                fail_msg("%s of %s: %s", p->preset, p->method, err_text());
            for (size_t i = 0; i < g.points; i++)
                for (size_t k = 0; k < g.n; k++)
                    assert_string_equal(param_text(&uses[i].params, g.key[k].name),
                                        grid_value(&g, i, k));
            engine_free_uses(&uses, g.points, 0);
        }
        grid_clear(&g);
    }
    print_message("# %zu methods have a published grid\n", known);
    assert_true(known >= 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_key_is_fastest),
        cmocka_unit_test(ranges),
        cmocka_unit_test(presets_fit_their_methods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
