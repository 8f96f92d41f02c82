/* What packing and writing share: the layers of a model, where their packed weights lie, and the scratch memory.
 *
 * All positions and sizes are numbers of floats. V, E, H, L, T and B as in sampler.h; P is H rounded up to whole vectors.
 */
#pragma once

#include "product.h"
#include "sampler.h"

#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

enum {
    ALIGNMENT = 64,        /* bytes of a cache line */
    LINE = ALIGNMENT / 4,  /* floats of a cache line */
    MIN_TEAM_BLOCKS = 4,   /* per member of a team: with fewer, the barriers cost more than the team gains */
    MAX_TABLE_ROWS = 1024  /* it depends on the model only, because a table changes the rounding */
};

/* One product of a step and what is added to it. The output layer comes last; it has no state. */
typedef struct {
    int64_t input;      /* length of the input in an operand, whole vectors; 0 if a table replaces the input */
    int64_t steps;      /* length of an operand: the input, then P elements of h, but not in the output layer */
    int64_t num_blocks; /* blocks of packed weights: LANES units with one vector for each gate, or BLOCK logits */
    int64_t packed;     /* where the weights begin in the packed array */
    int64_t addends;    /* where b, or the table of W x + b, begins in the packed array, in the order of the sums */
    int64_t operands;   /* where the operands begin in the memory of a part: those of even steps, then of odd steps */
    int64_t stride;     /* from one row of operands to the next */
} Layer;

typedef struct {
    const Sampler *s;
    int64_t padded_size;       /* P */
    int64_t padded_vocabulary; /* V rounded up to whole blocks */
    int64_t packed_size;
    int64_t num_parts, rows;   /* parts of the samples, one per thread, and the samples of the largest part */
    int64_t team_size;         /* threads that share a single sample */
    bool shares_output;        /* the team also shares the logits */
    /* The memory of a part holds the operands, then the cell states (L, rows, P) from `carry` on. That of a worker, a
     * part or a member of the team, holds weights (V padded), then ids (rows,), then logits (rows, V padded). */
    int64_t carry, part_size;
    int64_t ids, logits, worker_size;
    float *memory;
    Layer layers[]; /* L + 1 */
} Plan;

INLINE int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

INLINE bool has_table(const Sampler *s)
{
    return s->V <= MAX_TABLE_ROWS;
}

/* Lay out one layer in the packed array and in the memory of a part. */
static void plan_layer(Plan *plan, int64_t l)
{
    const Sampler *s = plan->s;
    Layer *layer = &plan->layers[l];
    const bool is_output = l == s->L, is_looked_up = l == 0 && has_table(s);
    layer->input = is_looked_up ? 0 : round_up(l == 0 ? s->E : s->H, LANES);
    layer->steps = layer->input + (is_output ? 0 : plan->padded_size);
    layer->num_blocks = is_output ? plan->padded_vocabulary / BLOCK : plan->padded_size / LANES;
    layer->packed = plan->packed_size;
    layer->addends = layer->packed + layer->num_blocks * layer->steps * BLOCK;
    plan->packed_size = layer->addends + layer->num_blocks * BLOCK * (is_looked_up ? s->V : 1);
    /* one extra cache line: rows that lie a power of two apart would map to the same cache sets */
    layer->stride = round_up(layer->steps, LINE) + LINE;
    layer->operands = plan->part_size;
    plan->part_size += 2 * plan->rows * layer->stride;
}

/* Return a plan, which the caller frees; NULL if out of memory. */
static Plan *make_plan(const Sampler *s)
{
    Plan *plan = calloc(1, sizeof *plan + (size_t)(s->L + 1) * sizeof(Layer));
    if (!plan)
        return NULL;
    plan->s = s;
    plan->padded_size = round_up(s->H, LANES);
    plan->padded_vocabulary = round_up(s->V, BLOCK);
    plan->num_parts = min(s->num_threads, s->B);
    plan->rows = (s->B + plan->num_parts - 1) / plan->num_parts;
    for (int64_t l = 0; l <= s->L; l++)
        plan_layer(plan, l);
    const int64_t most = min(s->num_threads, plan->layers[0].num_blocks / MIN_TEAM_BLOCKS);
    plan->team_size = s->B == 1 && most > 1 ? most : 1;
    plan->shares_output = plan->team_size > 1 && plan->layers[s->L].num_blocks >= plan->team_size * MIN_TEAM_BLOCKS;
    plan->carry = plan->part_size;
    plan->part_size = round_up(plan->carry + s->L * plan->rows * plan->padded_size, LINE);
    plan->ids = plan->padded_vocabulary;
    plan->logits = plan->ids + round_up(2 * plan->rows, LINE);
    plan->worker_size = plan->logits + plan->rows * plan->padded_vocabulary;
    return plan;
}
