/* One LSTM layer over a whole sequence, forward and backward, for one instruction set.
 *
 * The recurrent weights are packed once. Then each thread takes its own rows of the batch through all T steps and never
 * waits for another. In a step, a group of a few rows by a few vectors of hidden units is multiplied and at once taken
 * through its pointwise work, so that the pre-activations never leave the registers and the first-level cache.
 *
 * T time, B batch, H hidden width; P is H rounded up to whole vectors, for the thread's own arrays, where the units
 * beyond H stay zero. See lstm.h for the arrays.
 */
#include "amx.h"
#include "lstm.h"

#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

enum { ALIGNMENT = 64, GATES = 4, MAX_ROWS = HAS_AMX ? 2 * AMX_ROWS : TILE_ROWS };

/* What one thread needs, cut from one allocation behind the packed weights. */
typedef struct {
    char *operands[2]; /* left-hand values of the step before and of this one */
    float *carry;      /* (rows, P): the cell state, or backward its gradient */
    int64_t stride;    /* bytes from one row of operands to the next */
    int64_t height;    /* rows of an AMX tile; operands has whole tiles */
} Scratch;

typedef struct {
    char *packed;
    char *scratch;
    int64_t padded_size, depth, num_blocks, steps, stride, scratch_bytes, num_parts;
} Plan;

INLINE int64_t min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Lay out the memory for products of `depth` values with `num_blocks` blocks of weights; false if there is none. */
static bool make_plan(Plan *plan, const Sequence *s, int64_t depth, int64_t num_blocks)
{
    const bool is_paired = s->is_bf16 && HAS_PAIRS;
    plan->padded_size = round_up(s->H, LANES);
    plan->depth = depth;
    plan->num_blocks = num_blocks;
    plan->steps = is_paired ? depth / 2 : depth;
    /* one line more than needed, or rows a power of two apart would share the sets of the cache */
    plan->stride = round_up(plan->steps * 4, ALIGNMENT) + ALIGNMENT;
    plan->num_parts = min(s->num_threads, s->B);
    const int64_t rows = (s->B + plan->num_parts - 1) / plan->num_parts;
    const int64_t operand_bytes = round_up(rows, amx_height(rows)) * plan->stride;
    plan->scratch_bytes = round_up(2 * operand_bytes + rows * plan->padded_size * 4, ALIGNMENT);
    const int64_t packed_bytes = num_blocks * plan->steps * BLOCK * 4;
    plan->packed = aligned_alloc(ALIGNMENT, (size_t)(packed_bytes + plan->num_parts * plan->scratch_bytes));
    plan->scratch = plan->packed + packed_bytes;
    return plan->packed != NULL;
}

static Scratch take_scratch(const Plan *plan, int64_t part, int64_t rows)
{
    char *start = plan->scratch + part * plan->scratch_bytes;
    const int64_t height = amx_height(rows), bytes = round_up(rows, height) * plan->stride;
    if (HAS_AMX)
        memset(start, 0, (size_t)(2 * bytes)); /* for the rows and the depth that only fill tiles */
    return (Scratch){{start, start + bytes}, (float *)(start + 2 * bytes), plan->stride, height};
}

/* LANES recurrent weights of one row, from column k on; zero outside the matrix. */
INLINE Floats load_weights(const Sequence *s, int gate, int64_t unit, int64_t k)
{
    const int64_t count = unit < s->H ? min(LANES, s->H - k) : 0;
    return count > 0 ? load(s->weight_hh, (gate * s->H + unit) * s->H + k, (int)count, false) : (Floats){0};
}

/* Block j holds LANES units, a vector for each gate. */
static void pack_forward(const Sequence *s, const Plan *plan, bool is_bf16)
{
#pragma omp parallel for num_threads((int)plan->num_parts) schedule(static)
    for (int64_t block = 0; block < plan->num_blocks; block++)
        for (int gate = 0; gate < GATES; gate++)
            for (int64_t k = 0; k < plan->depth; k += LANES)
                for (int lane = 0; lane < LANES; lane++) {
                    const Floats x = load_weights(s, gate, block * LANES + lane, k);
                    pack_column(plan->packed, block, plan->steps, k, gate, lane, x, is_bf16);
                }
}

