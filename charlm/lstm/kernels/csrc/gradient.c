/* The gradient of a weight matrix: one float32 product over all N positions of a batch, for one instruction set.
 *
 * BLAS libraries first write a transposed copy of the left matrix to memory. Here it is transposed in the cache, one
 * chunk at a time.
 */
#include "lstm.h"
#include "product.h"

#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

/* The sums of CHUNK positions are accumulated in registers, then added to the result. STRIP rows of the result are
 * transposed together. */
enum { CHUNK = 256, STRIP = 16, ALIGNMENT = 64, STRIDE = CHUNK * 4 + ALIGNMENT };

/* Pack `count` rows of right (N, C) into blocks of four vectors. */
INLINE void pack_chunk(const float *right, float *packed, int64_t count, int64_t C)
{
    for (int64_t column = 0; column < C; column += LANES)
        for (int64_t k = 0; k < count; k++) {
            const int lanes = (int)(C - column < LANES ? C - column : LANES);
            const int64_t block = column / BLOCK, vector = column % BLOCK / LANES;
            const Floats x = load(right, k * C + column, lanes, false);
            store(packed, ((block * CHUNK + k) * VECTORS + vector) * LANES, x, LANES, false);
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

/* Compute rows begin..end of the result; `scratch` holds a packed chunk of right and a transposed strip of left. */
INLINE void multiply_part(const float *left, const float *right, float *result, int64_t N, int64_t M, int64_t C,
                          int64_t begin, int64_t end, char *scratch)
{
    const int64_t num_blocks = (C + BLOCK - 1) / BLOCK, block_bytes = (int64_t)CHUNK * BLOCK * 4;
    char *strip = scratch + num_blocks * block_bytes;
    for (int64_t first = 0; first < N; first += CHUNK) {
        const int64_t count = N - first < CHUNK ? N - first : CHUNK;
        pack_chunk(right + first * C, (float *)scratch, count, C);
        for (int64_t row = begin; row < end; row += STRIP) {
            const int64_t rows = end - row < STRIP ? end - row : STRIP;
            for (int64_t k = 0; k < count; k++)
                for (int64_t r = 0; r < rows; r++)
                    memcpy(strip + r * STRIDE + k * 4, left + (first + k) * M + row + r, 4);
            for (int64_t block = 0; block < num_blocks; block++)
                for (int64_t r = 0, tile; r < rows; r += tile) {
                    Floats sums[TILE_ROWS][VECTORS];
                    tile = tile_rows(r, rows);
                    multiply_tile((int)tile, strip + r * STRIDE, STRIDE, scratch + block * block_bytes, count, false,
                                  sums);
                    add_tile(result, C, row + r, block, (int)tile, sums);
                }
        }
    }
}

/* result (M, C) += left (N, M) transposed times right (N, C); each thread computes some rows of the result.
 * Returns 0, or 1 if out of memory. */
int NAMED(gradient_add_product_, LSTM_PATH)(const float *left, const float *right, float *result, int64_t N, int64_t M,
                                            int64_t C, int64_t num_threads)
{
    const int64_t bytes = round_up(C, BLOCK) * CHUNK * 4 + (int64_t)STRIP * STRIDE;
    const int64_t strips = (M + STRIP - 1) / STRIP;
    char *scratch = aligned_alloc(ALIGNMENT, (size_t)(bytes * num_threads));
    if (!scratch)
        return 1;
#pragma omp parallel for num_threads((int)num_threads) schedule(static, 1)
    for (int64_t part = 0; part < num_threads; part++) {
        const int64_t begin = strips * part / num_threads * STRIP, after = strips * (part + 1) / num_threads * STRIP;
        multiply_part(left, right, result, N, M, C, begin, after < M ? after : M, scratch + part * bytes);
    }
    free(scratch);
    return 0;
}
