/* Where the heavy linear algebra of score is computed: one table, made twice.
 *   cpu   score/linalg_cpu.c: OpenBLAS and LAPACKE through score/linalg.h
 *   cuda  score/cuda/, in the plugin outpost-cuda.so: cuBLAS, cuSOLVER and a few kernels
 * Statistics and methods call la->ops and never know which one it is.
 *
 * Rows are f32 [n,k], row-major, on the host; results come back to the host.  The CPU computes as it
 * always has (f32 products, what may decide again in f64).  The device widens the rows and computes
 * products, norms and minima in f64, logits in f32 without TF32; its sums have an order of their own, so
 * scores agree to f32 rounding (docs/gpu.md) and each backend repeats to the bit.
 * Functions return 0 or ERR_*, with the message recorded in the calling thread.  One thread at a time. */
#ifndef OUTPOST_LINALG_BACKEND_H
#define OUTPOST_LINALG_BACKEND_H

#include <stddef.h>
#include <stdint.h>

/* Raised whenever this header changes. */
enum { LINALG_ABI = 2 };

typedef struct linalg_ops linalg_ops;
typedef struct linalg_matrix linalg_matrix; /* [n,k], kept where products are computed */
typedef struct linalg_bank linalg_bank;     /* [n,k], kept to be searched */

typedef struct linalg { /* the head of an open backend */
    const linalg_ops *ops;
} linalg;

/* A matrix to keep, from f32 or f64 values or from both of one matrix (then the CPU bounds with the
 * f32 ones and decides with the f64 ones, which may hold -infinity where the f32 ones hold a large
 * negative number).  The arrays stay the caller's and must outlive what is kept. */
typedef struct linalg_values {
    size_t n, k;
    const float *f32;
    const double *f64;
    int lower;    /* square, zeros above the diagonal */
    int f32_only; /* for `product` alone: the device keeps no f64 copy */
} linalg_values;

struct linalg_ops {
    uint32_t abi;
    const char *name; /* "cpu", "cuda" */
    int device;       /* not the CPU: larger blocks pay, moments are summed there */
    /* "cuda:0 (NVIDIA H200)" */
    void (*describe)(const linalg *la, char *text, size_t room);
    void (*close)(linalg **la);
    int (*keep)(linalg *la, linalg_matrix **m, const linalg_values *v);
    void (*drop)(linalg *la, linalg_matrix **m); /* nothing to do on NULL */
    /* y [n,m.n] = x m', f32 */
    int (*product)(linalg *la, const linalg_matrix *m, const float *x, size_t n, float *y);
    /* norm [n] = || m (x_i - origin) ||_2 over the first `rows` rows of m; origin [1,m.k] */
    int (*norms)(linalg *la, const linalg_matrix *m, size_t rows, const linalg_matrix *origin,
                 const float *x, size_t n, float *norm);
    /* least [n] = min_j || a (x_i - origin) - mean_j ||^2; square [means] the squares of the means.
     * Infinite where f32 cannot hold it. */
    int (*nearest)(linalg *la, const linalg_matrix *a, const linalg_matrix *origin,
                   const linalg_matrix *mean, const linalg_matrix *square, const float *x, size_t n,
                   double *least);
    /* least [n] = min_j -sum_c x_ic m_jc over x_ic > 0 >= m_jc: the cross entropy of probabilities with
     * log-probabilities, infinite where x_ic > 0 meets m_jc = -infinity. */
    int (*cross_entropy)(linalg *la, const linalg_matrix *m, const float *x, size_t n, double *least);
    /* A bank of n rows, copied in by any number of bank_add, then searched. */
    int (*bank_new)(linalg *la, linalg_bank **b, size_t n, size_t k);
    int (*bank_add)(linalg *la, linalg_bank *b, const float *x, size_t n);
    void (*bank_drop)(linalg *la, linalg_bank **b); /* nothing to do on NULL */
    /* Of each row x_i the neighbour of each rank (from 0, below the bank's rows): distance [n,ranks] is the
     * squared Euclidean distance, exact to the rounding of an f64 sum of squared differences, index
     * [n,ranks] (may be NULL) the row of the bank.  Equal distances go by index.  The more ranks, the more
     * distances are measured again: one search serves several ranks, not all of a thousand. */
    int (*neighbours)(linalg *la, const linalg_bank *b, const size_t *rank, size_t ranks, const float *x,
                      size_t n, double *distance, int64_t *index);
    /* Second moments of a stream of rows about origins [origins,d], f64 throughout:
     *   second [d,d], lower triangle, = sum (x_i - o)(x_i - o)', o = origins[of[i]] (of NULL: the first;
     *   of[i] < 0: the row is left out).
     * Blocks of equal sizes in equal order give equal bits.  One stream at a time; begin drops an
     * unfinished one.  origins and second must live until the end, where second is complete. */
    int (*moments_begin)(linalg *la, size_t d, const double *origins, size_t n_origins, double *second);
    int (*moments_add)(linalg *la, const float *x, const int32_t *of, size_t n);
    int (*moments_end)(linalg *la);
    /* As linalg_eigh of score/linalg.h. */
    int (*eigh)(linalg *la, size_t n, double *a, double *w, size_t first, size_t take);
};

struct budget;
/* The CPU's; scratch is taken from mem. */
int linalg_cpu_open(linalg **out, struct budget *mem);
/* The device that "cuda" or "cuda:N" names.  `memory` bounds what is allocated there and, apart from that,
 * the pinned memory here.  ERR_USAGE for another name, ERR_ENV with the reason when it cannot be used. */
int linalg_cuda_open(linalg **out, const char *device, size_t memory);

/* ---- the plugin's side ------------------------------------------------------------------------ */

struct cuda_host;
typedef struct linalg_plugin {
    uint32_t abi;
    int (*open)(linalg **out, int device, size_t memory);
} linalg_plugin;
/* The plugin's second exported function; NULL when it does not speak this ABI. */
#define LINALG_PLUGIN_ENTRY "outpost_cuda_linalg"
typedef const linalg_plugin *linalg_plugin_entry(uint32_t abi, const struct cuda_host *host);

#endif
