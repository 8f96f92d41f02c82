/* The gradient of a weight matrix and its bias on AMX tiles, for bfloat16: see gradient.c for the arrays.
 *
 * The tiles compute the transpose of the result: the transpose of right (N, C) times left (N, M). So only right, which
 * is narrower as a rule, is transposed, and left is packed in the order in which it lies in memory. PLACES rows of both
 * are packed at a time, into panels of 32 columns, and the sums stay in the format of tiles until the end. What lies
 * beyond the matrices is packed as zeros. Every element is summed in the same order for any number of threads.
 */
#pragma once

#include "amx.h"

#if HAS_AMX
#include <stdlib.h>

enum {
    PLACES = 256,
    PANEL = 2 * AMX_ROWS,
    TILE_BYTES = AMX_ROWS * AMX_ROW_BYTES,
    DEPTH_BYTES = 2 * TILE_BYTES,                         /* 32 rows of a panel: a tile for each half of its columns */
    PANEL_BYTES = PLACES / AMX_DEPTH * DEPTH_BYTES + 128, /* panels a power of two apart would map to the same sets */
    PRODUCT_BYTES = 4 * TILE_BYTES,                       /* the sums of two panels */
    PART_BYTES = 1 << 20                                  /* most sums of a part: they stay in the L2 cache */
};

/* A part of the product: all rows and some panels of left, all of right. */
typedef struct {
    const uint16_t *left, *right;
    int64_t N, M, C;
    int64_t first_column, num_left; /* of left: the first column, and the number of panels */
    int64_t num_right;
    char *packed_left, *packed_right, *sums;
} GradientPart;

/* Return the column of a panel at a place of one of its halves: half 0 has columns 0-3, 8-11, 16-19 and 24-27. */
INLINE int64_t column_at(int64_t half, int64_t place)
{
    return place / 4 * 8 + half * 4 + place % 4;
}

/* Load rows k and k + 1 of `count` as pairs, for both halves of the panel at `column`. */
INLINE void load_pairs(const uint16_t *rows, int64_t k, int64_t count, int64_t width, int64_t column, Ints *first_half,
                       Ints *second_half)
{
    const __mmask32 columns = width - column < PANEL ? (1u << (width - column)) - 1 : ~0u;
    const uint16_t *from = rows + k * width + column;
    const __m512i x = _mm512_maskz_loadu_epi16(k < count ? columns : 0, from);
    const __m512i next = _mm512_maskz_loadu_epi16(k + 1 < count ? columns : 0, from + width);
    *first_half = (Ints)_mm512_unpacklo_epi16(x, next);
    *second_half = (Ints)_mm512_unpackhi_epi16(x, next);
}

/* Transpose 16 rows of 16 lanes. A round makes the highest bit of an element's row the lowest of its lane, and the
 * highest bit of its lane the lowest of its row. */
INLINE void transpose(Ints rows[LANES])
{
    const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i high = (__m512i)((Ints)low + 8);
#pragma GCC unroll 4
    for (int round = 0; round < 4; round++) {
        Ints moved[LANES];
#pragma GCC unroll 8
        for (int n = 0; n < LANES / 2; n++) {
            const __m512i x = (__m512i)rows[n], y = (__m512i)rows[n + LANES / 2];
            moved[2 * n] = (Ints)_mm512_permutex2var_epi32(x, low, y);
            moved[2 * n + 1] = (Ints)_mm512_permutex2var_epi32(x, high, y);
        }
        memcpy(rows, moved, sizeof moved);
    }
}

