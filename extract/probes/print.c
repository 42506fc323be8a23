/* `extract probes [NAME]`, and the probes of `extract models NAME`: words made from the tables. */
#include "extract/probes/probe.h"
#include "common/err.h"

#include <stdio.h>
#include <string.h>

static void print_range(const probe_opt *o)
{
    if (o->min < o->max) printf("; %s%g to %g", o->whole ? "whole, " : "", o->min, o->max);
    if (o->words != NULL) printf("; %s", o->words);
    if (o->list) printf("; several joined by /");
}

static void print_option(const probe_opt *o)
{
    printf("  %-11s %s  [%s]", o->name, o->help, o->def);
    print_range(o);
    printf("\n");
}

static void print_one(const probe_def *d)
{
    static const probe_opt type = { .name = "type", .def = "f32", .words = "f32|f16", .help = "of the datasets" };
    printf("%s: %s\n\n  paper    %s\n  datasets /probes/%s/: %s\n  methods  %s\n", d->name, d->about, d->paper,
           d->name, d->outputs, d->methods);
    if (d->needs_stats) printf("  needs    --stats FILE\n");
    if (d->note != NULL) printf("  note     %s\n", d->note);
    printf("\noptions (--probe %s:KEY=VALUE,...):\n", d->name);
    for (const probe_opt *o = d->opts; o->name != NULL; o++)
        print_option(o);
    print_option(&type);
}

int probes_print(const char *name)
{
    int rc = 0;
    const probe_def *d;
    if (name != NULL) {
        TRY(probe_find(&d, name, strlen(name)));
        print_one(d);
        goto done;
    }
    for (size_t i = 0; probes[i] != NULL; i++)
        printf("%-12s %s\n", probes[i]->name, probes[i]->about);
done:
    return rc;
}

void probes_print_model(const model *m)
{
    printf("probes:\n");
    for (size_t i = 0; probes[i] != NULL; i++) {
        const char *layers = probes[i]->layers != NULL ? probes[i]->layers(m) : "";
        if (layers == NULL) printf("  %-12s layers must be named\n", probes[i]->name);
        else printf("  %-12s%s%s\n", probes[i]->name, *layers ? " " : "", layers);
    }
}
