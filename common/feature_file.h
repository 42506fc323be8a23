/* The feature file: HDF5, format_version 1 (docs/format.md; design.md section 4).
 * Every dataset is contiguous, pre-allocated and sized from the list; libhdf5 writes the metadata
 * once, rows are then written with pwrite at known offsets and committed in a side journal. */
#ifndef OUTPOST_FEATURE_FILE_H
#define OUTPOST_FEATURE_FILE_H

#include <stddef.h>
#include <stdint.h>

enum { FEATURE_FORMAT_VERSION = 1, FEATURE_RANK_MAX = 4, FEATURE_DATASETS_MAX = 400 };

/* /status of a row. */
enum {
    ROW_PENDING = 0,
    ROW_OK = 1,
    ROW_UNREADABLE = 2,   /* missing, no permission, not a regular file */
    ROW_DECODE_ERROR = 3, /* refused by the decoder */
    ROW_NONFINITE = 4     /* the network gave NaN or Inf */
};

/* F64 is read from files of this project other than feature files; elsewhere f64 becomes f32. */
typedef enum feature_type {
    FEATURE_F32,
    FEATURE_F16,
    FEATURE_I64,
    FEATURE_U8,
    FEATURE_F64
} feature_type;

/* One per-image dataset: [N, dim...]. */
typedef struct feature_dataset {
    const char *name; /* "features", "logits", "taps/layer4", "probes/odin/logits" */
    feature_type type;
    int rank; /* of one row */
    size_t dim[FEATURE_RANK_MAX];
    const char *made; /* how it came about: JSON, stored as the attribute `made`; NULL: none */
} feature_dataset;

/* One dataset written whole at creation: head/weight [C,D], head/bias [C]. */
typedef struct feature_constant {
    const char *name;
    int rank;
    size_t dim[FEATURE_RANK_MAX];
    const float *v;
} feature_constant;

typedef struct feature_spec {
    size_t rows;
    const char *const *paths; /* [rows] */
    size_t path_width;        /* bytes of one fixed string: longest path of the whole list */
    const int64_t *labels;    /* [rows] */
    const feature_dataset *datasets;
    size_t n_datasets;
    const feature_constant *constants;
    size_t n_constants;
    const char *provenance; /* JSON text, stored as /provenance; also the identity that a resume
                                 must match to the byte */
} feature_spec;

/* A row whose status is not ROW_OK. */
typedef struct feature_bad_row {
    size_t row;
    uint8_t status;
    const char *reason; /* "" when none was given */
} feature_bad_row;

typedef struct feature_writer feature_writer;

enum feature_state { FEATURE_NEW, FEATURE_RESUMED, FEATURE_COMPLETE };

/* Creates PATH.part, or resumes it, or recognises a finished PATH with the same provenance, list and
 * shapes (*state = FEATURE_COMPLETE, *out = NULL).  Anything else there: ERR_INPUT naming the setting
 * that differs, unless force, which starts over (an old PATH stays until the new one is verified).
 * A second live writer: ERR_ENV.  No room for the whole file: ERR_ENV, with the missing bytes, before
 * the first row.  *rows_done: committed rows, all before it are final.  `spec` and what it points to
 * must live until close.  A file size signal (SIGXFSZ) that would kill is ignored from here on. */
int feature_writer_open(feature_writer **out, const char *path, const feature_spec *spec, int force,
                        enum feature_state *state, size_t *rows_done);
/* Writes n rows from row on; data[i] is n rows of spec->datasets[i]; status [n] is not ROW_PENDING;
 * reasons, or reasons[i], is NULL or the words why row i is bad (kept in the journal, listed at the
 * end).  In list order, without gaps: the first row is *rows_done.  Rows that are ROW_UNREADABLE or
 * ROW_DECODE_ERROR are written as NaN (f32, f16), the smallest i64 or 255, whatever data holds.
 * After any failure every further call fails. */
int feature_writer_put(feature_writer *w, size_t row, size_t n, const void *const *data,
                       const uint8_t *status, const char *const *reasons);
/* Makes everything put so far durable: after it a kill -9 loses none of these rows. */
int feature_writer_commit(feature_writer *w);
/* The bad rows committed so far, by row, those of earlier runs included; valid until the next call. */
const feature_bad_row *feature_writer_bad(const feature_writer *w, size_t *n);
/* All rows are put: digests, fsync, verification by reading back, rename to PATH. */
int feature_writer_finish(feature_writer *w);
/* Releases; without finish PATH.part and its journal stay for the next run. */
void feature_writer_close(feature_writer **w);

/* ---- reading ------------------------------------------------------------------------------- */

/* Reads a feature file of ours, a chunked one by h5py, or any HDF5 file with these root datasets.
 * libhdf5 runs in a child process without rights (common/h5.h); the parent maps contiguous data
 * itself, the child converts the rest (chunked, compressed, big-endian, f64, small integers, variable
 * strings) into an unlinked file in memory or, when large, in $TMPDIR.
 * A file of ours must be complete, and its metadata must match its digest; any other must hold
 * /features, /logits or /head/weight.  Row counts of per-image datasets must agree. */
typedef struct feature_table { /* one dataset as seen by score */
    const char *name;
    feature_type type;
    int rank; /* including the row dimension */
    size_t dim[FEATURE_RANK_MAX + 1];
    const void *data; /* whole dataset, C order, mapped read-only; NULL when empty */
} feature_table;

typedef struct feature_file feature_file;

int feature_file_open(feature_file **out, const char *path);
void feature_file_close(feature_file **f);
size_t feature_file_count(const feature_file *f);
const feature_table *feature_file_at(const feature_file *f, size_t i);
const feature_table *feature_file_find(const feature_file *f, const char *name);
/* Row i of /paths as a NUL-terminated string in buf, "" when there is none. */
const char *feature_file_path(const feature_file *f, size_t row, char *buf, size_t room);
size_t feature_file_paths(const feature_file *f);           /* rows of /paths, 0 when absent */
size_t feature_file_path_width(const feature_file *f);      /* bytes of one string */
const char *feature_file_provenance(const feature_file *f); /* JSON text or NULL */
/* Tells the system that rows [begin,end) of t are not needed for now (keeps RSS bounded). */
void feature_file_forget(const feature_file *f, const feature_table *t, size_t begin, size_t end);
/* Ours (root attribute format "outpost-features"), and finished. */
int feature_file_is_ours(const feature_file *f);
int feature_file_is_complete(const feature_file *f);
/* The root attribute `format`, "" when there is none. */
const char *feature_file_format(const feature_file *f);
/* SHA-256, hex, over all of /digests in the order of their names: stands for the content of the whole
 * file.  "" for files of others. */
const char *feature_file_digest(const feature_file *f);
/* The same for a .part of ours, whose rows are not all there: for inspection only. */
int feature_file_open_partial(feature_file **out, const char *path);
/* Re-reads everything and compares with /digests: ERR_INPUT naming the first block that differs.
 * Every bit of the file is covered. */
int feature_file_verify(const char *path);
size_t feature_type_size(feature_type t);
const char *feature_type_name(feature_type t); /* "f32" */

#endif
