/* The AMX products of a layer whose width is a multiple of 32, computed beside the pointwise operations.
 *
 * The work of a thread is a list of items: for each step, each block of 32 units and each group of rows (at most two
 * tiles). While the pointwise operations walk the rows of one item, the product of the next item is computed in small
 * pieces, which keeps the tile unit and the vector units busy at the same time. The sums of the two items lie in two
 * buffers, used in turn.
 *
 * A panel is the weights of 32 columns. The product of an item has four panels in the forward pass, one for each gate,
 * and one panel of four times the depth in the backward pass. The packed weights are in the order in which they are
 * read: for each block, panel and 32 depths, two tiles of 16 columns, 1 KiB each without gaps.
 */
#pragma once

#include "plan.h"

enum {
    CHUNK = 2 * LANES,                  /* units of a block, and depths of a tile */
    TILE_BYTES = AMX_PAIRS * AMX_ROW_BYTES,
    SUMS_WIDTH = GATES * CHUNK + LANES, /* a cache line more: rows must not share cache sets */
    SUMS_BYTES = SUMS_WIDTH * 4
};

typedef float Sums[2 * AMX_ROWS][SUMS_WIDTH];

/* The rows of one thread. */
typedef struct {
    const Sequence *s;
    const Plan *plan;
    Scratch scratch;
    int64_t first_row, rows;
} Part;

/* Steps are numbered in the order in which they are computed: a step reads the operands that the one before wrote. */
typedef struct {
    int64_t step, block, row, rows;
} Item;

/* A product in progress. A piece of it adds 32 depths to the sums of a panel, which stay in tiles 0 to 3. */
typedef struct {
    const char *operand, *weights; /* those of the next piece */
    float *sums;                   /* where the sums of this panel will be stored */
    int64_t stride, height, depth, depths, num_left;
    bool has_two_tiles;            /* of rows */
} Product;

INLINE bool is_pipelined(const Sequence *s)
{
    return s->is_bf16 && s->H % CHUNK == 0 && s->B > 1; /* for a single row forward.c has a team */
}

INLINE Part begin_part(const Sequence *s, const Plan *plan, int64_t n)
{
    const int64_t first_row = s->B * n / plan->num_parts, rows = s->B * (n + 1) / plan->num_parts - first_row;
    return (Part){s, plan, get_scratch(plan, n, rows), first_row, rows};
}

/* Store two vectors as bfloat16: a whole cache line, if `index` is a multiple of 32. */
INLINE void store_line(void *array, int64_t index, Floats x, Floats next)
{
    const __m512bh rounded = _mm512_cvtne2ps_pbh((__m512)next, (__m512)x);
    memcpy((uint16_t *)array + index, &rounded, sizeof rounded);
}

/* Prefetch the cache lines of `count` bfloat16 into the second-level cache, to read or to write them. */
INLINE void prefetch_lines(const void *array, int64_t index, int64_t count, const bool is_written)
{
    const char *from = (const char *)array + index * 2;
    for (int64_t byte = 0; byte < count * 2; byte += 64)
        if (is_written)
            __builtin_prefetch(from + byte, 1, 2);
        else
            __builtin_prefetch(from + byte, 0, 2);
}

/* Return the n-th item. */
INLINE Item get_item(const Part *part, int64_t n)
{
    const int64_t group = 2 * part->scratch.height, num_groups = (part->rows + group - 1) / group;
    const int64_t row = n % num_groups * group, num_blocks = part->s->H / CHUNK;
    return (Item){n / num_groups / num_blocks, n / num_groups % num_blocks, row, min(group, part->rows - row)};
}

/* Begin the product of an item; `num_panels` is that of an item. */
INLINE Product begin_product(const Part *part, Item item, Sums sums, const int num_panels)
{
    const Scratch *scratch = &part->scratch;
    const int64_t num_pieces = part->s->H / CHUNK * GATES;
    return (Product){
        .operand = scratch->operands[item.step % 2] + item.row * scratch->stride,
        .weights = part->plan->packed + item.block * num_pieces * 2 * TILE_BYTES,
        .sums = sums[0], .stride = scratch->stride, .height = scratch->height,
        .depths = num_pieces / num_panels, .num_left = num_pieces, .has_two_tiles = item.rows > scratch->height,
    };
}

INLINE void zero_sums(void)
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

INLINE void store_sums(const Product *p)
{
    float *second = p->sums + p->height * SUMS_WIDTH;
    _tile_stored(0, p->sums, SUMS_BYTES);
    _tile_stored(1, p->sums + LANES, SUMS_BYTES);
    if (!p->has_two_tiles)
        return;
    _tile_stored(2, second, SUMS_BYTES);
    _tile_stored(3, second + LANES, SUMS_BYTES);
}

/* Compute the next piece of a product. */
INLINE void advance_product(Product *p)
{
    const char *operand = p->operand + p->depth * AMX_ROW_BYTES;
    if (p->depth == 0)
        zero_sums();
    _tile_loadd(4, operand, p->stride);
    _tile_loadd(6, p->weights, AMX_ROW_BYTES);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, p->weights + TILE_BYTES, AMX_ROW_BYTES);
    _tile_dpbf16ps(1, 4, 7);
    if (p->has_two_tiles) {
        _tile_loadd(5, operand + p->height * p->stride, p->stride);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    p->weights += 2 * TILE_BYTES;
    p->num_left--;
    if (++p->depth == p->depths) {
        store_sums(p);
        p->depth = 0;
        p->sums += CHUNK;
    }
}

INLINE void finish_product(Product *p)
{
    commit_stores();
    while (p->num_left > 0)
        advance_product(p);
    commit_stores(); /* for the compiler: the sums are read now */
}

/* Compute the pointwise operations of a row of an item from the row's sums. */
typedef void Pointwise(const Part *part, Item item, int64_t row, const float *sums);

/* Compute `num_steps` steps; the operands of the first are given. */
INLINE void run_pipeline(const Part *part, int64_t num_steps, const int num_panels, Pointwise *compute_row)
{
    _Alignas(ALIGNMENT) Sums sums[2];
    const int64_t num_blocks = part->s->H / CHUNK, group = 2 * part->scratch.height;
    const int64_t num_items = (part->rows + group - 1) / group * num_blocks * num_steps;
    Product product = begin_product(part, get_item(part, 0), sums[0], num_panels);
    finish_product(&product);
    for (int64_t n = 0; n < num_items; n++) {
        const Item item = get_item(part, n);
        int64_t num_ready = 0; /* pieces of the next product whose operands exist */
        if (n + 1 < num_items) {
            product = begin_product(part, get_item(part, n + 1), sums[(n + 1) % 2], num_panels);
            num_ready = product.num_left;
            if (item.block == num_blocks - 1 && part->rows <= group) /* its last depths are what this item computes */
                num_ready = product.depths - GATES / num_panels;
        }
        for (int64_t row = 0, due = 0; row < item.rows; row++) {
            compute_row(part, item, item.row + row, sums[n % 2][row]);
            for (due += num_ready; due >= item.rows; due -= item.rows)
                advance_product(&product);
        }
        finish_product(&product);
    }
}
