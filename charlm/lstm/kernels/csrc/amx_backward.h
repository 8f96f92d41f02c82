/* The backward pass on AMX for widths that are multiples of 32; pipeline.h describes the method.
 *
 * The depths of the product are those of depth_of: what one block computes are the last depths of the next step, so that
 * only these wait for it.
 */
#pragma once

#include "pipeline.h"

static void pack_panels_backward(const Sequence *s, const Plan *plan)
{
    const int64_t num_pieces = s->H / CHUNK * GATES;
#pragma omp parallel for num_threads((int)plan->num_parts) schedule(static)
    for (int64_t block = 0; block < s->H / CHUNK; block++)
        for (int64_t piece = 0; piece < num_pieces; piece++)
            for (int half = 0; half < 2; half++)
                for (int pair = 0; pair < AMX_PAIRS; pair++) {
                    const int64_t unit = piece / GATES * CHUNK + 2 * pair, column = block * CHUNK + half * LANES;
                    const Floats x = load_weights(s, piece % GATES, unit, column);
                    const Floats next = load_weights(s, piece % GATES, unit + 1, column);
                    char *tile = plan->packed + (2 * (block * num_pieces + piece) + half) * TILE_BYTES;
                    store(tile, pair * LANES, pair_up(x, next, true), LANES, false);
                }
}

/* Prefetch what the next step reads and writes, in the order of memory: a share for each row of each block. */
INLINE void prefetch_ahead_backward(const Part *part, int64_t t, int64_t block, int64_t row)
{
    const Sequence *s = part->s;
    const int64_t row_of_step = (t - 1) * s->B + part->first_row, n = block * part->rows + row;
    const int64_t gates = row_of_step * GATES * s->H + n * GATES * CHUNK, units = row_of_step * s->H + n * CHUNK;
    prefetch_lines(s->gates, gates, GATES * CHUNK, false);
    prefetch_lines(s->cells, units, CHUNK, false);
    if (s->grad_hidden)
        prefetch_lines(s->grad_hidden, units, CHUNK, false);
    prefetch_lines(s->grad_gates_x, gates, GATES * CHUNK, true);
}

/* Back-propagate through step t for 32 units of one row, from their gradients of h without grad_hidden. */
INLINE void back_propagate_row(const Part *part, int64_t t, int64_t block, int64_t row, const float *grad_h_after)
{
    const Sequence *s = part->s;
    const int64_t H = s->H, b = part->first_row + row, unit = block * CHUNK;
    const int64_t at = (t * s->B + b) * GATES * H + unit, before = (t * s->B + b) * H + unit, after = before + s->B * H;
    float *carry = part->scratch.carry + row * H + unit;
    char *operands = part->scratch.operands[(s->T - 1 - t) % 2] + row * part->scratch.stride;
    Floats grads[2][GATES];
    prefetch_ahead_backward(part, t, block, row);
    for (int half = 0; half < 2; half++) {
        const int64_t lane = half * LANES;
        const Cell cell = {
            .i = load(s->gates, at + lane, LANES, true), .f = load(s->gates, at + H + lane, LANES, true),
            .g = load(s->gates, at + 2 * H + lane, LANES, true), .o = load(s->gates, at + 3 * H + lane, LANES, true),
            .c = load(s->cells, after + lane, LANES, true),
        };
        Floats grad_h = load(grad_h_after, lane, LANES, false);
        if (s->grad_hidden)
            grad_h += load(s->grad_hidden, before + lane, LANES, true);
        const Floats grad_c = back_propagate_cell(&cell, load(s->cells, before + lane, LANES, true), grad_h,
                                                  load(carry, lane, LANES, false), grads[half]);
        store(carry, lane, grad_c, LANES, false);
        if (t == 0)
            store(s->grad_c_first, b * H + unit + lane, grad_c, LANES, false);
    }
    for (int gate = 0; gate < GATES; gate++) {
        store_line(s->grad_gates_x, at + gate * H, grads[0][gate], grads[1][gate]);
        store_line(operands, depth_of(part->plan, gate, unit, true), grads[0][gate], grads[1][gate]);
    }
}

/* The last step, whose gradients of h come from the caller. */
INLINE void back_propagate_last_step(const Part *part)
{
    const Sequence *s = part->s;
    const float zeros[CHUNK] = {0};
    for (int64_t block = 0; block < s->H / CHUNK; block++)
        for (int64_t row = 0; row < part->rows; row++) {
            const int64_t at = (part->first_row + row) * s->H + block * CHUNK;
            back_propagate_row(part, s->T - 1, block, row, s->grad_h_last ? s->grad_h_last + at : zeros);
        }
}

/* The steps before it, and after them the gradient of h before the first. */
INLINE void compute_row_backward(const Part *part, Item item, int64_t row, const float *sums)
{
    const Sequence *s = part->s;
    const int64_t t = s->T - 2 - item.step;
    if (t >= 0)
        back_propagate_row(part, t, item.block, row, sums);
    else
        memcpy(s->grad_h_first + (part->first_row + row) * s->H + item.block * CHUNK, sums, CHUNK * sizeof *sums);
}

static int run_backward(const Sequence *s)
{
    Plan plan;
    if (!make_plan(&plan, s, GATES * s->H, round_up(s->H, BLOCK) / BLOCK))
        return 1;
    pack_panels_backward(s, &plan);
#pragma omp parallel for num_threads((int)plan.num_parts) schedule(static, 1)
    for (int64_t n = 0; n < plan.num_parts; n++) {
        const Part part = begin_part(s, &plan, n);
        amx_begin(part.scratch.height);
        begin_backward(s, &plan, &part.scratch, part.rows, part.first_row);
        back_propagate_last_step(&part);
        run_pipeline(&part, s->T, 1, compute_row_backward);
        amx_end();
    }
    free(plan.packed);
    return 0;
}
