/* Text written by a whole model, for one instruction set: in each step all layers, the output layer, and the choice of
 * the next character.
 *
 * The weights are packed once for many calls. A step of a layer is one product: its operand is the layer's input
 * followed by h of the step before. In the first layer a table of W x + b replaces the input, if the vocabulary is small.
 * The threads share the samples; a single sample is shared by a team, in which every member computes some units of each
 * layer, and all members make the same choice. Every sum is added in the same order for any number of samples and
 * threads, so these do not change the text.
 *
 * V, E, H, L, T and B as in sampler.h; P is H rounded up to whole vectors. Units beyond H are zero.
 */
#include "cell.h"
#include "choice.h"
#include "sampler_plan.h"
#include "team.h"

/* One thread's part of the samples, or member of the team. */
typedef struct {
    const Plan *plan;
    Team *team;
    int64_t member, size; /* size: 1 without a team, or after its end */
    int64_t generation;   /* of the barrier */
    int64_t first_row, rows;
    float *shared;        /* memory of the part */
    float *logits, *weights;
    int64_t *ids;         /* (rows,): the last characters */
} Worker;

/* Return one row of the operands of a layer in step t. */
INLINE float *operand(const Worker *w, int64_t l, int64_t t, int64_t row)
{
    const Layer *layer = &w->plan->layers[l];
    return w->shared + layer->operands + (t % 2 * w->plan->rows + row) * layer->stride;
}

INLINE float *carry(const Worker *w, int64_t l, int64_t row)
{
    return w->shared + w->plan->carry + (l * w->plan->rows + row) * w->plan->padded_size;
}

/* Copy the state of the part from or to the arrays of the caller; h is the operand of step t. */
static void copy_state(const Worker *w, int64_t t, bool is_load)
{
    const Sampler *s = w->plan->s;
    const size_t bytes = (size_t)s->H * 4;
    for (int64_t l = 0; l < s->L; l++)
        for (int64_t row = 0; row < w->rows; row++) {
            const int64_t at = (l * s->B + w->first_row + row) * s->H;
            float *h = operand(w, l, t, row) + w->plan->layers[l].input, *c = carry(w, l, row);
            memcpy(is_load ? h : s->h + at, is_load ? s->h + at : h, bytes);
            memcpy(is_load ? c : s->c + at, is_load ? s->c + at : c, bytes);
        }
}

/* Wait for the other members of the team; return whether this worker continues. */
INLINE bool synchronize(Worker *w)
{
    if (w->size == 1 || barrier_wait(w->team, w->member, ++w->generation))
        return true;
    w->size = 1; /* the team has ended: member 0 continues alone */
    return w->member == 0;
}

/* Compute c and h of LANES units of one row from the recurrent products. */
INLINE void step_units(const Worker *w, int64_t l, int64_t t, int64_t row, int64_t block, const Floats *sums)
{
    const Layer *layer = &w->plan->layers[l];
    const int64_t unit = block * LANES, symbol = layer->input == 0 ? w->ids[row] : 0;
    const float *addends = w->plan->s->packed + layer->addends + (symbol * layer->num_blocks + block) * BLOCK;
    float *carried = carry(w, l, row);
    Floats gates_x[GATES];
    for (int gate = 0; gate < GATES; gate++)
        gates_x[gate] = load(addends, gate * LANES, LANES, false);
    const Cell cell = advance_cell(sums, gates_x, load(carried, unit, LANES, false));
    store(carried, unit, cell.c, LANES, false);
    store(operand(w, l, t + 1, row), layer->input + unit, cell.h, LANES, false);
    store(operand(w, l + 1, t, row), unit, cell.h, LANES, false);
}

INLINE void store_logits(const Worker *w, int64_t row, int64_t block, const Floats *sums)
{
    const float *bias = w->plan->s->packed + w->plan->layers[w->plan->s->L].addends;
    for (int64_t vector = 0; vector < VECTORS; vector++) {
        const int64_t at = block * BLOCK + vector * LANES;
        store(w->logits + row * w->plan->padded_vocabulary, at, sums[vector] + load(bias, at, LANES, false), LANES, false);
    }
}

/* Compute step t of one layer, or the logits; a member of a team computes its part of the blocks. */
INLINE void step_layer(const Worker *w, int64_t l, int64_t t, const bool is_output)
{
    const Layer *layer = &w->plan->layers[l];
    const int64_t size = is_output && !w->plan->shares_output ? 1 : w->size, member = size == 1 ? 0 : w->member;
    const float *packed = w->plan->s->packed + layer->packed;
    for (int64_t block = layer->num_blocks * member / size; block < layer->num_blocks * (member + 1) / size; block++)
        for (int64_t first = 0, rows; first < w->rows; first += rows) {
            Floats sums[TILE_ROWS][VECTORS];
            rows = tile_rows(first, w->rows);
            multiply_tile((int)rows, (const char *)operand(w, l, t, first), layer->stride * 4, 4,
                          (const char *)(packed + block * layer->steps * BLOCK), layer->steps, false, sums);
            for (int64_t row = 0; row < rows; row++)
                if (is_output)
                    store_logits(w, first + row, block, sums[row]);
                else
                    step_units(w, l, t, first + row, block, sums[row]);
        }
}

