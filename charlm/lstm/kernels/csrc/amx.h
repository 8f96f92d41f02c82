/* Products with packed weights on AMX tiles, for pairs of bfloat16: up to 32 rows by four vectors.
 *
 * A tile has at most 16 rows of 64 bytes. It holds the sums of 16 columns, or 16 pairs of operands per row, or the
 * weights of 16 pairs for the columns of one vector; the layout of packed blocks is the layout of tiles. The depth is
 * padded with zeros to whole tiles. The number of tiles is minimal, and all tiles of a thread have the same, minimal
 * height. The last tile may extend beyond the rows, into padding rows.
 */
#pragma once

#include "product.h"

#if defined(__AMX_BF16__) || defined(__AMXBF16__) /* older versions of clang */
#define HAS_AMX true
#else
#define HAS_AMX false
#endif

enum { AMX_ROWS = 16, AMX_PAIRS = 16, AMX_DEPTH = 2 * AMX_PAIRS, AMX_ROW_BYTES = 64 };

INLINE int64_t amx_height(int64_t rows)
{
    if (!HAS_AMX)
        return 1;
    const int64_t tiles = (rows + AMX_ROWS - 1) / AMX_ROWS;
    return (rows + tiles - 1) / tiles;
}

#if HAS_AMX
enum { WEIGHT_STRIDE = VECTORS * AMX_ROW_BYTES };

/* A compiler barrier: gcc does not know that the tile intrinsics read memory, and could delay stores before them. */
INLINE void commit_stores(void)
{
    __asm__ volatile("" ::: "memory");
}

/* Configure the tiles of this thread: 0..3 for sums and 4..5 for operands, `height` rows each, and 6..7 for weights. */
INLINE void amx_begin(int64_t height)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } config = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        config.row_bytes[tile] = AMX_ROW_BYTES;
        config.rows[tile] = (uint8_t)(tile < 6 ? height : AMX_PAIRS);
    }
    commit_stores();
    _tile_loadconfig(&config);
}

/* One tile of rows by four vectors: four independent accumulators hide the latency of each. */
INLINE void multiply_one_tile(const char *operand, int64_t stride, const char *packed, int64_t steps,
                              Floats sums[][VECTORS])
{
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < steps; k += AMX_PAIRS) {
        const char *weights = packed + k * WEIGHT_STRIDE;
        _tile_loadd(4, operand + k * 4, stride);
        _tile_loadd(6, weights, WEIGHT_STRIDE);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, weights + AMX_ROW_BYTES, WEIGHT_STRIDE);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(6, weights + 2 * AMX_ROW_BYTES, WEIGHT_STRIDE);
        _tile_dpbf16ps(2, 4, 6);
        _tile_loadd(7, weights + 3 * AMX_ROW_BYTES, WEIGHT_STRIDE);
        _tile_dpbf16ps(3, 4, 7);
    }
    _tile_stored(0, &sums[0][0], WEIGHT_STRIDE);
    _tile_stored(1, &sums[0][1], WEIGHT_STRIDE);
    _tile_stored(2, &sums[0][2], WEIGHT_STRIDE);
    _tile_stored(3, &sums[0][3], WEIGHT_STRIDE);
}

/* Two tiles of rows by four vectors, two vectors at a time: each loaded tile is used in two products. */
INLINE void multiply_two_tiles(int64_t height, const char *operand, int64_t stride, const char *packed, int64_t steps,
                               Floats sums[][VECTORS])
{
    for (int v = 0; v < VECTORS; v += 2) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        for (int64_t k = 0; k < steps; k += AMX_PAIRS) {
            const char *x = operand + k * 4, *weights = packed + k * WEIGHT_STRIDE + v * AMX_ROW_BYTES;
            _tile_loadd(4, x, stride);
            _tile_loadd(6, weights, WEIGHT_STRIDE);
            _tile_dpbf16ps(0, 4, 6);
            _tile_loadd(7, weights + AMX_ROW_BYTES, WEIGHT_STRIDE);
            _tile_dpbf16ps(1, 4, 7);
            _tile_loadd(5, x + height * stride, stride);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        _tile_stored(0, &sums[0][v], WEIGHT_STRIDE);
        _tile_stored(1, &sums[0][v + 1], WEIGHT_STRIDE);
        _tile_stored(2, &sums[height][v], WEIGHT_STRIDE);
        _tile_stored(3, &sums[height][v + 1], WEIGHT_STRIDE);
    }
}

/* multiply_tile on AMX, for `rows` of at most two tiles; to be called between amx_begin and amx_end.
 *
 * With one tile or two, a row's sums add 32 depths at a time in the same order. So here too the result has the same
 * bits for every grouping of rows. */
INLINE void amx_multiply(int64_t rows, int64_t height, const char *operand, int64_t stride, const char *packed,
                         int64_t steps, Floats sums[][VECTORS])
{
    commit_stores();
    if (rows > height)
        multiply_two_tiles(height, operand, stride, packed, steps, sums);
    else
        multiply_one_tile(operand, stride, packed, steps, sums);
}

/* Release the tiles, so that the operating system need not save them at a context switch. */
INLINE void amx_end(void)
{
    _tile_release();
}
#else
/* Never called: every call is guarded by HAS_AMX. */
INLINE void amx_begin(int64_t height) { (void)height; }
INLINE void amx_multiply(int64_t rows, int64_t height, const char *operand, int64_t stride, const char *packed,
                         int64_t steps, Floats sums[][VECTORS])
{
    (void)rows, (void)height, (void)operand, (void)stride, (void)packed, (void)steps, (void)sums;
}
INLINE void amx_end(void) {}
#endif
