/* The backward pass of one LSTM layer over a whole sequence, for one instruction set; plan.h describes the method. */
#include "plan.h"

/* Return where the products read the gradient of a gate of a unit. On AMX the gates of 32 units lie together. */
INLINE int64_t depth_of(const Plan *plan, int gate, int64_t unit, bool is_bf16)
{
    if (is_bf16 && HAS_AMX)
        return (unit / AMX_DEPTH * GATES + gate) * AMX_DEPTH + unit % AMX_DEPTH;
    return gate * plan->padded_size + unit;
}

/* Pack U transposed: the value at the depth of a gate of unit j and column k is U[gate * H + j][k]. */
static void pack_backward(const Sequence *s, const Plan *plan, bool is_bf16)
{
    const int64_t depth_of_step = plan->depth / plan->steps;
#pragma omp parallel for num_threads((int)plan->num_parts) schedule(static)
    for (int64_t block = 0; block < plan->num_blocks; block++)
        for (int gate = 0; gate < GATES; gate++)
            for (int64_t unit = 0; unit < plan->depth / GATES; unit += depth_of_step)
                for (int vector = 0; vector < VECTORS; vector++) {
                    const int64_t column = block * BLOCK + vector * LANES;
                    const Floats x = load_weights(s, gate, unit, column);
                    const Floats next = load_weights(s, gate, unit + 1, column);
                    const int64_t step = depth_of(plan, gate, unit, is_bf16) / depth_of_step;
                    const int64_t at = ((block * plan->steps + step) * VECTORS + vector) * LANES;
                    store(plan->packed, at, pair_up(x, next, is_bf16), LANES, false);
                }
}

/* Back-propagate through step t for one row and one vector of units: from the gradient of h to those of the
 * pre-activations and of c before the step. */
INLINE void step_backward(const Sequence *s, const Scratch *scratch, const Plan *plan, Floats grad_h, int64_t t,
                          int64_t row, int64_t first_row, int64_t unit, const int count, bool is_bf16)
{
    const int64_t H = s->H, P = plan->padded_size, b = first_row + row;
    const int64_t at = (t * s->B + b) * GATES * H + unit, before = (t * s->B + b) * H + unit, after = before + s->B * H;
    float *carry = scratch->carry + row * P + unit;
    Floats grad_c;
    memcpy(&grad_c, carry, sizeof grad_c);
    const Cell cell = {
        .i = load(s->gates, at, count, is_bf16), .f = load(s->gates, at + H, count, is_bf16),
        .g = load(s->gates, at + 2 * H, count, is_bf16), .o = load(s->gates, at + 3 * H, count, is_bf16),
        .c = load(s->cells, after, count, is_bf16),
    };
    if (s->grad_hidden)
        grad_h += load(s->grad_hidden, before, count, is_bf16);
    Floats grads[GATES];
    grad_c = back_propagate_cell(&cell, load(s->cells, before, count, is_bf16), grad_h, grad_c, grads);
    for (int gate = 0; gate < GATES; gate++) {
        store(s->grad_gates_x, at + gate * H, grads[gate], count, is_bf16);
        store_operand(scratch->operands[t % 2] + row * scratch->stride, depth_of(plan, gate, unit, is_bf16),
                      grads[gate], is_bf16);
    }
    memcpy(carry, &grad_c, sizeof grad_c);
    if (t == 0)
        store(s->grad_c_first, b * H + unit, grad_c, count, false);
}

INLINE void begin_backward(const Sequence *s, const Plan *plan, const Scratch *scratch, int64_t rows, int64_t first_row)
{
    clear_operands(scratch);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t unit = 0; unit < plan->padded_size; unit += LANES) {
            Floats grad_c = {0};
            if (s->grad_c_last)
                grad_c = load(s->grad_c_last, (first_row + row) * s->H + unit, (int)min(LANES, s->H - unit), false);
            store(scratch->carry, row * plan->padded_size + unit, grad_c, LANES, false);
        }
}

/* Compute the gradient of h after step t for a group of rows, without grad_hidden: the contribution of step t + 1, or
 * for the last step the caller's grad_h_last, or zeros. */
INLINE void gather_grad_h(const Sequence *s, const Scratch *scratch, const Plan *plan, int64_t group, int64_t t,
                          int64_t row, int64_t first_row, int64_t block, bool is_bf16, Floats sums[][VECTORS])
{
    if (t < s->T - 1) {
        multiply(plan, scratch, (t + 1) % 2, row, group, block, is_bf16, sums);
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

/* Prefetch what step_backward will read. */
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
    const Scratch scratch = get_scratch(plan, part, rows);
    if (is_bf16 && HAS_AMX)
        amx_begin(scratch.height);
    begin_backward(s, plan, &scratch, rows, first_row);
    for (int64_t t = s->T - 1; t >= -1; t--)
        for (int64_t block = 0; block < plan->num_blocks; block++)
            for (int64_t row = 0, group; row < rows; row += group) {
                Floats grad_h[MAX_ROWS][VECTORS];
                group = group_rows(&scratch, row, rows, is_bf16);
                if (t >= 0)
                    prefetch_step(s, t, first_row + row, group, block * BLOCK, is_bf16);
                gather_grad_h(s, &scratch, plan, group, t, row, first_row, block, is_bf16, grad_h);
                for (int64_t r = 0; r < group; r++)
                    for (int v = 0; v < VECTORS; v++) {
                        const int64_t unit = block * BLOCK + v * LANES;
                        const int count = (int)min(LANES, s->H - unit);
                        if (count <= 0)
                            break;
                        if (t < 0)
                            store(s->grad_h_first, (first_row + row + r) * s->H + unit, grad_h[r][v], count, false);
                        else if (count == LANES)
                            step_backward(s, &scratch, plan, grad_h[r][v], t, row + r, first_row, unit, LANES, is_bf16);
                        else
                            step_backward(s, &scratch, plan, grad_h[r][v], t, row + r, first_row, unit, count, is_bf16);
                    }
            }
    if (is_bf16 && HAS_AMX)
        amx_end();
}

#if HAS_AMX
#include "amx_backward.h"
#endif

int NAMED(lstm_backward_, LSTM_PATH)(const Sequence *s)
{
#if HAS_AMX
    if (is_pipelined(s))
        return run_backward(s);
#endif
    Plan plan;
    const int64_t depth = GATES * round_up(s->H, s->is_bf16 && HAS_AMX ? AMX_DEPTH : LANES);
    if (!make_plan(&plan, s, depth, round_up(s->H, BLOCK) / BLOCK))
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
