/* The loss of each position of a batch, with the gradient of their mean, for one instruction set.
 *
 * N positions, V vocabulary. A row of logits stays in the L1 cache from its first reading to the gradient.
 */
#include "lstm.h"
#include "product.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

enum { GROUP = 8, ALIGNMENT = 64, OUT_OF_MEMORY = 1, BAD_TARGET = 2 };

/* Convert V elements; the last vector overlaps the one before it, so that all are whole unless V is below LANES. */
INLINE void convert_row(const void *from, int64_t from_index, bool from_bf16, void *to, int64_t to_index, bool to_bf16,
                        int64_t V, float factor)
{
    for (int64_t n = 0; n + LANES <= V; n += LANES)
        store(to, to_index + n, load(from, from_index + n, LANES, from_bf16) * factor, LANES, to_bf16);
    if (V >= LANES)
        store(to, to_index + V - LANES, load(from, from_index + V - LANES, LANES, from_bf16) * factor, LANES, to_bf16);
    else
        store(to, to_index, load(from, from_index, (int)V, from_bf16) * factor, (int)V, to_bf16);
}

/* Return the largest of V elements; a row has whole vectors, filled with -FLT_MAX. */
INLINE float find_largest(const float *row, int64_t V)
{
    Floats lanes = -FLT_MAX + (Floats){0};
    for (int64_t n = 0; n < V; n += LANES) {
        const Floats x = load(row, n, LANES, false);
        lanes = blend(x > lanes, x, lanes);
    }
    return largest_lane(lanes);
}

/* Replace a row of logits by e^(logit - largest); return the sum. */
INLINE float exponentiate(float *row, int64_t V, float largest)
{
    Floats sums = {0};
    for (int64_t n = 0; n < V; n += LANES) {
        const Floats x = exp2_fast((load(row, n, LANES, false) - largest) * 1.44269504f);
        sums += x;
        store(row, n, x, LANES, false);
    }
    return sum_lanes(sums);
}

/* Compute the losses of `count` positions, and their gradients: each operation for all of them, because the steps of one
 * position wait for each other. */
INLINE void compute_group(const void *logits, const int64_t *targets, float *losses, void *grad, int64_t N, int64_t V,
                          int64_t first, int64_t count, float *rows, int64_t stride, bool is_bf16)
{
    float largest[GROUP], sums[GROUP];
    for (int64_t n = 0; n < count; n++) {
        float *row = rows + n * stride;
        store(row, V / LANES * LANES, -FLT_MAX + (Floats){0}, LANES, false);
        convert_row(logits, (first + n) * V, is_bf16, row, 0, false, V, 1.0f);
    }
    for (int64_t n = 0; n < count; n++) {
        largest[n] = find_largest(rows + n * stride, V);
        losses[first + n] = largest[n] - rows[n * stride + targets[first + n]];
    }
    for (int64_t n = 0; n < count; n++)
        sums[n] = exponentiate(rows + n * stride, V, largest[n]);
    for (int64_t n = 0; n < count; n++)
        losses[first + n] += logf(sums[n]);
    for (int64_t n = 0; grad && n < count; n++) {
        const int64_t at = (first + n) * V, target = targets[first + n];
        const float *row = rows + n * stride, scale = 1.0f / (sums[n] * (float)N);
        convert_row(row, 0, false, grad, at, is_bf16, V, scale);
        store(grad, at + target, (row[target] - sums[n]) * scale + (Floats){0}, 1, is_bf16);
    }
}

/* Compute the losses of positions begin..end, and their gradients; return 0 or BAD_TARGET. */
INLINE int compute_part(const void *logits, const int64_t *targets, float *losses, void *grad, int64_t N, int64_t V,
                        int64_t begin, int64_t end, float *rows, int64_t stride, bool is_bf16)
{
    for (int64_t n = begin; n < end; n++)
        if (targets[n] < 0 || targets[n] >= V)
            return BAD_TARGET;
    for (int64_t first = begin; first < end; first += GROUP) {
        const int64_t count = end - first < GROUP ? end - first : GROUP;
        compute_group(logits, targets, losses, grad, N, V, first, count, rows, stride, is_bf16);
    }
    return 0;
}

/* losses[n] = -log softmax(logits[n])[targets[n]] for the logits (N, V); grad (N, V), or null, becomes the gradient of
 * their mean. Logits and grad are bfloat16 if `is_bf16`, else float. Each thread computes some of the positions.
 * Returns 0, OUT_OF_MEMORY, or BAD_TARGET if a target is not in 0..V-1. */
int NAMED(loss_, LSTM_PATH)(const void *logits, const int64_t *targets, float *losses, void *grad, int64_t N, int64_t V,
                            int64_t num_threads, int64_t is_bf16)
{
    const int64_t stride = round_up(V + LANES, ALIGNMENT / 4);
    float *rows = aligned_alloc(ALIGNMENT, (size_t)(num_threads * GROUP * stride * 4));
    int status = rows ? 0 : OUT_OF_MEMORY;
    if (!rows)
        return status;
#pragma omp parallel for num_threads((int)num_threads) schedule(static, 1) reduction(max : status)
    for (int64_t part = 0; part < num_threads; part++) {
        const int64_t begin = N * part / num_threads, end = N * (part + 1) / num_threads;
        float *own = rows + part * GROUP * stride;
        const int result = is_bf16 ? compute_part(logits, targets, losses, grad, N, V, begin, end, own, stride, true)
                                   : compute_part(logits, targets, losses, grad, N, V, begin, end, own, stride, false);
        status = result > status ? result : status;
    }
    free(rows);
    return status;
}
