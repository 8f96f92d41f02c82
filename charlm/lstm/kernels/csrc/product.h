/* Matrix products with packed weights: register tiles of up to TILE_ROWS rows by four vectors of columns.
 *
 * An operand is an element of the left matrix as the product reads it: float, or bfloat16 if the instruction set
 * multiplies pairs of bfloat16 (`is_paired`). Without such instructions, bfloat16 products use floats that were rounded
 * to bfloat16, which are the same values. The depth index k runs along the dot products. Packed weights are stored in
 * blocks of four vectors (LANES columns each) in the order of k, so that a tile reads them sequentially. If paired, a
 * lane holds the weights of two consecutive k.
 */
#pragma once

#include "vector.h"

#if defined(__AVX512BF16__)
#define HAS_PAIRS true
#else
#define HAS_PAIRS false
#endif

enum { VECTORS = 4, BLOCK = VECTORS * LANES };

INLINE int64_t round_up(int64_t n, int64_t multiple)
{
    return (n + multiple - 1) / multiple * multiple;
}

/* Store LANES operands at `index`, in the format that the product reads. */
INLINE void store_operand(void *operand, int64_t index, Floats x, bool is_bf16)
{
    if (is_bf16 && !HAS_PAIRS)
        x = from_bf16(to_bf16(x));
    store(operand, index, x, LANES, is_bf16 && HAS_PAIRS);
}

/* Scatter LANES weights of one column, from depth k on, into the column's lane of a block. */
INLINE void pack_column(void *packed, int64_t block, int64_t steps, int64_t k, int vector, int lane, Floats x,
                        bool is_bf16)
{
    const int step = is_bf16 && HAS_PAIRS ? 2 : 1;
    int32_t values[LANES];
    store_operand(values, 0, x, is_bf16);
    for (int i = 0; i < LANES / step; i++)
        ((int32_t *)packed)[((block * steps + k / step + i) * VECTORS + vector) * LANES + lane] = values[i];
}

/* Return pairs of two depths, given as floats with the values of bfloat16. */
INLINE Floats join_pairs(Floats x, Floats next)
{
    return (Floats)((Words)x >> 16 | (Words)next);
}

/* Return the weights of LANES columns for one step of the product: those of one depth, or pairs of two depths. */
INLINE Floats pair_up(Floats x, Floats next, bool is_bf16)
{
    if (is_bf16)
        x = from_bf16(to_bf16(x));
    if (is_bf16 && HAS_PAIRS)
        x = join_pairs(x, from_bf16(to_bf16(next)));
    return x;
}

INLINE Floats multiply_add(Floats sum, Floats weights, Floats x, bool is_paired)
{
#if defined(__AVX512BF16__)
    if (is_paired)
        return (Floats)_mm512_dpbf16_ps((__m512)sum, (__m512bh)weights, (__m512bh)x);
#else
    (void)is_paired;
#endif
    return sum + weights * x;
}

/* sums[row][vector] = Σ_k operand[row][k] * packed[k][vector]; rows are `stride` bytes apart, depths `pitch` bytes.
 *
 * The order of summation does not depend on the number of rows. So the result has the same bits for every grouping of
 * rows and every number of threads. A step reads 4 bytes of each row: one float, or a pair of bfloat16. */
INLINE void multiply_rows(const int rows, const char *operand, int64_t stride, const int64_t pitch, const char *packed,
                          int64_t steps, bool is_paired, Floats sums[TILE_ROWS][VECTORS])
{
    Floats acc[TILE_ROWS][VECTORS] = {0};
    for (int64_t k = 0; k < steps; k++) {
        Floats x[TILE_ROWS]; /* one register per row, so that a single further register is enough for the weights */
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            int32_t bits;
            memcpy(&bits, operand + row * stride + k * pitch, 4);
            x[row] = (Floats)((Ints){0} | bits); /* broadcast as integer: float arithmetic could change a pair's bits */
        }
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) {
            Floats weights;
            memcpy(&weights, packed + (k * VECTORS + v) * (int64_t)sizeof weights, sizeof weights);
#pragma GCC unroll 8
            for (int row = 0; row < rows; row++)
                acc[row][v] = multiply_add(acc[row][v], weights, x[row], is_paired);
        }
    }
#pragma GCC unroll 8
    for (int row = 0; row < rows; row++)
        memcpy(sums[row], acc[row], sizeof acc[row]);
}

/* multiply_rows with the number of rows, 1..TILE_ROWS, as a compile-time constant: accumulators stay in registers. */
INLINE void multiply_tile(int rows, const char *operand, int64_t stride, const int64_t pitch, const char *packed,
                          int64_t steps, bool is_paired, Floats sums[TILE_ROWS][VECTORS])
{
    switch (rows) {
#if TILE_ROWS == 6
    case 6: multiply_rows(6, operand, stride, pitch, packed, steps, is_paired, sums); break;
    case 5: multiply_rows(5, operand, stride, pitch, packed, steps, is_paired, sums); break;
    case 4: multiply_rows(4, operand, stride, pitch, packed, steps, is_paired, sums); break;
#endif
    case 3: multiply_rows(3, operand, stride, pitch, packed, steps, is_paired, sums); break;
    case 2: multiply_rows(2, operand, stride, pitch, packed, steps, is_paired, sums); break;
    default: multiply_rows(1, operand, stride, pitch, packed, steps, is_paired, sums);
    }
}

/* Return the number of rows of the tile that begins at `row`; tiles differ by one row at most. */
INLINE int tile_rows(int64_t row, int64_t rows)
{
    const int64_t left = rows - row, tiles = (left + TILE_ROWS - 1) / TILE_ROWS;
    return (int)((left + tiles - 1) / tiles);
}
