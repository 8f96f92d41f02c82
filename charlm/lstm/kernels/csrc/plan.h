/* One LSTM layer over a whole sequence: the parts that the forward and the backward pass share.
 *
 * The recurrent weights are packed once. Then each thread computes all T steps of its own rows of the batch without
 * synchronization; only a single row is split between threads (forward.c). In a step, the product for a group of a few
 * rows by a few vectors of hidden units is followed immediately by the elementwise operations on it, so that the
 * pre-activations stay in registers and the L1 cache. On AMX, pipeline.h computes the two side by side if it can.
 *
 * T time, B batch, H hidden width; P is H rounded up to whole vectors, the row length of the threads' scratch arrays,
 * in which the units beyond H stay zero. See lstm.h for the arrays.
 */
#pragma once

#include "amx.h"
#include "cell.h"
#include "lstm.h"

#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

enum { ALIGNMENT = 64, MAX_ROWS = HAS_AMX ? 2 * AMX_ROWS : TILE_ROWS };

/* The scratch memory of one thread, a part of the allocation that also holds the packed weights. */
typedef struct {
    char *operands[2]; /* double buffer: left operands of the products of even and of odd steps */
    float *carry;      /* (rows, P): the cell state; in the backward pass its gradient */
    int64_t stride;    /* bytes from one row of operands to the next */
    int64_t height;    /* rows of an AMX tile; operands are padded to whole tiles */
} Scratch;

typedef struct {
    char *packed;        /* packed weights */
    char *scratch;       /* num_parts times scratch_bytes */
    int64_t padded_size; /* P */
    int64_t depth;       /* length of the dot products */
    int64_t num_blocks;  /* blocks of packed weights, BLOCK columns each */
    int64_t steps;       /* steps of a dot product: one value each, or a pair */
    int64_t stride, scratch_bytes;
    int64_t num_parts;   /* parts of the batch, one per thread */
} Plan;

INLINE int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Allocate memory for dot products of `depth` values with `num_blocks` blocks of weights; false if out of memory. */
static bool make_plan(Plan *plan, const Sequence *s, int64_t depth, int64_t num_blocks)
{
    const bool is_paired = s->is_bf16 && HAS_PAIRS;
    plan->padded_size = round_up(s->H, LANES);
    plan->depth = depth;
    plan->num_blocks = num_blocks;
    plan->steps = is_paired ? depth / 2 : depth;
    /* one extra cache line: rows that lie a power of two apart would map to the same cache sets */
    plan->stride = round_up(plan->steps * 4, ALIGNMENT) + ALIGNMENT;
    plan->num_parts = min(s->num_threads, s->B);
    const int64_t rows = (s->B + plan->num_parts - 1) / plan->num_parts;
    const int64_t operand_bytes = round_up(rows, amx_height(rows)) * plan->stride;
    plan->scratch_bytes = round_up(2 * operand_bytes + rows * plan->padded_size * 4, ALIGNMENT);
    const int64_t packed_bytes = num_blocks * plan->steps * BLOCK * 4;
    plan->packed = aligned_alloc(ALIGNMENT, (size_t)(packed_bytes + plan->num_parts * plan->scratch_bytes));
    plan->scratch = plan->packed + packed_bytes;
    return plan->packed != NULL;
}

static Scratch get_scratch(const Plan *plan, int64_t part, int64_t rows)
{
    char *start = plan->scratch + part * plan->scratch_bytes;
    const int64_t height = amx_height(rows), bytes = round_up(rows, height) * plan->stride;
    return (Scratch){{start, start + bytes}, (float *)(start + 2 * bytes), plan->stride, height};
}

/* Zero the operands, for the padding up to whole AMX tiles. */
INLINE void clear_operands(const Scratch *scratch)
{
    if (HAS_AMX)
        memset(scratch->operands[0], 0, (size_t)(2 * (scratch->operands[1] - scratch->operands[0])));
}

/* Load LANES recurrent weights of one row, from column k on; zeros outside the matrix. */
INLINE Floats load_weights(const Sequence *s, int gate, int64_t unit, int64_t k)
{
    const int64_t count = unit < s->H ? min(LANES, s->H - k) : 0;
    return count > 0 ? load(s->weight_hh, (gate * s->H + unit) * s->H + k, (int)count, false) : (Floats){0};
}

/* Return how many rows, from `row` on, one product takes together. */
INLINE int64_t group_rows(const Scratch *scratch, int64_t row, int64_t rows, bool is_bf16)
{
    return is_bf16 && HAS_AMX ? min(rows - row, 2 * scratch->height) : tile_rows(row, rows);
}

/* Multiply the operands of a group of rows, from one of the two buffers, with a block of weights. */
INLINE void multiply(const Plan *plan, const Scratch *scratch, int64_t buffer, int64_t row, int64_t group,
                     int64_t block, bool is_bf16, Floats sums[][VECTORS])
{
    const char *operand = scratch->operands[buffer] + row * scratch->stride;
    const char *packed = plan->packed + block * plan->steps * BLOCK * 4;
    if (is_bf16 && HAS_AMX)
        amx_multiply(group, scratch->height, operand, scratch->stride, packed, plan->steps, sums);
    else
        multiply_tile((int)group, operand, scratch->stride, 4, packed, plan->steps, is_bf16 && HAS_PAIRS, sums);
}

/* Prefetch the gates that the elementwise operations will read; the product runs while they are loaded. */
INLINE void prefetch_gates(const Sequence *s, const void *gates, int64_t at, int64_t count, bool is_bf16)
{
    for (int gate = 0; gate < GATES; gate++)
        prefetch(gates, at + gate * s->H, count, is_bf16);
}