/* Pack `count` rows of right: a row of a tile has 16 pairs of places of a column, the columns in their order. */
INLINE void pack_transposed(const GradientPart *part, const uint16_t *right, int64_t count)
{
    for (int64_t k = 0; k < count; k += AMX_DEPTH)
        for (int64_t panel = 0; panel < part->num_right; panel++) {
            char *tiles = part->packed_right + panel * PANEL_BYTES + k / AMX_DEPTH * DEPTH_BYTES;
            Ints pairs[2][AMX_PAIRS];
#pragma GCC unroll 16
            for (int p = 0; p < AMX_PAIRS; p++)
                load_pairs(right, k + 2 * p, count, part->C, panel * PANEL, &pairs[0][p], &pairs[1][p]);
            for (int half = 0; half < 2; half++) {
                transpose(pairs[half]);
#pragma GCC unroll 16
                for (int place = 0; place < AMX_ROWS; place++)
                    memcpy(tiles + column_at(half, place) * AMX_ROW_BYTES, &pairs[half][place], AMX_ROW_BYTES);
            }
        }
}

/* Pack `count` rows of left: a row of a tile has a pair of places of 16 columns. Eight rows are read side by side. */
INLINE void pack_rows(const GradientPart *part, const uint16_t *left, int64_t count)
{
    for (int64_t k = 0; k < round_up(count, AMX_DEPTH); k += 8) {
        char *to = part->packed_left + k / AMX_DEPTH * DEPTH_BYTES + k % AMX_DEPTH / 2 * AMX_ROW_BYTES;
        for (int64_t panel = 0; panel < part->num_left; panel++, to += PANEL_BYTES) {
            Ints pairs[2][4];
#pragma GCC unroll 4
            for (int p = 0; p < 4; p++)
                load_pairs(left, k + 2 * p, count, part->M, part->first_column + panel * PANEL, &pairs[0][p],
                           &pairs[1][p]);
            memcpy(to, pairs[0], sizeof pairs[0]);
            memcpy(to + TILE_BYTES, pairs[1], sizeof pairs[1]);
        }
    }
}

/* Add the sums of a packed panel of left, from `column` on, to `column_sums` (M,). */
INLINE void add_column_sums(const char *panel, int64_t depths, float *column_sums, int64_t column, int64_t M)
{
    const Floats ones = (Floats)((Ints){0} + 0x3f803f80); /* pairs of 1 */
    Floats sums[2][4] = {0};                              /* four sums for each half hide the latency */
    for (const char *rows = panel; rows < panel + depths * DEPTH_BYTES; rows += DEPTH_BYTES)
        for (int pair = 0; pair < AMX_PAIRS; pair += 4)
#pragma GCC unroll 8
            for (int n = 0; n < 8; n++) {
                Floats x;
                memcpy(&x, rows + n / 4 * TILE_BYTES + (pair + n % 4) * AMX_ROW_BYTES, sizeof x);
                sums[n / 4][n % 4] = multiply_add(sums[n / 4][n % 4], x, ones, true);
            }
    for (int half = 0; half < 2; half++) {
        const Floats sum = (sums[half][0] + sums[half][1]) + (sums[half][2] + sums[half][3]);
        for (int place = 0; place < LANES; place++)
            if (column + column_at(half, place) < M)
                column_sums[column + column_at(half, place)] += sum[place];
    }
}

/* Add the product of two packed panels, right transposed times left, to their sums. */
INLINE void add_product(char *sums, const char *right, const char *left, int64_t depths)
{
    _tile_loadd(0, sums, AMX_ROW_BYTES);
    _tile_loadd(1, sums + TILE_BYTES, AMX_ROW_BYTES);
    _tile_loadd(2, sums + 2 * TILE_BYTES, AMX_ROW_BYTES);
    _tile_loadd(3, sums + 3 * TILE_BYTES, AMX_ROW_BYTES);
    for (int64_t at = 0; at < depths * DEPTH_BYTES; at += DEPTH_BYTES) {
        _tile_loadd(4, right + at, AMX_ROW_BYTES);
        _tile_loadd(6, left + at, AMX_ROW_BYTES);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, left + at + TILE_BYTES, AMX_ROW_BYTES);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, right + at + TILE_BYTES, AMX_ROW_BYTES);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, sums, AMX_ROW_BYTES);
    _tile_stored(1, sums + TILE_BYTES, AMX_ROW_BYTES);
    _tile_stored(2, sums + 2 * TILE_BYTES, AMX_ROW_BYTES);
    _tile_stored(3, sums + 3 * TILE_BYTES, AMX_ROW_BYTES);
}

