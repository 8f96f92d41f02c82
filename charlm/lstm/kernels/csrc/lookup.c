/* The backward pass of a table lookup: gradient rows are summed by id (scatter-add), for one instruction set. */
#include "lstm.h"
#include "vector.h"

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

enum { AHEAD = 4 }; /* prefetch distance, in rows */

INLINE void add(float *sums, int64_t to, const void *rows, int64_t from, const int count, bool is_bf16)
{
    store(sums, to, load(sums, to, count, false) + load(rows, from, count, is_bf16), count, false);
}

INLINE void add_columns(const int64_t *ids, const void *rows, float *sums, int64_t num_rows, int64_t width,
                        int64_t begin, int64_t end, bool is_bf16)
{
    for (int64_t n = 0; n < num_rows; n++) {
        const int64_t to = ids[n] * width, from = n * width;
        if (n + AHEAD < num_rows)
            prefetch(rows, (n + AHEAD) * width + begin, end - begin, is_bf16);
        int64_t column = begin;
        for (; column + LANES <= end; column += LANES) /* a constant count: whole-vector loads and stores */
            add(sums, to + column, rows, from + column, LANES, is_bf16);
        if (column < end)
            add(sums, to + column, rows, from + column, (int)(end - column), is_bf16);
    }
}

/* sums[ids[n]] += rows[n] for every n in order, always in float32; each thread sums some columns. */
void NAMED(lookup_sum_rows_, LSTM_PATH)(const int64_t *ids, const void *rows, float *sums, int64_t num_rows,
                                        int64_t width, int64_t num_threads, int64_t is_bf16)
{
    const int64_t vectors = (width + LANES - 1) / LANES;
#pragma omp parallel for num_threads((int)num_threads) schedule(static, 1)
    for (int64_t part = 0; part < num_threads; part++) {
        const int64_t begin = vectors * part / num_threads * LANES;
        const int64_t after = vectors * (part + 1) / num_threads * LANES, end = after < width ? after : width;
        if (is_bf16)
            add_columns(ids, rows, sums, num_rows, width, begin, end, true);
        else
            add_columns(ids, rows, sums, num_rows, width, begin, end, false);
    }
}
