/* SIMD vectors of floats for any instruction set, by the compiler's vector extensions: load, store, bfloat16, sigmoid,
 * tanh. LANES is the number of floats in the widest register of the instruction set. TILE_ROWS is the number of rows of
 * four accumulators that fit into the register file (32 or 16 registers) together with the operands.
 *
 * Arrays hold bfloat16 if `is_bf16`, else float; it is a compile-time constant wherever these functions are inlined.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#define TILE_ROWS 6
#elif defined(__AVX__)
#define LANES 8
#define TILE_ROWS 3
#elif defined(__aarch64__)
#define LANES 4
#define TILE_ROWS 6
#else
#define LANES 4
#define TILE_ROWS 3
#endif

#define INLINE static inline __attribute__((always_inline))

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

INLINE Floats blend(Ints mask, Floats yes, Floats no)
{
    return (Floats)(((Ints)yes & mask) | ((Ints)no & ~mask));
}

/* Convert to bfloat16: round to nearest, ties to even; NaN stays NaN. */
INLINE Halves to_bf16(Floats x)
{
#if defined(__AVX512BF16__)
    return (Halves)_mm512_cvtneps_pbh((__m512)x);
#else
    Words bits = (Words)x;
    Words rounded = bits + 0x7fff + ((bits >> 16) & 1);
    Words quiet = bits | 0x400000; /* without this, rounding up a NaN can carry from the payload into the sign */
    Words is_nan = (Words)(x != x);
    return __builtin_convertvector(((quiet & is_nan) | (rounded & ~is_nan)) >> 16, Halves);
#endif
}

INLINE Floats from_bf16(Halves x)
{
#if defined(__AVX512F__)
    return (Floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16); /* gcc splits its own conversion in two */
#else
    return (Floats)(__builtin_convertvector(x, Words) << 16);
#endif
}

/* Load `count` (at most LANES) elements from `index` on; the other lanes are zero. */
INLINE Floats load(const void *array, int64_t index, int count, bool is_bf16)
{
    if (is_bf16) {
        const uint16_t *from = (const uint16_t *)array + index;
        Halves x = {0};
        if (count == LANES)
            memcpy(&x, from, sizeof x);
        else
            memcpy(&x, from, (size_t)count * sizeof *from);
        return from_bf16(x);
    }
    const float *from = (const float *)array + index;
    Floats x = {0};
    if (count == LANES)
        memcpy(&x, from, sizeof x);
    else
        memcpy(&x, from, (size_t)count * sizeof *from);
    return x;
}

/* Store the first `count` lanes from `index` on. */
INLINE void store(void *array, int64_t index, Floats x, int count, bool is_bf16)
{
    if (is_bf16) {
        uint16_t *to = (uint16_t *)array + index;
        Halves rounded = to_bf16(x);
        if (count == LANES)
            memcpy(to, &rounded, sizeof rounded);
        else
            memcpy(to, &rounded, (size_t)count * sizeof *to);
        return;
    }
    float *to = (float *)array + index;
    if (count == LANES)
        memcpy(to, &x, sizeof x);
    else
        memcpy(to, &x, (size_t)count * sizeof *to);
}

/* Prefetch the cache lines of `count` elements from `index` on. */
INLINE void prefetch(const void *array, int64_t index, int64_t count, bool is_bf16)
{
    const int64_t size = is_bf16 ? 2 : 4;
    const char *from = (const char *)array + index * size;
    for (int64_t byte = 0; byte < count * size; byte += 64)
        __builtin_prefetch(from + byte);
}

#if defined(__AVX512DQ__)
/* 2^y, relative error below 2e-7; underflows to 0, overflows to inf; NaN gives NaN. */
INLINE Floats exp2_fast(Floats y)
{
    const Floats r = (Floats)_mm512_reduce_ps((__m512)y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); /* y - floor(y) */
    /* minimax polynomial on 0..1, exact at 0 and 1: relative error 1.0e-7 */
    Floats p = 0.0018793186f + (Floats){0};
    p = p * r + 0.008990995f;
    p = p * r + 0.055818677f;
    p = p * r + 0.24015927f;
    p = p * r + 0.6931517f;
    p = p * r + 1.0f;
    return (Floats)_mm512_scalef_ps((__m512)p, (__m512)y); /* p * 2^floor(y) */
}
#else
/* 2^y, relative error below 3e-7; y is clamped to ±126, so that nothing overflows; NaN gives NaN. */
INLINE Floats exp2_fast(Floats y)
{
    const Floats zero = {0};
    const float to_integer = 12582912.0f; /* 1.5 * 2^23: adding it leaves the nearest integer in the low bits */
    y = blend(y > 126.0f, zero + 126.0f, y);
    y = blend(y < -126.0f, zero - 126.0f, y);
    Floats shifted = y + to_integer;
    Floats r = y - (shifted - to_integer); /* -0.5..0.5 */
    /* minimax polynomial on -0.5..0.5, exact at 0: relative error 1.1e-7 */
    Floats p = 0.00132647273f + zero;
    p = p * r + 0.00967151299f;
    p = p * r + 0.0555073358f;
    p = p * r + 0.240222424f;
    p = p * r + 0.693147004f;
    p = p * r + 1.0f;
    return p * (Floats)(((Ints)shifted + 127) << 23);
}
#endif

/* σ(x) = 1 / (1 + e^-x), absolute error below 1.5e-7; NaN gives NaN. */
INLINE Floats sigmoid(Floats x)
{
    return 1.0f / (1.0f + exp2_fast(x * -1.44269504f));
}

/* tanh(x) = 2 σ(2x) - 1, absolute error below 3e-7; NaN gives NaN. */
INLINE Floats hyperbolic_tangent(Floats x)
{
    return 2.0f / (1.0f + exp2_fast(x * -2.88539008f)) - 1.0f;
}

#if defined(__AVX512F__)
INLINE float largest_lane(Floats x)
{
    return _mm512_reduce_max_ps((__m512)x);
}

INLINE float sum_lanes(Floats x)
{
    return _mm512_reduce_add_ps((__m512)x);
}
#else
INLINE float largest_lane(Floats x)
{
    float largest = x[0];
    for (int lane = 1; lane < LANES; lane++)
        largest = x[lane] > largest ? x[lane] : largest;
    return largest;
}

INLINE float sum_lanes(Floats x)
{
    float sum = x[0];
    for (int lane = 1; lane < LANES; lane++)
        sum += x[lane];
    return sum;
}
#endif
