/* preprocess.c: what each preset means (models.md section 9), overrides, geometry of torchvision
 * (section 10.1: sizes and offsets there were taken from torchvision itself), provenance text. */
#include "extract/images/preprocess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/err.h"

static const prep_native resnet = {.side = 224,
                                   .preset = "torchvision",
                                   .resize_short = 256,
                                   .filter = RESIZE_BILINEAR,
                                   .mean = {0.485f, 0.456f, 0.406f},
                                   .std = {0.229f, 0.224f, 0.225f}};
static const prep_native cifar = {.side = 32,
                                  .preset = "cifar",
                                  .resize_short = 32,
                                  .filter = RESIZE_BILINEAR,
                                  .mean = {0.4914f, 0.4822f, 0.4465f},
                                  .std = {0.2023f, 0.1994f, 0.2010f}};

static prep resolved(const char *text, const prep_native *native)
{
    prep p;
    err_clear();
    assert_int_equal(prep_resolve(&p, text, native), 0);
    return p;
}

static void assert_json(const char *text, const prep_native *native, const char *want)
{
    prep p = resolved(text, native);
    char *json = NULL;
    assert_int_equal(prep_json(&p, &json), 0);
    assert_string_equal(json, want);
    free(json);
}

#define IMAGENET "\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225]}"
#define CIFAR "\"mean\":[0.4914,0.4822,0.4465],\"std\":[0.2023,0.1994,0.201]}"
#define HALF "\"mean\":[0.5,0.5,0.5],\"std\":[0.5,0.5,0.5]}"

static void test_presets(void **state)
{
    prep_native swin = resnet;
    (void)state;
    swin.resize_short = 232;
    swin.filter = RESIZE_BICUBIC;
    assert_json("gen", &resnet,
                "{\"preset\":\"gen\",\"resize\":[224,224],\"filter\":\"bilinear\",\"crop\":null,"
                "\"out\":[224,224]," IMAGENET);
    assert_json(NULL, &resnet,
                "{\"preset\":\"torchvision\",\"resize\":256,\"filter\":\"bilinear\",\"crop\":224,"
                "\"out\":[224,224]," IMAGENET);
    assert_json("torchvision", &swin,
                "{\"preset\":\"torchvision\",\"resize\":232,\"filter\":\"bicubic\",\"crop\":224,"
                "\"out\":[224,224]," IMAGENET);
    assert_json("openood", &swin,
                "{\"preset\":\"openood\",\"resize\":256,\"filter\":\"bilinear\",\"crop\":224,"
                "\"out\":[224,224]," IMAGENET);
    assert_json("openood", &cifar,
                "{\"preset\":\"openood\",\"resize\":32,\"filter\":\"bilinear\",\"crop\":32,\"out\":"
                "[32,32]," CIFAR);
    assert_json("mos", &resnet,
                "{\"preset\":\"mos\",\"resize\":[480,480],\"filter\":\"bilinear\",\"crop\":null,"
                "\"out\":[480,480]," HALF);
    assert_json(NULL, &cifar,
                "{\"preset\":\"cifar\",\"resize\":[32,32],\"filter\":\"bilinear\",\"crop\":null,"
                "\"out\":[32,32]," CIFAR);
    assert_json("timm", &resnet,
                "{\"preset\":\"timm\",\"resize\":248,\"filter\":\"bicubic\",\"crop\":224,\"out\":["
                "224,224]," IMAGENET);
}

/* The rows of models.md section 9 (and 5.6), for networks as their files declare them. */
static prep_native network(int side, const char *preset, int resize_short, resize_filter filter,
                           int halves)
{
    prep_native n = resnet;
    n.side = side;
    n.preset = preset;
    n.resize_short = resize_short;
    n.filter = filter;
    for (int i = 0; halves && i < 3; i++)
        n.mean[i] = n.std[i] = 0.5f;
    return n;
}

static void assert_row(const char *text, const prep_native *n, const char *resize,
                       const char *filter, const char *crop, int out, const char *statistics)
{
    char want[512], preset[16];
    snprintf(preset, sizeof preset, "%.*s", (int)strcspn(text, ":"), text);
    snprintf(want, sizeof want,
             "{\"preset\":\"%s\",\"resize\":%s,\"filter\":\"%s\",\"crop\":%s,\"out\":[%d,%d],%s",
             preset, resize, filter, crop, out, out, statistics);
    assert_json(text, n, want);
}

