/* Channel statistics of the training sets, RGB, of values in 0..1 (models.md sections 7 and 9). */
#ifndef OUTPOST_MODELS_STATS_H
#define OUTPOST_MODELS_STATS_H

#define IMAGENET_STATS                                                                             \
    .mean = { 0.485f, 0.456f, 0.406f }, .std = { 0.229f, 0.224f, 0.225f }
/* Google's ViT and BiT: -1..1. */
#define HALF_STATS .mean = { 0.5f, 0.5f, 0.5f }, .std = { 0.5f, 0.5f, 0.5f }
/* ReAct, DICE, HIMPLoS on CIFAR. */
#define CIFAR_DICE_STATS                                                                           \
    .mean = { 0.4914f, 0.4822f, 0.4465f }, .std = { 0.2023f, 0.1994f, 0.2010f }
/* OpenOOD on CIFAR-10; for CIFAR-100 say --prep cifar:mean=.5071/.4867/.4408,std=.2675/.2565/.2761 */
#define CIFAR10_OPENOOD_STATS                                                                      \
    .mean = { 0.4914f, 0.4822f, 0.4465f }, .std = { 0.2470f, 0.2435f, 0.2616f }
/* Outlier exposure, energy_ood and pytorch-ood on both CIFARs. */
#define CIFAR_OE_STATS                                                                             \
    .mean = { (float)(125.3 / 255), (float)(123.0 / 255), (float)(113.9 / 255) },                  \
    .std = { (float)(63.0 / 255), (float)(62.1 / 255), (float)(66.7 / 255) }

/* torchvision's evaluation of its V1 weights: short side 256, bilinear, crop 224. */
#define TORCHVISION_224                                                                            \
    {                                                                                              \
        .side = 224, .preset = "torchvision", .resize_short = 256, .filter = RESIZE_BILINEAR,      \
        IMAGENET_STATS                                                                             \
    }

#endif