/* Choose the next characters from the logits; false if a logit is not finite. */
INLINE bool choose_characters(const Worker *w, int64_t t)
{
    const Sampler *s = w->plan->s;
    for (int64_t row = 0; row < w->rows; row++) {
        const float *logits = w->logits + row * w->plan->padded_vocabulary;
        const int64_t at = t * s->B + w->first_row + row;
        w->ids[row] = choose(logits, w->weights, s->V, s->temperature, s->top_k, s->top_p, s->uniforms[at]);
        if (w->ids[row] < 0)
            return false;
        if (w->member == 0)
            s->ids[at + s->B] = w->ids[row];
        if (w->member == 0 && s->logits)
            memcpy(s->logits + at * s->V, logits, (size_t)s->V * 4);
    }
    return true;
}

/* Let the embeddings of the last characters be the input of the first layer. */
static void embed(const Worker *w, int64_t t)
{
    const Sampler *s = w->plan->s;
    for (int64_t row = 0; row < w->rows; row++)
        memcpy(operand(w, 0, t, row), s->embedding + w->ids[row] * s->E, (size_t)s->E * 4);
}

/* Compute all steps of a worker; return 0 or NOT_FINITE. */
static int write_part(Worker *w)
{
    const Sampler *s = w->plan->s;
    if (w->member == 0)
        copy_state(w, 0, true);
    for (int64_t t = 0; t < s->T; t++) {
        if (t == 0 || !s->uniforms)
            memcpy(w->ids, s->ids + t * s->B + w->first_row, (size_t)w->rows * sizeof *w->ids);
        if (w->member == 0 && !has_table(s))
            embed(w, t);
        if ((t == 0 || !has_table(s)) && !synchronize(w))
            return 0;
        for (int64_t l = 0; l < s->L; l++) {
            step_layer(w, l, t, false);
            if (!synchronize(w))
                return 0;
        }
        if (!s->uniforms)
            continue;
        step_layer(w, s->L, t, true);
        if (w->plan->shares_output && !synchronize(w))
            return 0;
        if (!choose_characters(w, t))
            return NOT_FINITE;
    }
    if (w->member == 0)
        copy_state(w, s->T, false);
    return 0;
}

/* Compute the n-th part of the samples, or the part of the n-th member of the team. */
static int run_worker(const Plan *plan, Team *team, int64_t n)
{
    const int64_t part = n / team->size, B = plan->s->B, first_row = B * part / plan->num_parts;
    float *workers = plan->memory + plan->num_parts * plan->part_size, *own = workers + n * plan->worker_size;
    Worker w = {
        .plan = plan, .team = team, .member = n % team->size, .size = team->size,
        .first_row = first_row, .rows = B * (part + 1) / plan->num_parts - first_row,
        .shared = plan->memory + part * plan->part_size,
        .weights = own, .ids = (int64_t *)(own + plan->ids),
        .logits = (plan->shares_output ? workers : own) + plan->logits,
    };
    return write_part(&w);
}

/* Compute all parts in parallel; return 0 or NOT_FINITE. */
static int run_workers(const Plan *plan)
{
    int status = 0;
    Team team = make_team(plan->team_size);
#pragma omp parallel num_threads((int)(plan->num_parts * team.size)) reduction(max : status)
    {
#pragma omp single
        if (NUM_THREADS < team.size)
            team.size = 1; /* OpenMP gave fewer threads than members: the barrier would wait for ever */
        for (int64_t n = THREAD; n < plan->num_parts * team.size; n += NUM_THREADS) {
            const int result = run_worker(plan, &team, n);
            status = result > status ? result : status;
        }
    }
    return status;
}

int NAMED(sampler_write_, LSTM_PATH)(const Sampler *s)
{
    Plan *plan = make_plan(s);
    if (!plan)
        return OUT_OF_MEMORY;
    const int64_t num_workers = plan->num_parts * plan->team_size;
    const size_t bytes = (size_t)(plan->num_parts * plan->part_size + num_workers * plan->worker_size) * 4;
    plan->memory = aligned_alloc(ALIGNMENT, bytes);
    if (plan->memory)
        memset(plan->memory, 0, bytes); /* for the padding */
    const int status = plan->memory ? run_workers(plan) : OUT_OF_MEMORY;
    free(plan->memory);
    free(plan);
    return status;
}
