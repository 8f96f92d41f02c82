/* One LSTM layer forward over a whole sequence, for one instruction set; plan.h says how.
 *
 * A batch of one row, such as a text that is evaluated, cannot be shared out by rows: a team of threads then shares its
 * units, which also leaves each of them only some of the weights to read in every step.
 */
#include "plan.h"
#include "team.h"

enum { LEAST_BLOCKS = 4 }; /* a member's, to be worth the meetings */

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

/* Set up the rows' state before the first step, and keep it where backward will look for it. */
INLINE void begin_forward(const Sequence *s, const Plan *plan, const Scratch *own, int64_t rows, int64_t first_row,
                          bool is_bf16)
{
    clear_operands(own);
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

INLINE void advance_group(const Sequence *s, const Scratch *own, const Plan *plan, Floats sums[][VECTORS], int64_t t,
                          int64_t row, int64_t group, int64_t first_row, int64_t unit, const int count, bool is_bf16)
{
    for (int64_t r = 0; r < group; r++)
        advance(s, own, plan, sums[r], t, row + r, first_row, unit, count, is_bf16);
}

/* All steps of one part of the rows, of which a member of a team takes its share of the units. */
INLINE void forward_rows(const Sequence *s, const Plan *plan, int64_t part, Team *team, int64_t member, bool is_bf16)
{
    const int64_t first_row = s->B * part / plan->num_parts, rows = s->B * (part + 1) / plan->num_parts - first_row;
    int64_t begin = plan->num_blocks * member / team->size, end = plan->num_blocks * (member + 1) / team->size;
    bool is_in_team = team->size > 1;
    const Scratch own = take_scratch(plan, part, rows);
    if (is_bf16 && HAS_AMX)
        amx_begin(own.height);
    if (member == 0)
        begin_forward(s, plan, &own, rows, first_row, is_bf16);
    for (int64_t t = 0; t < s->T; t++) {
        if (is_in_team && !meet(team, member, t + 1)) {
            if (member > 0)
                break;
            is_in_team = false, begin = 0, end = plan->num_blocks;
        }
        for (int64_t block = begin; block < end; block++)
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
    const int64_t most = min(s->num_threads, plan.num_blocks / LEAST_BLOCKS);
    Team team = make_team(s->B == 1 && most > 1 ? most : 1);
#pragma omp parallel num_threads((int)(plan.num_parts * team.size))
    {
#pragma omp single
        if (NUM_THREADS < team.size)
            team.size = 1; /* a member without a thread would be waited for in vain */
        for (int64_t n = THREAD; n < plan.num_parts * team.size; n += NUM_THREADS)
            if (s->is_bf16)
                forward_rows(s, &plan, n / team.size, &team, n % team.size, true);
            else
                forward_rows(s, &plan, n / team.size, &team, n % team.size, false);
    }
    free(plan.packed);
    return 0;
}
