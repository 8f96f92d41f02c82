/* The weights of a whole model, packed for the sampler, for one instruction set. */
#include "sampler_plan.h"

#include <float.h>

/* Return the row of the weights that a lane of a block multiplies, or -1 if the lane is padding. */
INLINE int64_t weight_row(const Sampler *s, bool is_output, int64_t block, int64_t vector, int64_t lane)
{
    const int64_t symbol = (block * VECTORS + vector) * LANES + lane, unit = block * LANES + lane;
    if (is_output)
        return symbol < s->V ? symbol : -1;
    return unit < s->H ? vector * s->H + unit : -1;
}

/* Pack a matrix of weights, whose operands begin at element `first` of `steps`. */
static void pack_matrix(const Sampler *s, float *packed, const float *weight, int64_t width, int64_t first,
                        int64_t steps, int64_t num_blocks, bool is_output)
{
#pragma omp parallel for num_threads((int)s->num_threads) schedule(static)
    for (int64_t block = 0; block < num_blocks; block++)
        for (int vector = 0; vector < VECTORS; vector++)
            for (int lane = 0; lane < LANES; lane++) {
                const int64_t row = weight_row(s, is_output, block, vector, lane);
                for (int64_t k = 0; k < round_up(width, LANES); k += LANES) {
                    const int64_t count = row < 0 ? 0 : min(LANES, width - k);
                    const Floats x = count > 0 ? load(weight, row * width + k, (int)count, false) : (Floats){0};
                    pack_column(packed, block, steps, first + k, vector, lane, x, false);
                }
            }
}

/* Pack a bias in the order of the sums; that of padding is zero, or makes a logit that is never chosen. */
static void pack_bias(const Sampler *s, float *packed, const float *bias, int64_t num_blocks, bool is_output)
{
    for (int64_t n = 0; n < num_blocks * BLOCK; n++) {
        const int64_t row = weight_row(s, is_output, n / BLOCK, n % BLOCK / LANES, n % LANES);
        packed[n] = row >= 0 ? bias[row] : is_output ? -FLT_MAX : 0.0f;
    }
}

/* Compute the table W x + b of the embeddings x of all symbols, in the order of the sums; false if out of memory. */
static bool fill_table(const Sampler *s, float *table, const float *weight, const float *bias, int64_t num_blocks)
{
    const int64_t width = round_up(s->E, LANES), row_size = num_blocks * BLOCK;
    float *packed = aligned_alloc(ALIGNMENT, (size_t)(num_blocks * width * BLOCK * 4));
    if (!packed)
        return false;
    pack_matrix(s, packed, weight, s->E, 0, width, num_blocks, false);
#pragma omp parallel for num_threads((int)s->num_threads) schedule(static)
    for (int64_t first = 0; first < s->V; first += TILE_ROWS) {
        const int64_t rows = min(TILE_ROWS, s->V - first);
        for (int64_t row = first; row < first + rows; row++)
            pack_bias(s, table + row * row_size, bias, num_blocks, false);
        for (int64_t block = 0; block < num_blocks; block++) {
            Floats sums[TILE_ROWS][VECTORS];
            multiply_tile((int)rows, (const char *)(s->embedding + first * s->E), s->E * 4, 4,
                          (const char *)(packed + block * width * BLOCK), s->E, false, sums);
            for (int64_t row = 0; row < rows; row++)
                for (int64_t vector = 0; vector < VECTORS; vector++) {
                    const int64_t at = (first + row) * row_size + block * BLOCK + vector * LANES;
                    store(table, at, sums[row][vector] + load(table, at, LANES, false), LANES, false);
                }
        }
    }
    free(packed);
    return true;
}

static bool pack_layer(const Plan *plan, int64_t l, const float *const *weights)
{
    const Sampler *s = plan->s;
    const Layer *layer = &plan->layers[l];
    const bool is_output = l == s->L;
    const float *weight_ih = weights[3 * l], *weight_hh = weights[3 * l + 1], *bias = weights[3 * l + 2 - is_output];
    float *packed = s->packed + layer->packed, *addends = s->packed + layer->addends;
    if (!is_output)
        pack_matrix(s, packed, weight_hh, s->H, layer->input, layer->steps, layer->num_blocks, false);
    if (layer->input == 0)
        return fill_table(s, addends, weight_ih, bias, layer->num_blocks);
    pack_matrix(s, packed, weight_ih, l == 0 ? s->E : s->H, 0, layer->steps, layer->num_blocks, is_output);
    pack_bias(s, addends, bias, layer->num_blocks, is_output);
    return true;
}

int64_t NAMED(sampler_packed_size_, LSTM_PATH)(const Sampler *s)
{
    Plan *plan = make_plan(s);
    const int64_t size = plan ? plan->packed_size : OUT_OF_MEMORY; /* no model is that small */
    free(plan);
    return size;
}

int NAMED(sampler_pack_, LSTM_PATH)(const Sampler *s, const float *const *weights)
{
    Plan *plan = make_plan(s);
    bool is_packed = plan != NULL;
    for (int64_t l = 0; l <= s->L && is_packed; l++)
        is_packed = pack_layer(plan, l, weights);
    free(plan);
    return is_packed ? 0 : OUT_OF_MEMORY;
}
