/* demo-images OUTDIR [--seed N] [--scale F]: the image sets of `make demo`.
 * Writes OUTDIR/images/<set>/<class>/NNNN.{jpg,png} and OUTDIR/lists/<set>.txt, one `path label` a
 * line, relative to OUTDIR/images; lists of out-of-distribution sets have no label.  The bytes depend
 * on the seed alone: not on the number of threads (OMP_NUM_THREADS), not on what is there already.
 * The lists are written last, so a list that exists names images that exist. */
#include "common/args.h"
#include "common/err.h"
#include "common/log.h"
#include "datalists/demo/canvas.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const double scale_max = 50.0; /* 150 images a class become 7500: still NNNN */

static const image_class known[] = {
    { paint_scene, &shapes_known[0], NULL }, { paint_scene, &shapes_known[1], NULL },
    { paint_scene, &shapes_known[2], NULL }, { paint_scene, &shapes_known[3], NULL },
    { paint_scene, &shapes_known[4], NULL }, { paint_scene, &shapes_known[5], NULL },
    { paint_scene, &shapes_known[6], NULL }, { paint_scene, &shapes_known[7], NULL },
    { paint_scene, &shapes_known[8], NULL }, { paint_scene, &shapes_known[9], NULL },
};
static const image_class unseen[] = {
    { paint_scene, &shapes_unseen[0], NULL }, { paint_scene, &shapes_unseen[1], NULL },
    { paint_scene, &shapes_unseen[2], NULL }, { paint_scene, &shapes_unseen[3], NULL },
    { paint_scene, &shapes_unseen[4], NULL }, { paint_scene, &shapes_unseen[5], NULL },
};
static const image_class texture[] = {
    { paint_plasma, NULL, "plasma" },
    { paint_cells, NULL, "cells" },
    { paint_marble, NULL, "marble" },
};
static const image_class glyphs[] = {
    { paint_digits, NULL, "digits" },
    { paint_script, NULL, "script" },
};
static const image_class noise[] = {
    { paint_static, NULL, "static" },
    { paint_gradient, NULL, "gradient" },
    { paint_blocks, NULL, "blocks" },
};

#define CLASSES(a) (a), (int)(sizeof(a) / sizeof *(a))
typedef struct image_set {
    const char *name;
    const image_class *classes;
    int n_classes, per_class, labelled;
} image_set;

static const image_set sets[] = {
    { "train", CLASSES(known), 150, 1 },   { "id", CLASSES(known), 50, 1 },
    { "near", CLASSES(unseen), 50, 0 },    { "texture", CLASSES(texture), 100, 0 },
    { "glyphs", CLASSES(glyphs), 150, 0 }, { "noise", CLASSES(noise), 100, 0 },
};
enum { SETS = sizeof sets / sizeof *sets };

typedef struct config {
    const char *out;
    uint64_t seed;
    double scale;
} config;

static const char *class_name(const image_class *k)
{
    return k->form != NULL ? k->form->name : k->name;
}

static int per_class(const config *o, const image_set *s)
{
    int n = (int)(s->per_class * o->scale + 0.5);
    return n < 1 ? 1 : n;
}

static int join(char *out, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int join(char *out, size_t room, const char *format, ...)
{
    va_list ap;
    int n;
    va_start(ap, format);
    n = vsnprintf(out, room, format, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= room) return err_set(ERR_ENV, "path too long: %s...", out);
    return 0;
}

static int make_folder(const char *path)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return 0;
    return err_set(ERR_ENV, "%s: %s", path, strerror(errno));
}

/* The encoding is the first thing an image's stream decides, so that the list can be written without
 * painting anything. */
static encoding draw_encoding(rng *r)
{
    static const int share[ENCODINGS] = { 35, 15, 8, 30, 12 }; /* per cent */
    int at = rng_int(r, 0, 99), e = 0;
    while (at >= share[e])
        at -= share[e++];
    return (encoding)e;
}

static int image_path(char *out, size_t room, const image_set *s, int k, int i, encoding e)
{
    return join(out, room, "%s/%s/%04d%s", s->name, class_name(&s->classes[k]), i,
                encoding_suffix(e));
}

static int make_image(const config *o, int set, int k, int i)
{
    const image_set *s = &sets[set];
    const image_class *kind = &s->classes[k];
    rng r = rng_for(o->seed, (uint64_t)set, (uint64_t)k, (uint64_t)i);
    encoding e = draw_encoding(&r);
    char relative[256], path[4096];
    canvas c;
    int quality = rng_int(&r, 70, 95), rc;
    TRY(image_path(relative, sizeof relative, s, k, i, e));
    TRY(join(path, sizeof path, "%s/images/%s", o->out, relative));
    canvas_size(&c, &r);
    kind->paint(&c, &r, kind->form);
    TRY(encode_file(&c, e, quality, path));
done:
    return rc;
}