/* Add the transpose of the sums to `result` (M, C). */
INLINE void add_transposed(const GradientPart *part, float *result)
{
    for (int64_t tile = 0; tile < part->num_left * part->num_right * 4; tile++) {
        const int64_t product = tile / 4, column = product % part->num_right * PANEL + tile / 2 % 2 * AMX_ROWS;
        const int64_t first_row = part->first_column + product / part->num_right * PANEL;
        const int lanes = (int)(part->C - column < LANES ? part->C - column : LANES);
        Ints rows[LANES];
        memcpy(rows, part->sums + tile * TILE_BYTES, sizeof rows);
        transpose(rows);
        for (int place = 0; place < LANES && lanes > 0; place++) {
            const int64_t row = first_row + column_at(tile % 2, place), at = row * part->C + column;
            if (row < part->M)
                store(result, at, load(result, at, lanes, false) + (Floats)rows[place], lanes, false);
        }
    }
}

INLINE void compute_part(const GradientPart *part, float *result, float *column_sums)
{
    memset(part->sums, 0, (size_t)(part->num_left * part->num_right * PRODUCT_BYTES));
    for (int64_t first = 0; first < part->N; first += PLACES) {
        const int64_t count = part->N - first < PLACES ? part->N - first : PLACES;
        const int64_t depths = round_up(count, AMX_DEPTH) / AMX_DEPTH;
        pack_transposed(part, part->right + first * part->C, count);
        pack_rows(part, part->left + first * part->M, count);
        commit_stores();
        char *sums = part->sums;
        for (int64_t n = 0; n < part->num_left; n++) {
            const char *panel = part->packed_left + n * PANEL_BYTES;
            add_column_sums(panel, depths, column_sums, part->first_column + n * PANEL, part->M);
            for (int64_t r = 0; r < part->num_right; r++, sums += PRODUCT_BYTES)
                add_product(sums, part->packed_right + r * PANEL_BYTES, panel, depths);
        }
    }
    commit_stores();
    add_transposed(part, result);
}

/* gradient_add_product for bfloat16. */
static int amx_gradient_add_product(const void *left, const void *right, float *result, float *column_sums, int64_t N,
                                    int64_t M, int64_t C, int64_t num_threads)
{
    const int64_t num_left = round_up(M, PANEL) / PANEL, num_right = round_up(C, PANEL) / PANEL;
    const int64_t row_bytes = num_right * PRODUCT_BYTES, most = row_bytes < PART_BYTES ? PART_BYTES / row_bytes : 1;
    const int64_t num_parts = round_up(round_up(num_left, most) / most, num_threads);
    const int64_t largest = round_up(num_left, num_parts) / num_parts; /* panels of left in a part */
    const int64_t bytes = largest * (row_bytes + PANEL_BYTES) + num_right * PANEL_BYTES;
    char *scratch = aligned_alloc(AMX_ROW_BYTES, (size_t)(bytes * num_threads));
    if (!scratch)
        return 1;
#pragma omp parallel for num_threads((int)num_threads) schedule(static, 1)
    for (int64_t thread = 0; thread < num_threads; thread++) {
        char *sums = scratch + thread * bytes, *packed = sums + largest * row_bytes;
        GradientPart part = {.left = left, .right = right, .N = N, .M = M, .C = C, .num_right = num_right,
                             .sums = sums, .packed_left = packed, .packed_right = packed + largest * PANEL_BYTES};
        amx_begin(AMX_ROWS);
        for (int64_t n = thread; n < num_parts; n += num_threads) {
            part.first_column = num_left * n / num_parts * PANEL;
            part.num_left = num_left * (n + 1) / num_parts - num_left * n / num_parts;
            if (part.num_left > 0)
                compute_part(&part, result, column_sums);
        }
        amx_end();
    }
    free(scratch);
    return 0;
}
#endif
