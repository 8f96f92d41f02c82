/* The interface of the kernels: one sequence through one LSTM layer, forward and backward.
 *
 * T time, B batch, H hidden width, V rows of a lookup table. Arrays are contiguous and row-major. `element` is bfloat16
 * if `is_bf16` is set, else float. The gates are stacked in the order i, f, g, o. The caller owns every array. Arrays
 * must not overlap. Those marked "or null" may be NULL.
 */
#pragma once

#include <stdint.h>

typedef struct {
    int64_t T, B, H;
    int64_t num_threads;      /* at least 1; each takes some rows of the batch, or some units of a single row */
    int64_t is_bf16;
    const float *weight_hh;   /* (4H, H) */
    /* forward: input */
    const void *gates_x;      /* (T, B, 4H) element: the input projection W x + b; with ids a table (V, 4H) of it */
    const int64_t *ids;       /* (T, B): the table row of each position, in 0..V-1; or null if gates_x is (T, B, 4H) */
    const float *h_first;     /* (B, H) */
    const float *c_first;     /* (B, H) */
    /* forward: output; backward: input */
    void *hidden;             /* (T + 1, B, H) element: h_first, then h after every step; forward only */
    void *gates;              /* (T, B, 4H) element, or null in inference: i, f, g, o after the activation functions */
    void *cells;              /* (T + 1, B, H) element, or null in inference: c_first, then c after every step */
    float *h_last;            /* (B, H), forward only */
    float *c_last;            /* (B, H), forward only */
    /* backward: input */
    const void *grad_hidden;  /* (T, B, H) element, or null for zeros */
    const float *grad_h_last; /* (B, H), or null for zeros */
    const float *grad_c_last; /* (B, H), or null for zeros */
    /* backward: output */
    void *grad_gates_x;       /* (T, B, 4H) element */
    float *grad_h_first;      /* (B, H) */
    float *grad_c_first;      /* (B, H) */
} Sequence;

/* The sources are compiled once for each instruction set, and each compilation defines these functions with its own
 * suffix. Those that return int return 0, or 1 if out of memory; loss.c has one more result. */
#define DECLARE_KERNELS(path)                                                                                          \
    int lstm_forward_##path(const Sequence *sequence);                                                                 \
    int lstm_backward_##path(const Sequence *sequence);                                                                \
    void lookup_sum_rows_##path(const int64_t *ids, const void *rows, float *sums, int64_t num_rows, int64_t width,    \
                                int64_t num_threads, int64_t is_bf16);                                                 \
    int gradient_add_product_##path(const void *left, const void *right, float *result, float *column_sums, int64_t N, \
                                    int64_t M, int64_t C, int64_t num_threads, int64_t is_bf16);                       \
    int loss_##path(const void *logits, const int64_t *targets, float *losses, void *grad, int64_t N, int64_t V,       \
                    int64_t num_threads, int64_t is_bf16);

DECLARE_KERNELS(portable)
DECLARE_KERNELS(avx2)
DECLARE_KERNELS(avx512)
DECLARE_KERNELS(avx512_bf16)
DECLARE_KERNELS(amx)
