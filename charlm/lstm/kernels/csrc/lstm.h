/* The interface of the kernels: one sequence through one LSTM layer, forward and backward.
 *
 * T time, B batch, H hidden width; arrays are contiguous and row-major. `element` below is bfloat16 where `is_bf16`,
 * else float. The gates are stacked i, f, g, o. The caller owns every array; none may overlap; those marked "or null"
 * may be absent.
 */
#pragma once

#include <stdint.h>

typedef struct {
    int64_t T, B, H;
    int64_t num_threads;      /* at least 1; each owns its rows of the batch, or its units of a single row */
    int64_t is_bf16;
    const float *weight_hh;   /* (4H, H) */
    /* forward: read */
    const void *gates_x;      /* (T, B, 4H) element: the input's share of the pre-activations; or rows (V, 4H) of it */
    const int64_t *ids;       /* (T, B): the row of each place, in 0..V-1; or null where each place has its own */
    const float *h_first;     /* (B, H) */
    const float *c_first;     /* (B, H) */
    /* forward: written; backward: read */
    void *hidden;             /* (T + 1, B, H) element: h_first, then h after every step; forward only */
    void *gates;              /* (T, B, 4H) element, or null in inference: i, f, g, o after their activations */
    void *cells;              /* (T + 1, B, H) element, or null in inference: c_first, then c after every step */
    float *h_last;            /* (B, H), forward only */
    float *c_last;            /* (B, H), forward only */
    /* backward: read */
    const void *grad_hidden;  /* (T, B, H) element, or null for zeros */
    const float *grad_h_last; /* (B, H), or null for zeros */
    const float *grad_c_last; /* (B, H), or null for zeros */
    /* backward: written */
    void *grad_gates_x;       /* (T, B, 4H) element */
    float *grad_h_first;      /* (B, H) */
    float *grad_c_first;      /* (B, H) */
} Sequence;

/* Each instruction set's compilation of the sources defines these under its own name. The result is 0, or 1 if
 * memory ran out. */
#define DECLARE_KERNELS(path)                                                                                          \
    int lstm_forward_##path(const Sequence *sequence);                                                                 \
    int lstm_backward_##path(const Sequence *sequence);                                                                \
    void lookup_sum_rows_##path(const int64_t *ids, const void *rows, float *sums, int64_t num_rows, int64_t width,    \
                                int64_t num_threads, int64_t is_bf16);                                                 \
    int gradient_add_product_##path(const float *left, const float *right, float *result, int64_t N, int64_t M,        \
                                    int64_t C, int64_t num_threads);

DECLARE_KERNELS(portable)
DECLARE_KERNELS(avx2)
DECLARE_KERNELS(avx512)
DECLARE_KERNELS(avx512_bf16)
DECLARE_KERNELS(amx)
