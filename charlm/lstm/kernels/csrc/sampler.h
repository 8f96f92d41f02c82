/* The interface of the sampler: it writes text with a whole model, many characters in one call.
 *
 * V vocabulary, E embedding width, H hidden width, L layers, T characters of a call, B samples. Arrays are contiguous and
 * row-major. The caller owns every array. Arrays must not overlap. Those marked "or null" may be NULL.
 */
#pragma once

#include <stdint.h>

typedef struct {
    int64_t V, E, H, L, T, B;
    int64_t num_threads;    /* at least 1; each takes some of the samples, or some units of a single sample */
    int64_t top_k;          /* choose among so many of the likeliest characters, at least 1 */
    double top_p;           /* choose among the fewest likeliest characters with this probability, above 0 to 1 */
    double temperature;     /* at least 0; 0 takes the likeliest character */
    const float *embedding; /* (V, E) */
    float *packed;          /* sampler_packed_size floats, filled by sampler_pack */
    float *h, *c;           /* (L, B, H): the state before the call, then after it */
    int64_t *ids;           /* (T + 1, B): the character before the first one; the other rows are written */
    const double *uniforms; /* (T, B), in [0, 1); or null: then the first T rows of ids are read and none is written */
    float *logits;          /* (T, B, V): the logits of each character that is written; or null */
} Sampler;

enum { OUT_OF_MEMORY = 1, NOT_FINITE = 2 };

/* The source is compiled once for each instruction set, and each compilation defines these functions with its own
 * suffix. Those that return int return 0, OUT_OF_MEMORY, or NOT_FINITE if a logit is not finite.
 *
 * `weights` are 3 L + 2 pointers: weight_ih (4H, E or H), weight_hh (4H, H) and bias (4H,) of each layer, from the lowest
 * layer up, then the weight (V, H) and the bias (V,) of the output layer. */
#define DECLARE_SAMPLER(path)                                                                                          \
    int64_t sampler_packed_size_##path(const Sampler *sampler);                                                        \
    int sampler_pack_##path(const Sampler *sampler, const float *const *weights);                                      \
    int sampler_write_##path(const Sampler *sampler);

DECLARE_SAMPLER(portable)
DECLARE_SAMPLER(avx2)
DECLARE_SAMPLER(avx512)
DECLARE_SAMPLER(avx512_bf16)
DECLARE_SAMPLER(amx)
