/* The choice of the next character from the logits: temperature, top-k, top-p, and the draw.
 *
 * V vocabulary. The weight of a character is its probability divided by that of the likeliest character. Logits and
 * weights have round_up(V, LANES) elements; logits beyond V are -FLT_MAX, weights beyond V are zero. Weights are zero or
 * at least FLT_MIN. Of equally likely characters, those with the lower id come first.
 */
#pragma once

#include "product.h"

#include <float.h>

/* Find the largest logit; return false if a logit is not finite. */
INLINE bool find_largest(const float *logits, int64_t V, float *largest)
{
    Floats largest_lanes = -FLT_MAX + (Floats){0};
    Ints is_broken = {0};
    for (int64_t n = 0; n < V; n += LANES) {
        const Floats x = load(logits, n, LANES, false);
        is_broken |= x - x != 0.0f; /* NaN for an infinity or a NaN */
        largest_lanes = blend(x > largest_lanes, x, largest_lanes);
    }
    *largest = largest_lane(largest_lanes);
    return largest_lane(-__builtin_convertvector(is_broken, Floats)) == 0.0f;
}

/* weights[n] = e^((logits[n] - largest) / temperature), temperature above 0. */
INLINE void weigh(const float *logits, float *weights, int64_t V, float largest, double temperature)
{
    /* below 1e-30 every other weight is zero, and a smaller divisor could overflow */
    const float scale = (float)(1.4426950408889634 / (temperature > 1e-30 ? temperature : 1e-30));
    for (int64_t n = 0; n < V; n += LANES) {
        Floats x = load(logits, n, LANES, false) - largest;
        x = blend(x < -FLT_MAX, -FLT_MAX + (Floats){0}, x) * scale;
        store(weights, n, blend(x < -126.0f, (Floats){0}, exp2_fast(x)), LANES, false);
    }
    for (int64_t n = V; n < round_up(V, LANES); n++)
        weights[n] = 0;
}

/* What lies on both sides of a limit. */
typedef struct {
    float sum;             /* of the weights from the limit on, or their number */
    float smallest, below; /* the smallest weight from the limit on, and the largest below it; 2 and 0 if none */
} Split;

INLINE Split split_weights(const float *weights, int64_t V, float limit, const bool is_number)
{
    const Floats zero = {0}, one = 1.0f + zero;
    Floats sum = zero, largest_negative = zero - 2.0f, below = zero;
    for (int64_t n = 0; n < V; n += LANES) {
        const Floats x = load(weights, n, LANES, false);
        const Ints is_above = x >= limit;
        const Floats negative = blend(is_above, -x, zero - 2.0f), rest = blend(is_above, zero, x);
        sum += blend(is_above, is_number ? one : x, zero);
        largest_negative = blend(negative > largest_negative, negative, largest_negative);
        below = blend(rest > below, rest, below);
    }
    return (Split){sum_lanes(sum), -largest_lane(largest_negative), largest_lane(below)};
}

INLINE int32_t to_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

INLINE float from_bits(int32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Keep the fewest largest weights whose sum, or number, reaches a target above 0; set the others to zero.
 *
 * The smallest weight that is kept is found by bisection, without sorting. The bits of positive floats are in the order
 * of the floats, so the middle between two bit patterns is near the geometric mean, and the spread of the weights
 * hardly matters. Each step moves a bound to a weight that exists; the bounds meet after about log2(V) steps. */
INLINE void keep_largest(float *weights, int64_t V, double target, const bool is_number)
{
    int32_t from = to_bits(FLT_MIN), after = to_bits(1.0f) + 1; /* the weights from `from` on reach the target, */
    if (split_weights(weights, V, FLT_MIN, is_number).sum < target) /* those from `after` on do not */
        return;
    while (after - from > 1) {
        const int32_t middle = from + (after - from) / 2;
        const Split split = split_weights(weights, V, from_bits(middle), is_number);
        if (split.sum >= target)
            from = to_bits(split.smallest);
        else
            after = to_bits(split.below) + 1;
    }
    const float smallest = from_bits(from);
    double sum = split_weights(weights, V, from_bits(after), is_number).sum;
    for (int64_t n = 0; n < V; n++) {
        const bool is_kept = weights[n] > smallest || (weights[n] == smallest && sum < target);
        if (weights[n] == smallest && is_kept)
            sum += is_number ? 1.0f : smallest;
        weights[n] = is_kept ? weights[n] : 0.0f;
    }
}

INLINE double sum_weights(const float *weights, int64_t V)
{
    double sum = 0;
    for (int64_t n = 0; n < V; n++)
        sum += weights[n];
    return sum;
}

/* Return the first character whose cumulative weight is above `uniform` times the sum of all weights. */
INLINE int64_t draw(const float *weights, int64_t V, double uniform)
{
    const double target = uniform * sum_weights(weights, V); /* below the sum, also after rounding */
    double sum = 0;
    int64_t n = 0;
    do
        sum += weights[n++];
    while (sum <= target && n < V);
    return n - 1;
}

/* Return the next character, or -1 if a logit is not finite; `weights` is scratch memory. */
INLINE int64_t choose(const float *logits, float *weights, int64_t V, double temperature, int64_t top_k, double top_p,
                      double uniform)
{
    float largest;
    if (!find_largest(logits, V, &largest))
        return -1;
    if (temperature == 0) {
        int64_t n = 0;
        while (n < V - 1 && logits[n] < largest)
            n++;
        return n;
    }
    weigh(logits, weights, V, largest, temperature);
    if (top_k < V)
        keep_largest(weights, V, (double)top_k, true);
    if (top_p < 1)
        keep_largest(weights, V, top_p * sum_weights(weights, V), false);
    return draw(weights, V, uniform);
}