static void test_published_pipelines(void **state)
{
    prep_native bit = network(480, "mos", 0, RESIZE_BILINEAR, 1);
    prep_native vit = network(384, "gen", 0, RESIZE_BILINEAR, 1);
    prep_native repvgg = network(224, "timm", 256, RESIZE_BILINEAR, 0);
    prep_native resnet50d = network(224, "timm", 256, RESIZE_BICUBIC, 0);
    prep_native swin = network(224, "timm", 248, RESIZE_BICUBIC, 0);
    prep_native vit_timm = network(224, "timm", 248, RESIZE_BICUBIC, 1);
    prep_native t2t = network(224, "timm", 248, RESIZE_BICUBIC, 0);
    prep_native swin_t = network(224, "torchvision", 232, RESIZE_BICUBIC, 0);
    prep_native swin_b = network(224, "torchvision", 238, RESIZE_BICUBIC, 0);
    const char *squash = "mean=0.5/0.5/0.5,std=0.5/0.5/0.5";
    char text[128];
    (void)state;
    /* ViM, GEN */
    assert_row("gen", &bit, "[480,480]", "bilinear", "null", 480, HALF);
    assert_row("gen", &vit, "[384,384]", "bilinear", "null", 384, HALF);
    assert_row("gen", &repvgg, "[224,224]", "bilinear", "null", 224, IMAGENET);
    assert_row("gen", &resnet50d, "[224,224]", "bilinear", "null", 224, IMAGENET);
    assert_row("gen", &swin, "[224,224]", "bilinear", "null", 224, IMAGENET);
    /* MOS, GradNorm; RankFeat on BiT and SqueezeNet, on torchvision's transformers, on T2T */
    assert_row("mos", &bit, "[480,480]", "bilinear", "null", 480, HALF);
    assert_row("mos", &resnet, "[480,480]", "bilinear", "null", 480, HALF);
    assert_row("mos:size=224", &swin_b, "[224,224]", "bilinear", "null", 224, HALF);
    assert_row("mos:size=384", &t2t, "[384,384]", "bilinear", "null", 384, HALF);
    snprintf(text, sizeof text, "gen:%s", squash);
    assert_row(text, &swin_b, "[224,224]", "bilinear", "null", 224, HALF);
    /* HIMPLoS; NAC and OpenOOD: torchvision's own transforms, V2 weights, other checkpoints */
    assert_row("torchvision", &resnet, "256", "bilinear", "224", 224, IMAGENET);
    assert_row("torchvision:resize=232", &resnet, "232", "bilinear", "224", 224, IMAGENET);
    assert_row("torchvision", &swin_t, "232", "bicubic", "224", 224, IMAGENET);
    assert_row("torchvision", &swin_b, "238", "bicubic", "224", 224, IMAGENET);
    assert_row("cifar", &cifar, "[32,32]", "bilinear", "null", 32, CIFAR);
    assert_row("openood", &cifar, "32", "bilinear", "32", 32, CIFAR);
    assert_row("openood", &repvgg, "256", "bilinear", "224", 224, IMAGENET);
    assert_row("openood", &vit_timm, "256", "bilinear", "224", 224, IMAGENET);
    /* timm's own, and T2T's */
    assert_row("timm", &repvgg, "256", "bilinear", "224", 224, IMAGENET);
    assert_row("timm", &resnet50d, "256", "bicubic", "224", 224, IMAGENET);
    assert_row("timm", &swin, "248", "bicubic", "224", 224, IMAGENET);
    assert_row("timm", &vit_timm, "248", "bicubic", "224", 224, HALF);
    assert_row("timm", &t2t, "248", "bicubic", "224", 224, IMAGENET);
    /* mmcls 0.25: ViT at 384 through Pillow; its ResNets through cv2 */
    assert_row("mmcls", &vit, "384", "bilinear", "384", 384, HALF);
    assert_row("mmcls:filter=cv2-bicubic", &vit, "384", "cv2-bicubic", "384", 384, HALF);
    assert_row("mmcls:filter=cv2-bilinear", &resnet, "256", "cv2-bilinear", "224", 224, IMAGENET);
}

/* A recipe's numbers are not another's. */
static void test_whose_numbers(void **state)
{
    prep_native n = network(224, "timm", 288, RESIZE_BILINEAR, 0);
    (void)state;
    assert_row("torchvision", &n, "256", "bilinear", "224", 224, IMAGENET);
    assert_row("mmcls", &n, "256", "bilinear", "224", 224, IMAGENET);
    n.preset = "gen";
    n.recipe = "timm";
    assert_row("timm", &n, "288", "bilinear", "224", 224, IMAGENET);
    assert_row("torchvision", &n, "256", "bilinear", "224", 224, IMAGENET);
    n.recipe = "mmcls";
    assert_row("mmcls", &n, "288", "bilinear", "224", 224, IMAGENET);
    assert_row("timm", &n, "248", "bicubic", "224", 224, IMAGENET);
    n.recipe = NULL;
    assert_row("torchvision", &n, "288", "bilinear", "224", 224, IMAGENET);
    assert_row("timm", &n, "288", "bilinear", "224", 224, IMAGENET);
    assert_row("mmcls", &n, "256", "bilinear", "224", 224, IMAGENET);
    n.resize_short = 0;
    assert_row("torchvision", &n, "256", "bilinear", "224", 224, IMAGENET);
    assert_row("timm", &n, "248", "bicubic", "224", 224, IMAGENET);
}

