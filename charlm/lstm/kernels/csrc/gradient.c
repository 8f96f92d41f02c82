/* The gradient of a weight matrix and its bias: one product over all N positions of a batch, for one instruction set.
 *
 * BLAS libraries first write a transposed copy of the left matrix to memory. Here a strip of its columns is copied into
 * the cache as it stands, one chunk of rows at a time, and the product walks down the columns. A step of the product
 * takes one position, or a pair of positions if the instruction set multiplies pairs of bfloat16. AMX multiplies
 * bfloat16 in another way: see amx_gradient.h.
 */
#include "amx_gradient.h"
#include "lstm.h"

#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

/* The sums of so many steps are accumulated in registers, then added to the result. A strip has STRIP columns of left. */
enum { STEPS = 256, STRIP = 16, ALIGNMENT = 64 };

/* Load elements of row k, paired with those of the next row if the product takes pairs; rows from `count` on are zero.
 * The elements are added to `totals`. */
INLINE Floats load_step(const void *rows, int64_t k, int64_t count, int64_t width, int64_t column, const int lanes,
                        bool is_bf16, Floats *totals)
{
    const Floats x = load(rows, k * width + column, lanes, is_bf16);
    *totals += x;
    if (!is_bf16 || !HAS_PAIRS)
        return x;
    const Floats next = k + 1 < count ? load(rows, (k + 1) * width + column, lanes, true) : (Floats){0};
    *totals += next;
    return join_pairs(x, next);
}

/* Pack `count` rows of right (N, C) into blocks of four vectors. */
INLINE void pack_chunk(const void *right, float *packed, int64_t count, int64_t C, int64_t depth_of_step, bool is_bf16)
{
    Floats unused = {0};
    for (int64_t column = 0; column < C; column += LANES)
        for (int64_t k = 0; k < count; k += depth_of_step) {
            const int lanes = (int)(C - column < LANES ? C - column : LANES);
            const int64_t block = column / BLOCK, vector = column % BLOCK / LANES;
            const Floats x = load_step(right, k, count, C, column, lanes, is_bf16, &unused);
            store(packed, ((block * STEPS + k / depth_of_step) * VECTORS + vector) * LANES, x, LANES, false);
        }
}

/* Add the sums of a chunk to result[row..row+tile], in one block of columns. */
INLINE void add_tile(float *result, int64_t C, int64_t row, int64_t block, int tile, Floats sums[TILE_ROWS][VECTORS])
{
    for (int r = 0; r < tile; r++)
        for (int64_t v = 0, column = block * BLOCK; v < VECTORS && column < C; v++, column += LANES) {
            const int lanes = (int)(C - column < LANES ? C - column : LANES);
            const int64_t at = (row + r) * C + column;
            store(result, at, load(result, at, lanes, false) + sums[r][v], lanes, false);
        }
}

/* Copy columns row..row+rows of `count` rows of left (N, M), and add them to `column_sums` (M,). */
INLINE void copy_strip(const void *left, float *strip, float *column_sums, int64_t count, int64_t M, int64_t row,
                       const int64_t rows, int64_t depth_of_step, bool is_bf16)
{
    Floats totals[STRIP / LANES] = {0};
    for (int64_t k = 0; k < count; k += depth_of_step, strip += STRIP)
        for (int64_t r = 0; r < rows; r += LANES) {
            const int lanes = (int)(rows - r < LANES ? rows - r : LANES);
            store(strip, r, load_step(left, k, count, M, row + r, lanes, is_bf16, &totals[r / LANES]), LANES, false);
        }
    for (int64_t r = 0; r < rows; r += LANES) {
        const int lanes = (int)(rows - r < LANES ? rows - r : LANES);
        store(column_sums, row + r, load(column_sums, row + r, lanes, false) + totals[r / LANES], lanes, false);
    }
}

