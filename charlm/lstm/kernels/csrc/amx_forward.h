/* The forward pass on AMX for widths that are multiples of 32; pipeline.h describes the method. */
#pragma once

#include "pipeline.h"

/* The column of gate g, half h and lane u of a block is unit 16 h + u of gate g; a panel has the units of one gate. */
static void pack_panels_forward(const Sequence *s, const Plan *plan)
{
    const int64_t depths = s->H / CHUNK;
#pragma omp parallel for num_threads((int)plan->num_parts) schedule(static)
    for (int64_t block = 0; block < depths; block++)
        for (int gate = 0; gate < GATES; gate++)
            for (int64_t depth = 0; depth < depths; depth++)
                for (int column = 0; column < CHUNK; column++) {
                    const int64_t piece = (block * GATES + gate) * depths + depth;
                    int32_t *tile = (int32_t *)(plan->packed + (2 * piece + column / LANES) * TILE_BYTES);
                    int32_t pairs[AMX_PAIRS];
                    for (int half = 0; half < 2; half++)
                        store(pairs, half * LANES,
                              load_weights(s, gate, block * CHUNK + column, depth * CHUNK + half * LANES), LANES, true);
                    for (int pair = 0; pair < AMX_PAIRS; pair++)
                        tile[pair * LANES + column % LANES] = pairs[pair];
                }
}

/* Prefetch a step ahead, in the order of memory: for each row of each item, as much as it reads and writes. */
INLINE void prefetch_ahead_forward(const Part *part, Item item, int64_t row)
{
    const Sequence *s = part->s;
    const int64_t row_of_step = (item.step + 1) * s->B + part->first_row, n = item.block * part->rows + row;
    const int64_t gates = row_of_step * GATES * s->H + n * GATES * CHUNK, units = (row_of_step + s->B) * s->H + n * CHUNK;
    if (!s->ids)
        prefetch_lines(s->gates_x, gates, GATES * CHUNK, false);
    prefetch_lines(s->hidden, units, CHUNK, true);
    if (!s->gates)
        return;
    prefetch_lines(s->gates, gates, GATES * CHUNK, true);
    prefetch_lines(s->cells, units, CHUNK, true);
}

/* Compute the next h and c of 32 units of one row. */
INLINE void compute_row_forward(const Part *part, Item item, int64_t row, const float *sums)
{
    const Sequence *s = part->s;
    const int64_t H = s->H, t = item.step, b = part->first_row + row, unit = item.block * CHUNK;
    const int64_t from = gates_x_at(s, t, b) + unit, at = (t * s->B + b) * GATES * H + unit;
    const int64_t after = ((t + 1) * s->B + b) * H + unit;
    float *carry = part->scratch.carry + row * H + unit;
    Cell cells[2];
    prefetch_ahead_forward(part, item, row);
#pragma GCC unroll 2 /* mixes the long chains of operations of both */
    for (int half = 0; half < 2; half++) {
        Floats products[GATES], gates_x[GATES];
        for (int gate = 0; gate < GATES; gate++) {
            products[gate] = load(sums, gate * CHUNK + half * LANES, LANES, false);
            gates_x[gate] = load(s->gates_x, from + gate * H + half * LANES, LANES, true);
        }
        cells[half] = advance_cell(products, gates_x, load(carry, half * LANES, LANES, false));
        store(carry, half * LANES, cells[half].c, LANES, false);
        if (t == s->T - 1) {
            store(s->h_last, b * H + unit + half * LANES, cells[half].h, LANES, false);
            store(s->c_last, b * H + unit + half * LANES, cells[half].c, LANES, false);
        }
    }
    store_line(part->scratch.operands[(t + 1) % 2] + row * part->scratch.stride, unit, cells[0].h, cells[1].h);
    store_line(s->hidden, after, cells[0].h, cells[1].h);
    if (!s->gates)
        return;
    store_line(s->gates, at, cells[0].i, cells[1].i);
    store_line(s->gates, at + H, cells[0].f, cells[1].f);
    store_line(s->gates, at + 2 * H, cells[0].g, cells[1].g);
    store_line(s->gates, at + 3 * H, cells[0].o, cells[1].o);
    store_line(s->cells, after, cells[0].c, cells[1].c);
}

static int run_forward(const Sequence *s)
{
    Plan plan;
    if (!make_plan(&plan, s, s->H, s->H / LANES))
        return 1;
    pack_panels_forward(s, &plan);
#pragma omp parallel for num_threads((int)plan.num_parts) schedule(static, 1)
    for (int64_t n = 0; n < plan.num_parts; n++) {
        const Part part = begin_part(s, &plan, n);
        amx_begin(part.scratch.height);
        begin_forward(s, &plan, &part.scratch, part.rows, part.first_row, true);
        run_pipeline(&part, s->T, GATES, compute_row_forward);
        amx_end();
    }
    free(plan.packed);
    return 0;
}