static int make_folders(const config *o, const image_set *s)
{
    char path[4096];
    int rc;
    TRY(join(path, sizeof path, "%s/images/%s", o->out, s->name));
    TRY(make_folder(path));
    for (int k = 0; k < s->n_classes; k++) {
        TRY(join(path, sizeof path, "%s/images/%s/%s", o->out, s->name,
                 class_name(&s->classes[k])));
        TRY(make_folder(path));
    }
done:
    return rc;
}

/* Messages belong to threads; the first failure is carried over to this one. */
static int make_images(const config *o, int set)
{
    int rc = 0, each = per_class(o, &sets[set]), total = each * sets[set].n_classes;
    char why[2048] = "";
#pragma omp parallel for schedule(dynamic, 8)
    for (int i = 0; i < total; i++) {
        int stop, one = 0;
#pragma omp atomic read
        stop = rc;
        if (stop == 0) one = make_image(o, set, i / each, i % each);
        if (one < 0) {
#pragma omp critical
            if (rc == 0) {
                snprintf(why, sizeof why, "%s", err_text());
#pragma omp atomic write
                rc = one;
            }
        }
    }
    if (rc < 0) err_set(rc, "%s", why);
    return rc;
}

static int write_list(const config *o, int set)
{
    const image_set *s = &sets[set];
    char path[4096], relative[256];
    int rc, each = per_class(o, s);
    FILE *f = NULL;
    TRY(join(path, sizeof path, "%s/lists/%s.txt", o->out, s->name));
    f = fopen(path, "w");
    CHECK(f != NULL, ERR_ENV, "%s: %s", path, strerror(errno));
    for (int k = 0; k < s->n_classes; k++)
        for (int i = 0; i < each; i++) {
            rng r = rng_for(o->seed, (uint64_t)set, (uint64_t)k, (uint64_t)i);
            TRY(image_path(relative, sizeof relative, s, k, i, draw_encoding(&r)));
            if (s->labelled)
                fprintf(f, "%s %d\n", relative, k);
            else
                fprintf(f, "%s\n", relative);
        }
    CHECK(!ferror(f), ERR_ENV, "%s: cannot write", path);
done:
    if (f != NULL && fclose(f) != 0 && rc == 0)
        rc = err_set(ERR_ENV, "%s: %s", path, strerror(errno));
    return rc;
}

static int make_sets(const config *o)
{
    char path[4096];
    int rc;
    TRY(make_folder(o->out));
    TRY(join(path, sizeof path, "%s/images", o->out));
    TRY(make_folder(path));
    TRY(join(path, sizeof path, "%s/lists", o->out));
    TRY(make_folder(path));
    for (int i = 0; i < SETS; i++) {
        TRY(make_folders(o, &sets[i]));
        TRY(make_images(o, i));
    }
    for (int i = 0; i < SETS; i++)
        TRY(write_list(o, i));
done:
    return rc;
}

static void print_usage(FILE *f)
{
    fprintf(f, "usage: demo-images OUTDIR [--seed N] [--scale F]\n"
               "writes the labelled image sets of `make demo` below OUTDIR\n"
               "      --seed N     what the images look like; same seed, same bytes   [1]\n"
               "      --scale F    times the images of every class, 0.001..50          [1]\n"
               "sets, images at scale 1:");
    for (int i = 0; i < SETS; i++)
        fprintf(f, " %s %d", sets[i].name, sets[i].per_class * sets[i].n_classes);
    fprintf(f, "\n");
}

/* 0, or ERR_USAGE; *help is set when that is what was asked for. */
static int parse(config *o, int *help, int argc, char **argv)
{
    static const struct option options[] = { { "seed", required_argument, NULL, 's' },
                                             { "scale", required_argument, NULL, 'f' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    long long seed = 1;
    int rc = 0, c;
    opterr = 0;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 's') TRY(args_parse_int(&seed, optarg, "--seed"));
        if (c == 'f') TRY(args_parse_double(&o->scale, optarg, "--scale"));
        if (c == 'h') *help = 1;
        CHECK(c != '?', ERR_USAGE, "%s: unknown option, or its value is missing", argv[optind - 1]);
    }
    if (*help) goto done;
    CHECK(optind + 1 == argc, ERR_USAGE, "one OUTDIR is needed; demo-images --help");
    CHECK(seed >= 0, ERR_USAGE, "--seed: %lld is negative", seed);
    CHECK(o->scale >= 0.001 && o->scale <= scale_max, ERR_USAGE, "--scale: %g is not in 0.001..50",
          o->scale);
    o->seed = (uint64_t)seed;
    o->out = argv[optind];
done:
    return rc;
}

int main(int argc, char **argv)
{
    config o = { NULL, 1, 1.0 };
    int rc, help = 0;
    log_open("demo-images", LOG_INFO);
    TRY(parse(&o, &help, argc, argv));
    if (help)
        print_usage(stdout);
    else
        TRY(make_sets(&o));
done:
    if (rc < 0) log_error("%s", err_text());
    return err_exit_status(rc);
}
