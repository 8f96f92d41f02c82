/* One LSTM layer over a whole sequence: what its two directions share.
 *
 * The recurrent weights are packed once. Then each thread takes its own rows of the batch through all T steps and waits
 * for no other; only a single row is shared (forward.c). In a step, a group of a few rows by a few vectors of hidden
 * units is multiplied and at once taken through its pointwise work, so that the pre-activations never leave the
 * registers and the first-level cache.
 *
 * T time, B batch, H hidden width; P is H rounded up to whole vectors, for the thread's own arrays, where the units
 * beyond H stay zero. See lstm.h for the arrays.
 */
#pragma once

#include "amx.h"
#include "lstm.h"

#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

enum { ALIGNMENT = 64, GATES = 4, MAX_ROWS = HAS_AMX ? 2 * AMX_ROWS : TILE_ROWS };

/* What one thread needs, cut from one allocation behind the packed weights. */
typedef struct {
    char *operands[2]; /* left-hand values of the step before and of this one */
    float *carry;      /* (rows, P): the cell state, or backward its gradient */
    int64_t stride;    /* bytes from one row of operands to the next */
    int64_t height;    /* rows of an AMX tile; operands has whole tiles */
} Scratch;

typedef struct {
    char *packed;
    char *scratch;
    int64_t padded_size, depth, num_blocks, steps, stride, scratch_bytes, num_parts;
} Plan;

INLINE int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Lay out the memory for products of `depth` values with `num_blocks` blocks of weights; false if there is none. */
static bool make_plan(Plan *plan, const Sequence *s, int64_t depth, int64_t num_blocks)
{
    const bool is_paired = s->is_bf16 && HAS_PAIRS;
    plan->padded_size = round_up(s->H, LANES);
    plan->depth = depth;
    plan->num_blocks = num_blocks;
    plan->steps = is_paired ? depth / 2 : depth;
    /* one line more than needed, or rows a power of two apart would share the sets of the cache */
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

static Scratch take_scratch(const Plan *plan, int64_t part, int64_t rows)
{
    char *start = plan->scratch + part * plan->scratch_bytes;
    const int64_t height = amx_height(rows), bytes = round_up(rows, height) * plan->stride;
    return (Scratch){{start, start + bytes}, (float *)(start + 2 * bytes), plan->stride, height};
}

/* Zero the operands' rows and depth that only fill tiles. */
INLINE void clear_operands(const Scratch *own)
{
    if (HAS_AMX)
        memset(own->operands[0], 0, (size_t)(2 * (own->operands[1] - own->operands[0])));
}

/* LANES recurrent weights of one row, from column k on; zero outside the matrix. */
INLINE Floats load_weights(const Sequence *s, int gate, int64_t unit, int64_t k)
{
    const int64_t count = unit < s->H ? min(LANES, s->H - k) : 0;
    return count > 0 ? load(s->weight_hh, (gate * s->H + unit) * s->H + k, (int)count, false) : (Floats){0};
}

/* Rows from `row` on that are multiplied together. */
INLINE int64_t group_rows(const Scratch *own, int64_t row, int64_t rows, bool is_bf16)
{
    return is_bf16 && HAS_AMX ? min(rows - row, 2 * own->height) : tile_rows(row, rows);
}

/* The product of a group's operands, the even or the odd steps', with a block of weights. */
INLINE void multiply(const Plan *plan, const Scratch *own, int64_t parity, int64_t row, int64_t group, int64_t block,
                     bool is_bf16, Floats sums[][VECTORS])
{
    const char *operand = own->operands[parity] + row * own->stride;
    const char *packed = plan->packed + block * plan->steps * BLOCK * 4;
    if (is_bf16 && HAS_AMX)
        amx_multiply(group, own->height, operand, own->stride, packed, plan->steps, sums);
    else
        multiply_tile((int)group, operand, own->stride, packed, plan->steps, is_bf16 && HAS_PAIRS, sums);
}

/* Ask for the gates that pointwise work will read: the product before it takes longer than memory does. */
INLINE void prefetch_gates(const Sequence *s, const void *gates, int64_t at, int64_t count, bool is_bf16)
{
    for (int gate = 0; gate < GATES; gate++)
        prefetch(gates, at + gate * s->H, count, is_bf16);
}