/* U transposed: depth gate * P + j, column k stands for U[gate * H + j][k]. */
static void pack_backward(const Sequence *s, const Plan *plan, bool is_bf16)
{
    const int64_t P = plan->padded_size, depth_of_step = plan->depth / plan->steps;
#pragma omp parallel for num_threads((int)plan->num_parts) schedule(static)
    for (int64_t block = 0; block < plan->num_blocks; block++)
        for (int64_t step = 0; step < plan->steps; step++)
            for (int vector = 0; vector < VECTORS; vector++) {
                const int64_t k = step * depth_of_step, unit = block * BLOCK + vector * LANES;
                const Floats x = load_weights(s, (int)(k / P), k % P, unit);
                const Floats next = load_weights(s, (int)(k / P), k % P + 1, unit);
                const int64_t place = ((block * plan->steps + step) * VECTORS + vector) * LANES;
                store(plan->packed, place, pair_up(x, next, is_bf16), LANES, false);
            }
}

/* Where the input's share of the gates begins for one place. */
INLINE int64_t gates_x_at(const Sequence *s, int64_t t, int64_t b)
{
    const int64_t place = t * s->B + b;
    return (s->ids ? s->ids[place] : place) * GATES * s->H;
}

/* Take one row and vector of units through a step: pre-activations to h and c. */
INLINE void advance(const Sequence *s, const Scratch *own, const Plan *plan, const Floats *sums, int64_t t, int64_t row,
                    int64_t first_row, int64_t unit, const int count, bool is_bf16)
{
    const int64_t H = s->H, b = first_row + row, from = gates_x_at(s, t, b) + unit;
    float *carry = own->carry + row * plan->padded_size + unit;
    Floats c;
    memcpy(&c, carry, sizeof c);
    const Floats i = sigmoid(sums[0] + load(s->gates_x, from, count, is_bf16));
    const Floats f = sigmoid(sums[1] + load(s->gates_x, from + H, count, is_bf16));
    const Floats g = hyperbolic_tangent(sums[2] + load(s->gates_x, from + 2 * H, count, is_bf16));
    const Floats o = sigmoid(sums[3] + load(s->gates_x, from + 3 * H, count, is_bf16));
    c = f * c + i * g;
    const Floats h = o * hyperbolic_tangent(c);
    memcpy(carry, &c, sizeof c);
    store_operand(own->operands[(t + 1) % 2] + row * own->stride, unit, h, is_bf16);
    const int64_t after = ((t + 1) * s->B + b) * H + unit;
    store(s->hidden, after, h, count, is_bf16);
    if (s->gates) {
        const int64_t at = (t * s->B + b) * GATES * H + unit;
        store(s->gates, at, i, count, is_bf16);
        store(s->gates, at + H, f, count, is_bf16);
        store(s->gates, at + 2 * H, g, count, is_bf16);
        store(s->gates, at + 3 * H, o, count, is_bf16);
        store(s->cells, after, c, count, is_bf16);
    }
    if (t == s->T - 1) {
        store(s->h_last, b * H + unit, h, count, false);
        store(s->c_last, b * H + unit, c, count, false);
    }
}

/* Rows from `row` on that are multiplied together. */
INLINE int64_t group_rows(const Scratch *own, int64_t row, int64_t rows, bool is_bf16)
{
    return is_bf16 && HAS_AMX ? min(rows - row, 2 * own->height) : tile_rows(row, rows);
}

/* The product of a group's operands, the even or the odd steps', with a block of weights. */
INLINE void multiply(const Plan *plan, const Scratch *own, int64_t parity, int64_t row, int64_t group, int64_t block,
                     bool is_bf16, Floats sums[][VECTORS])
{
    const char *operand = own->operands[parity] + row * own->stride;
    const char *packed = plan->packed + block * plan->steps * BLOCK * 4;
    if (is_bf16 && HAS_AMX)
        amx_multiply(group, own->height, operand, own->stride, packed, plan->steps, sums);
    else
        multiply_tile((int)group, operand, own->stride, packed, plan->steps, is_bf16 && HAS_PAIRS, sums);
}

/* Set up the rows' state before the first step, and keep it where backward will look for it. */
INLINE void begin_forward(const Sequence *s, const Plan *plan, const Scratch *own, int64_t rows, int64_t first_row,
                          bool is_bf16)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t unit = 0; unit < plan->padded_size; unit += LANES) {
            const int64_t at = (first_row + row) * s->H + unit;
            const int count = (int)min(LANES, s->H - unit);
            const Floats h = load(s->h_first, at, count, false), c = load(s->c_first, at, count, false);
            store_operand(own->operands[0] + row * own->stride, unit, h, is_bf16);
            store(own->carry, row * plan->padded_size + unit, c, LANES, false);
            store(s->hidden, at, h, count, is_bf16);
            if (s->cells)
                store(s->cells, at, c, count, is_bf16);
        }
}

/* Ask for the gates that pointwise work will read: the product before it takes longer than memory does. */
INLINE void prefetch_gates(const Sequence *s, const void *gates, int64_t at, int64_t count, bool is_bf16)
{
    for (int gate = 0; gate < GATES; gate++)
        prefetch(gates, at + gate * s->H, count, is_bf16);
}

