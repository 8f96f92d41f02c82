/* Runs all kernels of one instruction set on arrays of exactly the size that lstm.h states.
 *
 * Usage: run_kernels FILE. Each result becomes a record: an int64, 1 if it was computed from bfloat16, an int64, the number of
 * elements, and these as floats. The inputs are the same on every machine with the same C library. */
#include "lstm.h"
#include "sampler.h"

#include <stdio.h>
#include <stdlib.h>

#define JOIN(a, b) a##b
#define NAMED(name, path) JOIN(name, path)

int NAMED(lstm_runs_, LSTM_PATH)(void);

static FILE *results;

/* Write one result; `is_bf16` tells what its elements are, `is_rounded` whether it was computed from bfloat16. */
static void record(const void *array, int64_t count, int64_t is_bf16, int64_t is_rounded)
{
    fwrite(&is_rounded, sizeof is_rounded, 1, results);
    fwrite(&count, sizeof count, 1, results);
    for (int64_t n = 0; n < count; n++) {
        const uint32_t bits = is_bf16 ? (uint32_t)((const uint16_t *)array)[n] << 16 : ((const uint32_t *)array)[n];
        fwrite(&bits, sizeof bits, 1, results);
    }
}

/* Return `count` small random numbers, valid both as float and as bfloat16. */
static void *draw(int64_t count, int64_t size)
{
    uint16_t *array = malloc((size_t)(count * size));
    for (int64_t n = 0; n < count * size / 2; n++)
        array[n] = (uint16_t)(0x3e00 + rand() % 0x100 + rand() % 2 * 0x8000);
    return array;
}

static void run(int64_t T, int64_t B, int64_t H, int64_t num_threads, int64_t is_bf16, int has_gradients)
{
    const int64_t size = is_bf16 ? 2 : 4, gates = T * B * 4 * H, units = B * H;
    Sequence s = {.T = T, .B = B, .H = H, .num_threads = num_threads, .is_bf16 = is_bf16};
    void *arrays[] = {
        draw(4 * H * H, 4), draw(gates, size), draw(units, 4), draw(units, 4), draw((T + 1) * units, size),
        draw(gates, size), draw((T + 1) * units, size), draw(units, 4), draw(units, 4), draw(T * units, size),
        draw(units, 4), draw(units, 4), draw(gates, size), draw(units, 4), draw(units, 4)};
    s.weight_hh = arrays[0], s.gates_x = arrays[1], s.h_first = arrays[2], s.c_first = arrays[3];
    s.hidden = arrays[4], s.h_last = arrays[7], s.c_last = arrays[8];
    int failed = NAMED(lstm_forward_, LSTM_PATH)(&s); /* inference: gates and cells are null */
    s.gates = arrays[5], s.cells = arrays[6];
    failed |= NAMED(lstm_forward_, LSTM_PATH)(&s);
    if (has_gradients)
        s.grad_hidden = arrays[9], s.grad_h_last = arrays[10], s.grad_c_last = arrays[11];
    s.grad_gates_x = arrays[12], s.grad_h_first = arrays[13], s.grad_c_first = arrays[14];
    failed |= NAMED(lstm_backward_, LSTM_PATH)(&s);
    record(s.hidden, (T + 1) * units, is_bf16, is_bf16);
    record(s.gates, gates, is_bf16, is_bf16);
    record(s.cells, (T + 1) * units, is_bf16, is_bf16);
    record(s.grad_gates_x, gates, is_bf16, is_bf16);
    float *const states[] = {s.h_last, s.c_last, s.grad_h_first, s.grad_c_first};
    for (int n = 0; n < 4; n++)
        record(states[n], units, 0, is_bf16);
    int64_t *ids = malloc((size_t)(T * B) * sizeof *ids);
    for (int64_t n = 0; n < T * B; n++)
        ids[n] = n % 3;
    void *rows = draw(3 * 4 * H, size);
    s.gates_x = rows, s.ids = ids;
    failed |= NAMED(lstm_forward_, LSTM_PATH)(&s);
    record(s.hidden, (T + 1) * units, is_bf16, is_bf16);
    free(rows);
    free(ids);
    if (failed)
        abort();
    for (int n = 0; n < 15; n++)
        free(arrays[n]);
}

static void run_lookup(int64_t num_rows, int64_t width, int64_t num_threads, int64_t is_bf16)
{
    int64_t *ids = malloc((size_t)num_rows * sizeof *ids);
    for (int64_t n = 0; n < num_rows; n++)
        ids[n] = n % 3;
    void *rows = draw(num_rows * width, is_bf16 ? 2 : 4);
    float *sums = draw(3 * width, 4);
    NAMED(lookup_sum_rows_, LSTM_PATH)(ids, rows, sums, num_rows, width, num_threads, is_bf16);
    record(sums, 3 * width, 0, 0);
    free(ids);
    free(rows);
    free(sums);
}

static void run_gradient(int64_t N, int64_t M, int64_t C, int64_t num_threads, int64_t is_bf16)
{
    void *left = draw(N * M, is_bf16 ? 2 : 4), *right = draw(N * C, is_bf16 ? 2 : 4);
    float *result = draw(M * C, 4), *column_sums = draw(M, 4);
    if (NAMED(gradient_add_product_, LSTM_PATH)(left, right, result, column_sums, N, M, C, num_threads, is_bf16))
        abort();
    record(result, M * C, 0, 0), record(column_sums, M, 0, 0);
    free(left);
    free(right);
    free(result);
    free(column_sums);
}

