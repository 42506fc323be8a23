/* From decoded RGB bytes to the bytes a network sees: resize and crop, bit-exact with Pillow or cv2
 * and torchvision or mmcls (models.md sections 9 and 10).  Normalisation belongs to the backend. */
#ifndef OUTPOST_PREPROCESS_H
#define OUTPOST_PREPROCESS_H

#include "extract/images/image.h"
#include "extract/images/resize.h"

#include <stddef.h>
#include <stdint.h>

typedef struct prep {
    char preset[16];        /* gen torchvision openood mos cifar timm mmcls */
    int resize_short;       /* Resize(int): short side; 0 when exact is used */
    int resize_h, resize_w; /* Resize((h,w)); 0,0 when resize_short is used */
    resize_filter filter;
    int crop;              /* CenterCrop side; 0: none */
    int out_h, out_w;      /* what comes out, always the same size */
    float mean[3], std[3]; /* RGB, of values in 0..1 */
} prep;

/* What a network brings: its input side, its own recipe, its statistics. */
typedef struct prep_native {
    int side;           /* 224, 32, 480 ... */
    const char *preset; /* the default for this network */
    int resize_short;   /* of its own evaluation: 256, 232, 248; 0: the recipe's usual one */
    resize_filter filter;
    float mean[3], std[3];
    const char *recipe; /* whose numbers resize_short and filter are, "torchvision", "timm" or
                           "mmcls"; NULL: the preset's where it is one of these, else both
                           torchvision's and timm's */
} prep_native;

/* Resolves `--prep PRESET[:key=value,...]` (NULL: the network's own).  Keys: size=N, resize=N|HxW,
 * crop=N|none, filter=bilinear|bicubic|cv2-bilinear|cv2-bicubic, mean=R/G/B, std=R/G/B.  size is
 * the side that comes out, in place of the preset's or the network's: out_h and out_w are that and
 * not native->side.  ERR_USAGE with "did you mean". */
int prep_resolve(prep *out, const char *text, const prep_native *native);
/* The i-th preset; NULL behind the last. */
const char *prep_preset_name(size_t i);
/* Canonical JSON object of everything above, for the provenance; caller frees. */
int prep_json(const prep *p, char **out);

/* Scratch of one decode thread. */
typedef struct prep_scratch prep_scratch;
int prep_scratch_new(prep_scratch **out);
void prep_scratch_free(prep_scratch **s);
/* What of an image of w x h pixels is resized to what, and where in the output it begins (above 0
 * only where CenterCrop pads a small image with zeros).  ERR_INPUT for absurd shapes. */
int prep_window(const prep *p, int w, int h, resize_shape *shape, int *x, int *y);
/* An image_wish for the pixels that the resize reads: ctx is a prep_wanted. */
typedef struct prep_wanted {
    const prep *p;
    prep_scratch *s;
    int passes_only; /* the plan is not run here: RESIZE_PORTABLE is the least to prepare */
} prep_wanted;
/* The plan of prep_window, kept in k->s until eight others were asked for. */
int prep_plan(const prep_wanted *k, int w, int h, resize_plan **plan, resize_shape *shape, int *x,
              int *y);
void prep_window_of(void *ctx, int w, int h, image_window *out);
/* Decoded image -> out_h*out_w*3 bytes HWC RGB at dst. */
int prep_apply(const prep *p, prep_scratch *s, const image *im, uint8_t *dst);
/* Bytes of an image file -> the same; decodes only the pixels that the resize looks at, so *im
 * holds a part of the picture afterwards. */
int prep_decode(const prep *p, prep_scratch *s, image *im, const uint8_t *bytes, size_t n,
                const char *name, uint8_t *dst);

#endif
