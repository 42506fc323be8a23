/* The feature file: HDF5, format_version 1 (docs/format.md; design.md section 4).
 * Every dataset is contiguous, pre-allocated and sized from the list; libhdf5 writes the metadata
 * once, rows are then written with pwrite at known offsets and committed in a side journal. */
#ifndef OUTPOST_FEATURE_FILE_H
#define OUTPOST_FEATURE_FILE_H

#include <stddef.h>
#include <stdint.h>

enum { FEATURE_FORMAT_VERSION = 1, FEATURE_RANK_MAX = 4, FEATURE_DATASETS_MAX = 64 };

/* /status of a row. */
enum {
    ROW_PENDING = 0,
    ROW_OK = 1,
    ROW_UNREADABLE = 2,   /* missing, no permission, not a regular file */
    ROW_DECODE_ERROR = 3, /* refused by the decoder */
    ROW_NONFINITE = 4     /* the network gave NaN or Inf */
};

typedef enum feature_type { FEATURE_F32, FEATURE_F16, FEATURE_I64, FEATURE_U8 } feature_type;

/* One per-image dataset: [N, dim...]. */
typedef struct feature_dataset {
    const char *name; /* "features", "logits", "taps/layer4", "probes/odin/logits" */
    feature_type type;
    int rank;         /* of one row */
    size_t dim[FEATURE_RANK_MAX];
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
    const char *provenance;   /* JSON text, stored as /provenance; also the identity that a resume
                                 must match to the byte */
} feature_spec;

typedef struct feature_writer feature_writer;

enum feature_state { FEATURE_NEW, FEATURE_RESUMED, FEATURE_COMPLETE };

/* Creates PATH.part, or resumes it, or recognises a finished PATH with the same provenance
 * (*state = FEATURE_COMPLETE, *out = NULL).  Other provenance: ERR_INPUT unless force, which starts
 * over.  A second live writer: ERR_ENV.  *rows_done: committed rows, all before it are final. */
int feature_writer_open(feature_writer **out, const char *path, const feature_spec *spec, int force,
                        enum feature_state *state, size_t *rows_done);
/* Writes n rows from row on; data[i] is n rows of spec->datasets[i]; status [n]; reasons[i] is NULL
 * or the words why row i is bad (kept in the journal, listed at the end).  In list order. */
int feature_writer_put(feature_writer *w, size_t row, size_t n, const void *const *data,
                       const uint8_t *status, const char *const *reasons);
/* Makes everything put so far durable: after it a kill -9 loses none of these rows. */
int feature_writer_commit(feature_writer *w);
/* All rows are put: digests, fsync, verification by reading back, rename to PATH. */
int feature_writer_finish(feature_writer *w);
/* Releases; without finish PATH.part and its journal stay for the next run. */
void feature_writer_close(feature_writer **w);

/* ---- reading ------------------------------------------------------------------------------- */

/* Reads a feature file of ours, a chunked one by h5py, or any HDF5 file with these root datasets.
 * libhdf5 runs in a child process without rights; the parent maps contiguous data itself. */
typedef struct feature_table { /* one dataset as seen by score */
    const char *name;
    feature_type type;
    int rank;                       /* including the row dimension */
    size_t dim[FEATURE_RANK_MAX + 1];
    const void *data;               /* whole dataset, C order, mapped read-only */
} feature_table;

typedef struct feature_file feature_file;

int feature_file_open(feature_file **out, const char *path);
void feature_file_close(feature_file **f);
size_t feature_file_count(const feature_file *f);
const feature_table *feature_file_at(const feature_file *f, size_t i);
const feature_table *feature_file_find(const feature_file *f, const char *name);
/* Row i of /paths as a NUL-terminated string in buf, "" when there is none. */
const char *feature_file_path(const feature_file *f, size_t row, char *buf, size_t room);
size_t feature_file_paths(const feature_file *f); /* rows of /paths, 0 when absent */
const char *feature_file_provenance(const feature_file *f); /* JSON text or NULL */
/* Tells the system that rows [begin,end) of t are not needed for now (keeps RSS bounded). */
void feature_file_forget(const feature_file *f, const feature_table *t, size_t begin, size_t end);
/* Re-reads everything and compares with /digests: ERR_INPUT naming the first block that differs. */
int feature_file_verify(const char *path);

#endif