INLINE void advance_group(const Sequence *s, const Scratch *own, const Plan *plan, Floats sums[][VECTORS], int64_t t,
                          int64_t row, int64_t group, int64_t first_row, int64_t unit, const int count, bool is_bf16)
{
    for (int64_t r = 0; r < group; r++)
        advance(s, own, plan, sums[r], t, row + r, first_row, unit, count, is_bf16);
}

INLINE void forward_rows(const Sequence *s, const Plan *plan, int64_t part, bool is_bf16)
{
    const int64_t first_row = s->B * part / plan->num_parts, rows = s->B * (part + 1) / plan->num_parts - first_row;
    const Scratch own = take_scratch(plan, part, rows);
    if (is_bf16 && HAS_AMX)
        amx_begin(own.height);
    begin_forward(s, plan, &own, rows, first_row, is_bf16);
    for (int64_t t = 0; t < s->T; t++)
        for (int64_t block = 0; block < plan->num_blocks; block++)
            for (int64_t row = 0, group; row < rows; row += group) {
                Floats sums[MAX_ROWS][VECTORS];
                group = group_rows(&own, row, rows, is_bf16);
                for (int64_t b = first_row + row; b < first_row + row + group; b++)
                    prefetch_gates(s, s->gates_x, gates_x_at(s, t, b) + block * LANES,
                                   min(LANES, s->H - block * LANES), is_bf16);
                multiply(plan, &own, t % 2, row, group, block, is_bf16, sums);
                const int count = (int)min(LANES, s->H - block * LANES);
                if (count == LANES) /* a constant, which makes the loads and stores whole */
                    advance_group(s, &own, plan, sums, t, row, group, first_row, block * LANES, LANES, is_bf16);
                else
                    advance_group(s, &own, plan, sums, t, row, group, first_row, block * LANES, count, is_bf16);
            }
    if (is_bf16 && HAS_AMX)
        amx_end();
}

/* Take one row and vector of units back through step t: the gradient of h after it to that of its pre-activations. */
INLINE void retreat(const Sequence *s, const Scratch *own, const Plan *plan, Floats grad_h, int64_t t, int64_t row,
                    int64_t first_row, int64_t unit, const int count, bool is_bf16)
{
    const int64_t H = s->H, P = plan->padded_size, b = first_row + row;
    const int64_t at = (t * s->B + b) * GATES * H + unit, before = (t * s->B + b) * H + unit, after = before + s->B * H;
    float *carry = own->carry + row * P + unit;
    Floats grad_c;
    memcpy(&grad_c, carry, sizeof grad_c);
    const Floats i = load(s->gates, at, count, is_bf16), f = load(s->gates, at + H, count, is_bf16);
    const Floats g = load(s->gates, at + 2 * H, count, is_bf16), o = load(s->gates, at + 3 * H, count, is_bf16);
    const Floats c_before = load(s->cells, before, count, is_bf16);
    const Floats tanh_c = hyperbolic_tangent(load(s->cells, after, count, is_bf16));
    if (s->grad_hidden)
        grad_h += load(s->grad_hidden, before, count, is_bf16);
    grad_c += grad_h * o * (1.0f - tanh_c * tanh_c);
    const Floats grads[GATES] = {grad_c * g * (i * (1.0f - i)), grad_c * c_before * (f * (1.0f - f)),
                                 grad_c * i * (1.0f - g * g), grad_h * tanh_c * (o * (1.0f - o))};
    for (int gate = 0; gate < GATES; gate++) {
        store(s->grad_gates_x, at + gate * H, grads[gate], count, is_bf16);
        store_operand(own->operands[t % 2] + row * own->stride, gate * P + unit, grads[gate], is_bf16);
    }
    grad_c *= f;
    memcpy(carry, &grad_c, sizeof grad_c);
    if (t == 0)
        store(s->grad_c_first, b * H + unit, grad_c, count, false);
}

INLINE void begin_backward(const Sequence *s, const Plan *plan, const Scratch *own, int64_t rows, int64_t first_row)
{
    for (int64_t row = 0; row < rows; row++)
        for (int64_t unit = 0; unit < plan->padded_size; unit += LANES) {
            Floats grad_c = {0};
            if (s->grad_c_last)
                grad_c = load(s->grad_c_last, (first_row + row) * s->H + unit, (int)min(LANES, s->H - unit), false);
            store(own->carry, row * plan->padded_size + unit, grad_c, LANES, false);
        }
}