/* Input sides other than the network's. */
static void test_size(void **state)
{
    prep_native repvgg = network(224, "timm", 256, RESIZE_BILINEAR, 0);
    prep_native swin_b = network(224, "torchvision", 238, RESIZE_BICUBIC, 0);
    prep_native none = network(224, "gen", 0, RESIZE_BILINEAR, 0);
    (void)state;
    assert_row("gen:size=384", &resnet, "[384,384]", "bilinear", "null", 384, IMAGENET);
    assert_row("torchvision:size=384", &resnet, "438", "bilinear", "384", 384, IMAGENET);
    assert_row("torchvision:size=448", &swin_b, "476", "bicubic", "448", 448, IMAGENET);
    assert_row("timm:size=288", &repvgg, "329", "bilinear", "288", 288, IMAGENET);
    assert_row("timm:size=384", &none, "426", "bicubic", "384", 384, IMAGENET);
    assert_row("openood:size=384", &resnet, "438", "bilinear", "384", 384, IMAGENET);
    assert_row("openood:size=64", &cifar, "64", "bilinear", "64", 64, CIFAR);
    assert_row("cifar:size=64", &cifar, "[64,64]", "bilinear", "null", 64, CIFAR);
    assert_row("mmcls:size=384", &resnet, "384", "bilinear", "384", 384, IMAGENET);
    /* the network's own side changes nothing; order does not matter; resize stands */
    assert_row("torchvision:size=224", &swin_b, "238", "bicubic", "224", 224, IMAGENET);
    assert_row("gen:filter=bicubic,size=384", &resnet, "[384,384]", "bicubic", "null", 384,
               IMAGENET);
    assert_row("timm:resize=384,size=384", &none, "384", "bicubic", "384", 384, IMAGENET);
    assert_row("gen:crop=384,resize=438,size=384", &resnet, "438", "bilinear", "384", 384,
               IMAGENET);
}

static void test_overrides(void **state)
{
    (void)state;
    assert_json("gen:resize=480x320,filter=bicubic,mean=0.5/0.5/0.5,std=0.5/0.5/0.5", &resnet,
                "{\"preset\":\"gen\",\"resize\":[480,320],\"filter\":\"bicubic\",\"crop\":null,"
                "\"out\":[480,320]," HALF);
    assert_json("gen:resize=256,crop=224", &resnet,
                "{\"preset\":\"gen\",\"resize\":256,\"filter\":\"bilinear\",\"crop\":224,\"out\":["
                "224,224]," IMAGENET);
    assert_json("openood:resize=384x384,crop=none", &resnet,
                "{\"preset\":\"openood\",\"resize\":[384,384],\"filter\":\"bilinear\",\"crop\":"
                "null,\"out\":[384,384]," IMAGENET);
}

static void assert_usage(const char *text, const char *words)
{
    prep p;
    err_clear();
    assert_int_equal(prep_resolve(&p, text, &resnet), ERR_USAGE);
    if (strstr(err_text(), words) == NULL) fail_msg("'%s' lacks '%s'", err_text(), words);
    err_clear();
}

static void test_refusals(void **state)
{
    (void)state;
    assert_usage("opnood", "openood");
    assert_usage("gen:reszie=4", "resize");
    assert_usage("gen:filter=bicubc", "bicubic");
    assert_usage("gen:resize", "key=value");
    assert_usage("gen:resize=0", "outside");
    assert_usage("gen:resize=4x", "empty");
    assert_usage("gen:resize=4x4x4", "HxW");
    assert_usage("gen:resize=99999", "outside");
    assert_usage("gen:resize=256", "crop");
    assert_usage("openood:crop=none", "crop");
    assert_usage("gen:mean=1/2", "R/G/B");
    assert_usage("gen:std=1/0/1", "range");
    assert_usage("gen:mean=nan/0/1", "mean");
    assert_usage("gen:", "key=value");
    assert_usage("gen:filter=cv2-bicubc", "did you mean 'cv2-bicubic'");
    assert_usage("mmcl", "did you mean 'mmcls'");
    assert_usage("gen:size=0", "outside");
    assert_usage("gen:size=-3", "outside");
    assert_usage("gen:size=5000", "outside");
    assert_usage("gen:size=384x384", "size");
    assert_usage("gen:size=", "size");
    assert_usage("gen:size", "key=value");
    assert_usage("gen:size=384,resize=224x224", "contradicts");
    assert_usage("gen:size=384,resize=384x224", "contradicts");
    assert_usage("torchvision:size=384,crop=224", "contradicts");
    assert_usage("torchvision:crop=none,size=384", "crop");
    assert_usage("gen:size=1,size=2,size=3,size=4,size=5,size=6,size=7,size=8,size=9,size=1,size=2,"
                 "size=3,size=4,size=5,size=6,size=7,size=8,size=9,size=1,size=2,size=3,size=4,"
                 "size=5,size=6,size=7,size=8,size=9,size=1,size=2,size=3,size=4,size=5,size=6",
                 "more than 32");
}