static void run_loss(int64_t N, int64_t V, int64_t num_threads, int64_t is_bf16)
{
    void *logits = draw(N * V, is_bf16 ? 2 : 4), *grad = draw(N * V, is_bf16 ? 2 : 4);
    float *losses = draw(N, 4);
    int64_t *targets = malloc((size_t)N * sizeof *targets);
    for (int64_t n = 0; n < N; n++)
        targets[n] = n % V;
    int failed = NAMED(loss_, LSTM_PATH)(logits, targets, losses, NULL, N, V, num_threads, is_bf16);
    failed |= NAMED(loss_, LSTM_PATH)(logits, targets, losses, grad, N, V, num_threads, is_bf16);
    if (failed)
        abort();
    record(losses, N, 0, is_bf16), record(grad, N * V, is_bf16, is_bf16);
    free(logits);
    free(grad);
    free(losses);
    free(targets);
}

static void run_sampler(int64_t V, int64_t E, int64_t H, int64_t L, int64_t B, int64_t num_threads)
{
    const int64_t T = 4;
    float *weights[3 * 4 + 2];
    for (int64_t l = 0; l < L; l++) {
        weights[3 * l] = draw(4 * H * (l == 0 ? E : H), 4);
        weights[3 * l + 1] = draw(4 * H * H, 4);
        weights[3 * l + 2] = draw(4 * H, 4);
    }
    weights[3 * L] = draw(V * H, 4), weights[3 * L + 1] = draw(V, 4);
    double *uniforms = malloc((size_t)(T * B) * sizeof *uniforms);
    for (int64_t n = 0; n < T * B; n++)
        uniforms[n] = (double)n / (double)(T * B);
    Sampler s = {.V = V, .E = E, .H = H, .L = L, .T = T, .B = B, .num_threads = num_threads, .temperature = 0.7};
    s.top_k = V > 2 ? V / 2 : 1, s.top_p = 0.6;
    float *embedding = draw(V * E, 4);
    s.embedding = embedding, s.h = draw(L * B * H, 4), s.c = draw(L * B * H, 4);
    s.ids = calloc((size_t)((T + 1) * B), sizeof *s.ids);
    s.packed = malloc((size_t)NAMED(sampler_packed_size_, LSTM_PATH)(&s) * 4);
    int failed = NAMED(sampler_pack_, LSTM_PATH)(&s, (const float *const *)weights);
    failed |= NAMED(sampler_write_, LSTM_PATH)(&s); /* reads the first T rows of ids */
    record(s.h, L * B * H, 0, 0), record(s.c, L * B * H, 0, 0);
    s.uniforms = uniforms, s.logits = draw(T * B * V, 4);
    failed |= NAMED(sampler_write_, LSTM_PATH)(&s);
    record(s.logits, B * V, 0, 0); /* those of later characters depend on the first ones */
    s.temperature = 0;
    failed |= NAMED(sampler_write_, LSTM_PATH)(&s);
    if (failed)
        abort();
    for (int64_t n = 0; n < 3 * L + 2; n++)
        free(weights[n]);
    free(uniforms), free(embedding), free(s.h), free(s.c), free(s.ids), free(s.packed), free(s.logits);
}

int main(int argc, char **argv)
{
    const int64_t sizes[] = {1, 15, 31, 33, 64, 100};
    results = argc == 2 ? fopen(argv[1], "wb") : NULL;
    if (!results)
        return 1;
    NAMED(lstm_runs_, LSTM_PATH)(); /* requests the permission to use AMX */
    for (int is_bf16 = 0; is_bf16 < 2; is_bf16++) {
        run(2, 37, 33, 1, is_bf16, 1);  /* enough rows for several groups */
        run(3, 1, 200, 2, is_bf16, 1);  /* enough units for a team of threads */
        run(3, 37, 96, 1, is_bf16, 1);  /* whole blocks of 32 units, for which AMX has code of its own */
        run_gradient(40, 1030, 260, 1, is_bf16); /* enough sums for several parts on AMX */
        for (int n = 0; n < 6; n++)
            for (int64_t B = 1; B < 16; B += 4) {
                run(3, B, sizes[n], 1 + B % 3, is_bf16, B > 1);
                run_gradient(B * 45, sizes[n], sizes[5 - n], 1 + B % 3, is_bf16);
                run_lookup(B, sizes[n], 1 + B % 3, is_bf16);
                run_loss(B, sizes[n], 1 + B % 3, is_bf16);
            }
    }
    for (int n = 0; n < 6; n++)
        for (int64_t B = 1; B < 16; B += 7)
            run_sampler(sizes[n], sizes[(n + 1) % 6], sizes[5 - n], 1 + n % 3, B, 1 + n % 2);
    run_sampler(1100, 7, 33, 2, 3, 2); /* without a table */
    run_sampler(600, 33, 200, 4, 1, 2); /* enough units and logits for a team of threads */
    return fclose(results) != 0;
}
