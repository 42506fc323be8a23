/* Random views of an image, as heads are trained on: torchvision's RandomResizedCrop with its usual numbers (area 0.08 to 1,
 * ratio 3/4 to 4/3, ten tries, else the centre), then a horizontal flip of half of them.  A view follows from seed,
 * place of the image in the list and number of the view alone. */
#ifndef OUTPOST_VIEWS_H
#define OUTPOST_VIEWS_H

#include "extract/images/preprocess.h"

enum { VIEW_NUMBERS = 5 }; /* as they are stored: x, y, w, h, flipped */

typedef struct view { /* pixels of the image: w x h from x, y on */
    int x, y, w, h;
    int flip;
} view;

typedef struct view_choice {
    uint64_t seed;
    uint64_t image; /* its place in the list */
    uint64_t number;
} view_choice;

void view_draw(view *v, const view_choice *c, int w, int h);
/* Bytes of an image file -> the view resized to out_h x out_w by the filter of p, at dst as prep_decode() leaves it.
 * The preprocessing's own size and crop play no part.  Errors: as prep_decode(). */
int view_decode(view *made, const prep *p, const view_choice *c, image *im, const uint8_t *bytes, size_t n,
                const char *name, uint8_t *dst);

#endif