/* The gradient of h after step t, for a group: through the step behind it, or what the caller gave for the last one. */
INLINE void gather_grad_h(const Sequence *s, const Scratch *own, const Plan *plan, int64_t group, int64_t t,
                          int64_t row, int64_t first_row, int64_t block, bool is_bf16, Floats sums[][VECTORS])
{
    if (t < s->T - 1) {
        multiply(plan, own, (t + 1) % 2, row, group, block, is_bf16, sums);
        return;
    }
    for (int64_t r = 0; r < group; r++)
        for (int v = 0; v < VECTORS; v++) {
            const int64_t unit = block * BLOCK + v * LANES, at = (first_row + row + r) * s->H + unit;
            sums[r][v] = (Floats){0};
            if (s->grad_h_last && unit < s->H)
                sums[r][v] = load(s->grad_h_last, at, (int)min(LANES, s->H - unit), false);
        }
}

/* The same for the way back. */
INLINE void prefetch_step(const Sequence *s, int64_t t, int64_t row, int64_t group, int64_t unit, bool is_bf16)
{
    const int64_t count = min(BLOCK, s->H - unit);
    for (int64_t b = row; b < row + group; b++) {
        prefetch_gates(s, s->gates, (t * s->B + b) * GATES * s->H + unit, count, is_bf16);
        prefetch(s->cells, (t * s->B + b) * s->H + unit, count, is_bf16);
        prefetch(s->cells, ((t + 1) * s->B + b) * s->H + unit, count, is_bf16);
        if (s->grad_hidden)
            prefetch(s->grad_hidden, (t * s->B + b) * s->H + unit, count, is_bf16);
    }
}

INLINE void backward_rows(const Sequence *s, const Plan *plan, int64_t part, bool is_bf16)
{
    const int64_t first_row = s->B * part / plan->num_parts, rows = s->B * (part + 1) / plan->num_parts - first_row;
    const Scratch own = take_scratch(plan, part, rows);
    if (is_bf16 && HAS_AMX)
        amx_begin(own.height);
    begin_backward(s, plan, &own, rows, first_row);
    for (int64_t t = s->T - 1; t >= -1; t--)
        for (int64_t block = 0; block < plan->num_blocks; block++)
            for (int64_t row = 0, group; row < rows; row += group) {
                Floats grad_h[MAX_ROWS][VECTORS];
                group = group_rows(&own, row, rows, is_bf16);
                if (t >= 0)
                    prefetch_step(s, t, first_row + row, group, block * BLOCK, is_bf16);
                gather_grad_h(s, &own, plan, group, t, row, first_row, block, is_bf16, grad_h);
                for (int64_t r = 0; r < group; r++)
                    for (int v = 0; v < VECTORS; v++) {
                        const int64_t unit = block * BLOCK + v * LANES;
                        const int count = (int)min(LANES, s->H - unit);
                        if (count <= 0)
                            break;
                        if (t < 0)
                            store(s->grad_h_first, (first_row + row + r) * s->H + unit, grad_h[r][v], count, false);
                        else if (count == LANES)
                            retreat(s, &own, plan, grad_h[r][v], t, row + r, first_row, unit, LANES, is_bf16);
                        else
                            retreat(s, &own, plan, grad_h[r][v], t, row + r, first_row, unit, count, is_bf16);
                    }
            }
    if (is_bf16 && HAS_AMX)
        amx_end();
}

int NAMED(lstm_forward_, LSTM_PATH)(const Sequence *s)
{
    Plan plan;
    const int64_t depth = round_up(s->H, HAS_AMX ? AMX_DEPTH : LANES);
    if (!make_plan(&plan, s, depth, round_up(s->H, LANES) / LANES))
        return 1;
    pack_forward(s, &plan, s->is_bf16);
#pragma omp parallel for num_threads((int)plan.num_parts) schedule(static, 1)
    for (int64_t part = 0; part < plan.num_parts; part++)
        if (s->is_bf16)
            forward_rows(s, &plan, part, true);
        else
            forward_rows(s, &plan, part, false);
    free(plan.packed);
    return 0;
}

int NAMED(lstm_backward_, LSTM_PATH)(const Sequence *s)
{
    Plan plan;
    if (!make_plan(&plan, s, GATES * round_up(s->H, LANES), round_up(s->H, BLOCK) / BLOCK))
        return 1;
    pack_backward(s, &plan, s->is_bf16);
#pragma omp parallel for num_threads((int)plan.num_parts) schedule(static, 1)
    for (int64_t part = 0; part < plan.num_parts; part++)
        if (s->is_bf16)
            backward_rows(s, &plan, part, true);
        else
            backward_rows(s, &plan, part, false);
    free(plan.packed);
    return 0;
}