/* Prefetch a part of the strip at `next`: its rows lie in different pages, where the processor does not prefetch. */
INLINE void prefetch_strip(const char *next, int64_t count, int64_t row_bytes, int64_t block, int64_t num_blocks)
{
    for (int64_t k = count * block / num_blocks; k < count * (block + 1) / num_blocks; k++)
        __builtin_prefetch(next + k * row_bytes);
}

/* Compute rows begin..end of the result; `scratch` holds a packed chunk of right and a strip of left. */
INLINE void multiply_part(const char *left, const char *right, float *result, float *column_sums, int64_t N, int64_t M,
                          int64_t C, int64_t begin, int64_t end, char *scratch, bool is_bf16)
{
    const int64_t size = is_bf16 ? 2 : 4, depth_of_step = is_bf16 && HAS_PAIRS ? 2 : 1, chunk = STEPS * depth_of_step;
    const int64_t num_blocks = (C + BLOCK - 1) / BLOCK, block_bytes = (int64_t)STEPS * BLOCK * 4;
    float *strip = (float *)(scratch + num_blocks * block_bytes);
    for (int64_t first = 0; first < N; first += chunk) {
        const int64_t count = N - first < chunk ? N - first : chunk, steps = (count + depth_of_step - 1) / depth_of_step;
        const char *left_chunk = left + first * M * size;
        pack_chunk(right + first * C * size, (float *)scratch, count, C, depth_of_step, is_bf16);
        for (int64_t row = begin; row < end; row += STRIP) {
            const int64_t rows = end - row < STRIP ? end - row : STRIP;
            if (rows == STRIP) /* a constant count: whole-vector loads */
                copy_strip(left_chunk, strip, column_sums, count, M, row, STRIP, depth_of_step, is_bf16);
            else
                copy_strip(left_chunk, strip, column_sums, count, M, row, rows, depth_of_step, is_bf16);
            for (int64_t block = 0; block < num_blocks; block++) {
                prefetch_strip(left_chunk + (row + rows) * size, count, M * size, block, num_blocks);
                for (int64_t r = 0, tile; r < rows; r += tile) {
                    Floats sums[TILE_ROWS][VECTORS];
                    tile = tile_rows(r, rows);
                    multiply_tile((int)tile, (const char *)(strip + r), 4, STRIP * 4, scratch + block * block_bytes,
                                  steps, is_bf16 && HAS_PAIRS, sums);
                    add_tile(result, C, row + r, block, (int)tile, sums);
                }
            }
        }
    }
}

/* result (M, C) += left (N, M) transposed times right (N, C), and column_sums (M,) += the sums of the columns of left;
 * each thread computes some rows of the result. Left and right are bfloat16 if `is_bf16`, else float. Returns 0, or 1 if
 * out of memory. */
int NAMED(gradient_add_product_, LSTM_PATH)(const void *left, const void *right, float *result, float *column_sums,
                                            int64_t N, int64_t M, int64_t C, int64_t num_threads, int64_t is_bf16)
{
#if HAS_AMX
    if (is_bf16)
        return amx_gradient_add_product(left, right, result, column_sums, N, M, C, num_threads);
#endif
    const int64_t bytes = (round_up(C, BLOCK) + STRIP) * STEPS * 4;
    const int64_t strips = (M + STRIP - 1) / STRIP;
    char *scratch = aligned_alloc(ALIGNMENT, (size_t)(bytes * num_threads));
    if (!scratch)
        return 1;
#pragma omp parallel for num_threads((int)num_threads) schedule(static, 1)
    for (int64_t part = 0; part < num_threads; part++) {
        const int64_t begin = strips * part / num_threads * STRIP, after = strips * (part + 1) / num_threads * STRIP;
        const int64_t end = after < M ? after : M;
        if (is_bf16)
            multiply_part(left, right, result, column_sums, N, M, C, begin, end, scratch + part * bytes, true);
        else
            multiply_part(left, right, result, column_sums, N, M, C, begin, end, scratch + part * bytes, false);
    }
    free(scratch);
    return 0;
}
