/* The hash-made weights against models.md 14.1 (its printed checks first) and against
 * tests/golden/nets.py, which is written from the same text: bit for bit, every kind of tensor. */
#include "tests/lib/hash_golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct element {
    const char *name;
    size_t dim[4];
    int rank;
    double gain;
    size_t i;
    float value;
} element;

static const element elements[] = {
    { "conv1.weight", { 64, 3, 7, 7 }, 4, 2, 2, -0.192768753f },
    { "bn1.weight", { 64 }, 1, 2, 1, 1.1946454f },
    { "bn1.running_var", { 64 }, 1, 2, 1, 1.28675342f },
    { "bn1.running_mean", { 64 }, 1, 2, 3, 0.074935779f },
    { "fc.weight", { 1000, 512 }, 2, 2, 1, 0.0569919161f },
    { "fc.bias", { 1000 }, 1, 1, 999, -0.0672379509f },
    { "cls_token", { 1, 1, 768 }, 3, 2, 767, -0.147126079f },
    { "class_token", { 1, 1, 768 }, 3, 2, 5, -0.283565283f },
    { "pos_embed", { 1, 197, 768 }, 3, 2, 70000, -0.315426588f },
    { "encoder.pos_embedding", { 1, 197, 768 }, 3, 2, 11, 0.372487783f },
    { "features.1.0.attn.relative_position_bias_table", { 169, 3 }, 2, 2, 506, 0.233861804f },
    { "encoder.layers.encoder_layer_3.self_attention.in_proj_weight",
      { 2304, 768 }, 2, 2, 1769471, -0.0412072316f },
    { "encoder.layers.encoder_layer_3.self_attention.in_proj_bias",
      { 2304 }, 1, 2, 2303, -0.00142357347f },
    { "features.1.0.layer_scale", { 96, 1, 1 }, 3, 2, 95, 0.547547936f },
    { "tokens_to_token.attention1.kqv.weight", { 192, 147 }, 2, 2, 28223, 0.00724521279f },
    { "tokens_to_token.attention1.kqv.bias", { 192 }, 1, 2, 191, -0.0835802332f },
    { "tokens_to_token.attention1.w", { 32, 64 }, 2, 2, 2047, 0.808669329f },
    { "conv_proj.weight", { 768, 3, 16, 16 }, 4, 2, 65537, 0.0756173432f },
    { "head.conv.weight", { 1000, 2048, 1, 1 }, 4, 2, 123456, 0.0348232947f },
    { "norm.weight", { 768 }, 1, 2, 4, 0.702921987f },
};

static void every_kind_of_tensor(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof elements / sizeof *elements; k++) {
        const element *e = &elements[k];
        float v[2];
        hash_tensor(v, e->i - 1, 2, e->name, e->dim, e->rank, e->gain);
        if (v[1] != e->value) fail_msg("%s[%zu]: %.9g, not %.9g", e->name, e->i, v[1], e->value);
    }
}

/* x[0,0,0,0..2] as printed; a whole batch by its last element. */
static void input_of_the_networks(void **state)
{
    static float x[2 * 3 * 32 * 32];
    float last = (float)(hash_uniform("input", 6143) + 2 * hash_uniform("inputdc", 5));
    (void)state;
    hash_input(x, 2, 32);
    assert_true(x[0] == 0.657797456f && x[1] == 1.76688159f && x[2] == 0.869409323f);
    assert_true(x[6143] == last);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_tensor),
        cmocka_unit_test(input_of_the_networks),
    };
    return cmocka_run_group_tests_name("hash_golden", tests, NULL, NULL);
}