/* torchvision 0.14 on Pillow 9.4. */
static void test_geometry(void **state)
{
    static const struct {
        int w, h, ow, oh, x, y;
    } t[] = {{500, 375, 341, 256, 58, 16}, {375, 500, 256, 341, 16, 58},
             {300, 260, 295, 256, 36, 16}, {1000, 251, 1019, 256, 398, 16},
             {256, 256, 256, 256, 16, 16}, {229, 224, 261, 256, 18, 16}};
    prep p = resolved("gen:resize=256,crop=224", &resnet);
    (void)state;
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        resize_shape s;
        int x, y;
        assert_int_equal(prep_window(&p, t[i].w, t[i].h, &s, &x, &y), 0);
        assert_int_equal(s.ow, t[i].ow);
        assert_int_equal(s.oh, t[i].oh);
        assert_int_equal(s.x, t[i].x);
        assert_int_equal(s.y, t[i].y);
        assert_int_equal(s.cw, 224);
        assert_int_equal(s.ch, 224);
        assert_true(x == 0 && y == 0);
    }
}

/* CenterCrop of a smaller image: zeros left floor, right ceil of the half. */
static void test_padding(void **state)
{
    prep p = resolved("gen:resize=3x4,crop=7", &resnet);
    uint8_t dst[7 * 7 * 3], px[3 * 4 * 3 + RESIZE_SLACK];
    image im = {.w = 4, .h = 3, .rgb = px};
    prep_scratch *s = NULL;
    (void)state;
    memset(px, 9, sizeof px);
    memset(dst, 1, sizeof dst);
    assert_int_equal(prep_scratch_new(&s), 0);
    assert_int_equal(prep_apply(&p, s, &im, dst), 0);
    for (int y = 0; y < 7; y++)
        for (int x = 0; x < 7; x++)
            assert_int_equal(dst[(y * 7 + x) * 3 + 2], x >= 1 && x < 5 && y >= 2 && y < 5 ? 9 : 0);
    prep_scratch_free(&s);
}

/* The kept plans do not mix: many sizes, each twice, in changing order. */
static void test_plans(void **state)
{
    prep p = resolved("gen:resize=20,crop=16", &resnet);
    prep_scratch *s = NULL;
    uint8_t a[16 * 16 * 3], b[16 * 16 * 3];
    (void)state;
    assert_int_equal(prep_scratch_new(&s), 0);
    for (int i = 0; i < 60; i++) {
        int w = 21 + i * 7 % 23, h = 20 + i * 5 % 11;
        image im = {.w = w, .h = h, .rgb = malloc((size_t)(w * h * 3) + RESIZE_SLACK)};
        prep_scratch *fresh = NULL;
        for (int k = 0; k < w * h * 3 + RESIZE_SLACK; k++)
            im.rgb[k] = (uint8_t)(k * 37 + k / 11 + i);
        assert_int_equal(prep_scratch_new(&fresh), 0);
        assert_int_equal(prep_apply(&p, s, &im, a), 0);
        assert_int_equal(prep_apply(&p, fresh, &im, b), 0);
        assert_memory_equal(a, b, sizeof a);
        prep_scratch_free(&fresh);
        free(im.rgb);
    }
    prep_scratch_free(&s);
}

static void test_absurd(void **state)
{
    prep p = resolved("gen:resize=256,crop=224", &resnet);
    resize_shape s;
    int x, y;
    (void)state;
    assert_int_equal(prep_window(&p, 178956970, 1, &s, &x, &y), ERR_INPUT);
    err_clear();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_presets),       cmocka_unit_test(test_published_pipelines),
        cmocka_unit_test(test_whose_numbers), cmocka_unit_test(test_size),
        cmocka_unit_test(test_overrides),     cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_geometry),      cmocka_unit_test(test_padding),
        cmocka_unit_test(test_plans),         cmocka_unit_test(test_absurd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
