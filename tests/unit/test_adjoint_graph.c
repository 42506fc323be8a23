/* What graph_backward, graph_replay and graph_through make of a graph, and what they refuse. */
#include "common/err.h"
#include "extract/adjoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct fixture {
    graph *g;
    int x, map, side, z; /* input, a map on the way, a map beside it, logits */
} fixture;

static fixture set_up(void)
{
    fixture f = { NULL, -1, -1, -1, -1 };
    assert_int_equal(graph_new(&f.g), 0);
    f.x = g_input(f.g, 3, 6, 6);
    f.map = g_tap(f.g, g_relu(f.g, g_conv(f.g, f.x, 4, 3, 1, 1, "conv")), "map");
    f.side = g_tap(f.g, g_gelu(f.g, f.map), "side");
    f.z = g_linear(f.g, g_gap(f.g, f.map), 5, "fc");
    g_logits(f.g, f.z);
    return f;
}

static int cotangent(const fixture *f)
{
    return g_cotangent(f->g, f->z, COTANGENT_UNIFORM, 1, 0);
}

static void expect(const graph *g, int code, const char *words)
{
    assert_int_equal(graph_check(g), code);
    if (strstr(err_text(), words) == NULL) fail_msg("'%s' is not in: %s", words, err_text());
    err_clear();
}

static void gradients_have_the_shape_of_what_they_are_of(void **state)
{
    fixture f = set_up();
    int wanted[3] = { f.x, f.map, f.z }, out[3], d;
    (void)state;
    d = cotangent(&f);
    graph_backward(f.g, f.z, d, wanted, 3, out);
    assert_int_equal(graph_check(f.g), 0);
    for (int i = 0; i < 2; i++) {
        shape a = g_shape(f.g, wanted[i]), b = g_shape(f.g, out[i]);
        assert_true(a.c == b.c && a.h == b.h && a.w == b.w);
    }
    assert_int_equal(out[2], d);
    assert_null(graph_node(f.g, out[1])->tap); /* names stay with the forward pass */
    assert_int_equal(graph_find_tap(f.g, "map"), f.map);
    graph_free(&f.g);
}

static void a_tap_beside_the_way_has_none(void **state)
{
    fixture f = set_up();
    int wanted[2] = { f.x, f.side }, out[2];
    (void)state;
    graph_backward(f.g, f.z, cotangent(&f), wanted, 2, out);
    assert_int_equal(out[1], -1);
    expect(f.g, ERR_USAGE, "does not depend");
    graph_free(&f.g);
    f = set_up();
    assert_int_equal(graph_through(f.g, f.z, &f.side, 1), -1);
    expect(f.g, ERR_USAGE, "does not depend");
    graph_free(&f.g);
}

static void a_bypass_is_taken_where_it_must(void **state)
{
    fixture f = set_up();
    int quick = g_gap(f.g, f.map), whole = g_gap(f.g, f.side), z = g_linear(f.g, quick, 5, "fc"), through;
    size_t before = graph_nodes(f.g);
    (void)state;
    g_bypass(f.g, quick, whole);
    assert_int_equal(graph_through(f.g, z, &f.map, 1), z);
    assert_int_equal(graph_nodes(f.g), before);
    through = graph_through(f.g, z, &f.side, 1);
    assert_true(through > z);
    assert_int_equal(graph_node(f.g, through)->in[0], whole);
    assert_int_equal(graph_node(f.g, through)->weight, graph_node(f.g, z)->weight);
    assert_int_equal(graph_nodes(f.g), before + 1);
    graph_free(&f.g);
}

static void gradients_are_stored_as_their_taps_are(void **state)
{
    fixture f = set_up();
    int sum, wanted[3], out[3];
    (void)state;
    wanted[0] = g_tap_as(f.g, g_gelu(f.g, f.map), "rows", TAP_HWC);
    wanted[1] = g_tap_as(f.g, g_silu(f.g, f.map), "tokens", TAP_TOKENS);
    sum = wanted[2] = g_tap(f.g, g_add(f.g, wanted[0], wanted[1]), "sum");
    f.z = g_linear(f.g, g_gap(f.g, sum), 5, "fc");
    graph_backward(f.g, f.z, cotangent(&f), wanted, 3, out); /* one gradient, in three layouts */
    assert_int_equal(graph_check(f.g), 0);
    assert_int_equal(graph_node(f.g, out[0])->layout, TAP_HWC);
    assert_int_equal(graph_node(f.g, out[1])->layout, TAP_TOKENS);
    assert_int_equal(graph_node(f.g, out[2])->layout, TAP_CHW);
    graph_free(&f.g);
}

static void what_has_no_adjoint_is_said(void **state)
{
    fixture f = set_up();
    int out, z = g_linear(f.g, g_gap(f.g, g_deflate(f.g, f.map, DEFLATE_EXACT, 0, -1)), 5, "fc");
    (void)state;
    graph_backward(f.g, z, g_cotangent(f.g, z, COTANGENT_MAX, 1, 0), &f.map, 1, &out);
    assert_int_equal(out, -1);
    expect(f.g, ERR_INTERNAL, "no gradient through");
    graph_free(&f.g);
}

static void parameters_of_probes_are_apart(void **state)
{
    fixture f = set_up();
    const float v[2] = { 1, 2 };
    size_t before = graph_parameter_count(f.g);
    int p = g_constant(f.g, "start", 1, (const int[]){ 2 }, v), lighter;
    (void)state;
    lighter = g_deflated(f.g, graph_node(f.g, f.z)->weight, 2);
    assert_true(p >= 0 && lighter >= 0);
    assert_int_equal(graph_parameter_count(f.g), before);
    assert_true(graph_param(f.g, p)->given[1] == v[1]);
    assert_int_equal(graph_param(f.g, lighter)->removals, 2);
    assert_int_equal(g_deflated(f.g, graph_node(f.g, f.z)->weight, 2), lighter);
    assert_int_equal(g_constant(f.g, "fc.bias", 1, (const int[]){ 5 }, v), -1); /* the checkpoint's */
    expect(f.g, ERR_INTERNAL, "one name");
    graph_free(&f.g);
}

static void a_dead_node_stays_dead(void **state)
{
    fixture f = set_up();
    int out = 7, z = f.z;
    (void)state;
    g_refuse(f.g, "no such size");
    graph_backward(f.g, f.z, 3, &f.x, 1, &out);
    assert_int_equal(out, -1);
    graph_replay(f.g, &(replay){ .from = &f.map, .to = &f.side, .n = 1 }, &z, 1, &out);
    assert_int_equal(out, -1);
    assert_int_equal(graph_through(f.g, z, &f.map, 1), -1);
    expect(f.g, ERR_USAGE, "no such size");
    graph_free(&f.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_have_the_shape_of_what_they_are_of),
        cmocka_unit_test(a_tap_beside_the_way_has_none),
        cmocka_unit_test(a_bypass_is_taken_where_it_must),
        cmocka_unit_test(gradients_are_stored_as_their_taps_are),
        cmocka_unit_test(what_has_no_adjoint_is_said),
        cmocka_unit_test(parameters_of_probes_are_apart),
        cmocka_unit_test(a_dead_node_stays_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
