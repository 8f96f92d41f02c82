/* The forward pass of one LSTM layer over a whole sequence, for one instruction set; plan.h describes the method.
 *
 * A batch of a single row, as in evaluation, cannot be split by rows. Then a team of threads splits the hidden units,
 * so that each thread also reads only a part of the weights in every step.
 */
#include "plan.h"
#include "team.h"

enum { MIN_BLOCKS = 4 }; /* per member of a team: with fewer, the barriers cost more than the team gains */

/* Block j holds the weights of LANES units, with one vector for each gate. */
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

/* Return the index of the input projection of one position. */
INLINE int64_t gates_x_at(const Sequence *s, int64_t t, int64_t b)
{
    const int64_t position = t * s->B + b;
    return (s->ids ? s->ids[position] : position) * GATES * s->H;
}

/* Compute step t for one row and one vector of units: from the recurrent products to h and c. */
INLINE void step_forward(const Sequence *s, const Scratch *scratch, const Plan *plan, const Floats *sums, int64_t t,
                         int64_t row, int64_t first_row, int64_t unit, const int count, bool is_bf16)
{
    const int64_t H = s->H, b = first_row + row, from = gates_x_at(s, t, b) + unit;
    float *carry = scratch->carry + row * plan->padded_size + unit;
    Floats c;
    memcpy(&c, carry, sizeof c);
    Floats gates_x[GATES];
    for (int gate = 0; gate < GATES; gate++)
        gates_x[gate] = load(s->gates_x, from + gate * H, count, is_bf16);
    const Cell cell = advance_cell(sums, gates_x, c);
    memcpy(carry, &cell.c, sizeof c);
    store_operand(scratch->operands[(t + 1) % 2] + row * scratch->stride, unit, cell.h, is_bf16);
    const int64_t after = ((t + 1) * s->B + b) * H + unit;
    store(s->hidden, after, cell.h, count, is_bf16);
    if (s->gates) {
        const int64_t at = (t * s->B + b) * GATES * H + unit;
        store(s->gates, at, cell.i, count, is_bf16);
        store(s->gates, at + H, cell.f, count, is_bf16);
        store(s->gates, at + 2 * H, cell.g, count, is_bf16);
        store(s->gates, at + 3 * H, cell.o, count, is_bf16);
        store(s->cells, after, cell.c, count, is_bf16);
    }
    if (t == s->T - 1) {
        store(s->h_last, b * H + unit, cell.h, count, false);
        store(s->c_last, b * H + unit, cell.c, count, false);
    }
}

/* Load the state before the first step, and save it for the backward pass. */
INLINE void begin_forward(const Sequence *s, const Plan *plan, const Scratch *scratch, int64_t rows, int64_t first_row,
                          bool is_bf16)
{
    clear_operands(scratch);
    for (int64_t row = 0; row < rows; row++)
        for (int64_t unit = 0; unit < plan->padded_size; unit += LANES) {
            const int64_t at = (first_row + row) * s->H + unit;
            const int count = (int)min(LANES, s->H - unit);
            const Floats h = load(s->h_first, at, count, false), c = load(s->c_first, at, count, false);
            store_operand(scratch->operands[0] + row * scratch->stride, unit, h, is_bf16);
            store(scratch->carry, row * plan->padded_size + unit, c, LANES, false);
            store(s->hidden, at, h, count, is_bf16);
            if (s->cells)
                store(s->cells, at, c, count, is_bf16);
        }
}

INLINE void step_group_forward(const Sequence *s, const Scratch *scratch, const Plan *plan, Floats sums[][VECTORS],
                               int64_t t, int64_t row, int64_t group, int64_t first_row, int64_t unit, const int count,
                               bool is_bf16)
{
    for (int64_t r = 0; r < group; r++)
        step_forward(s, scratch, plan, sums[r], t, row + r, first_row, unit, count, is_bf16);
}

/* Compute all steps for one part of the rows; a member of a team computes a part of the units. */
INLINE void forward_rows(const Sequence *s, const Plan *plan, int64_t part, Team *team, int64_t member, bool is_bf16)
{
    const int64_t first_row = s->B * part / plan->num_parts, rows = s->B * (part + 1) / plan->num_parts - first_row;
    int64_t begin = plan->num_blocks * member / team->size, end = plan->num_blocks * (member + 1) / team->size;
    bool is_in_team = team->size > 1;
    const Scratch scratch = get_scratch(plan, part, rows);
    if (is_bf16 && HAS_AMX)
        amx_begin(scratch.height);
    if (member == 0)
        begin_forward(s, plan, &scratch, rows, first_row, is_bf16);
    for (int64_t t = 0; t < s->T; t++) {
        if (is_in_team && !barrier_wait(team, member, t + 1)) {
            if (member > 0)
                break;
            is_in_team = false, begin = 0, end = plan->num_blocks;
        }
        for (int64_t block = begin; block < end; block++)
            for (int64_t row = 0, group; row < rows; row += group) {
                Floats sums[MAX_ROWS][VECTORS];
                group = group_rows(&scratch, row, rows, is_bf16);
                for (int64_t b = first_row + row; b < first_row + row + group; b++)
                    prefetch_gates(s, s->gates_x, gates_x_at(s, t, b) + block * LANES,
                                   min(LANES, s->H - block * LANES), is_bf16);
                multiply(plan, &scratch, t % 2, row, group, block, is_bf16, sums);
                const int count = (int)min(LANES, s->H - block * LANES);
                const int64_t unit = block * LANES;
                if (count == LANES) /* a constant count: whole-vector loads and stores */
                    step_group_forward(s, &scratch, plan, sums, t, row, group, first_row, unit, LANES, is_bf16);
                else
                    step_group_forward(s, &scratch, plan, sums, t, row, group, first_row, unit, count, is_bf16);
            }
    }
    if (is_bf16 && HAS_AMX)
        amx_end();
}

#if HAS_AMX
#include "amx_forward.h"
#endif

int NAMED(lstm_forward_, LSTM_PATH)(const Sequence *s)
{
#if HAS_AMX
    if (is_pipelined(s))
        return run_forward(s);
#endif
    Plan plan;
    const int64_t depth = round_up(s->H, HAS_AMX ? AMX_DEPTH : LANES);
    if (!make_plan(&plan, s, depth, round_up(s->H, LANES) / LANES))
        return 1;
    pack_forward(s, &plan, s->is_bf16);
    const int64_t most = min(s->num_threads, plan.num_blocks / MIN_BLOCKS);
    Team team = make_team(s->B == 1 && most > 1 ? most : 1);
#pragma omp parallel num_threads((int)(plan.num_parts * team.size))
    {
#pragma omp single
        if (NUM_THREADS < team.size)
            team.size = 1; /* OpenMP gave fewer threads than members: the barrier would wait for ever */
        for (int64_t n = THREAD; n < plan.num_parts * team.size; n += NUM_THREADS)
            if (s->is_bf16)
                forward_rows(s, &plan, n / team.size, &team, n % team.size, true);
            else
                forward_rows(s, &plan, n / team.size, &team, n % team.size, false);
    }
    free(plan.packed);
    return 0;
}
