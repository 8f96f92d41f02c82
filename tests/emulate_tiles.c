/* An emulator of AMX tiles for processors without AMX: a process that loads it can run code compiled for AMX, slowly.
 *
 * On such a processor every AMX instruction raises SIGILL. The signal handler executes it as Intel's manual defines it
 * (Software Developer's Manual, volume 2), including rounding. So the tests run the same machine code as a processor
 * with AMX. Only the instructions that the kernels use are implemented. If a processor would raise an exception because
 * of an invalid tile configuration or operand, the process prints the violated condition and aborts.
 */
#define _GNU_SOURCE
#include <float.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

enum { TILES = 8, MAX_ROWS = 16, MAX_BYTES = 64 };

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} Config;

static _Thread_local struct {
    Config config;
    uint8_t data[TILES][MAX_ROWS][MAX_BYTES];
} state;

static struct sigaction before;

static void require(bool is_met, const char *what)
{
    if (is_met)
        return;
    const char *parts[] = {"emulated tiles: this must hold: ", what, "\n"};
    for (int n = 0; n < 3; n++)
        if (write(2, parts[n], strlen(parts[n])) < 0)
            break;
    abort();
}
#define REQUIRE(condition) require(condition, #condition)

static void load_config(const Config *from)
{
    Config config;
    memcpy(&config, from, sizeof config);
    REQUIRE(config.palette == 1 && config.start_row == 0);
    for (int n = 0; n < 14; n++)
        REQUIRE(config.reserved[n] == 0);
    for (int tile = 0; tile < 16; tile++) {
        REQUIRE(config.rows[tile] <= MAX_ROWS && config.row_bytes[tile] <= MAX_BYTES);
        REQUIRE((config.rows[tile] == 0) == (config.row_bytes[tile] == 0));
        REQUIRE(tile < TILES || config.rows[tile] == 0);
    }
    memset(&state, 0, sizeof state);
    state.config = config;
}

static void zero(int tile)
{
    REQUIRE(state.config.palette == 1 && state.config.rows[tile] > 0);
    memset(state.data[tile], 0, sizeof state.data[tile]);
}

static void load(int tile, const char *from, int64_t stride)
{
    zero(tile);
    for (int row = 0; row < state.config.rows[tile]; row++)
        memcpy(state.data[tile][row], from + row * stride, state.config.row_bytes[tile]);
}

static void store(int tile, char *to, int64_t stride)
{
    REQUIRE(state.config.palette == 1 && state.config.rows[tile] > 0);
    for (int row = 0; row < state.config.rows[tile]; row++)
        memcpy(to + row * stride, state.data[tile][row], state.config.row_bytes[tile]);
}

/* AMX treats denormal inputs as zero and flushes denormal results to zero. */
static float flush(float x)
{
    return fabsf(x) < FLT_MIN ? copysignf(0.0f, x) : x;
}

static float bf16(const uint8_t *at)
{
    const uint8_t bytes[4] = {0, 0, at[0], at[1]};
    float x;
    memcpy(&x, bytes, sizeof x);
    return flush(x);
}

/* sums += left times right. Even and odd depths have separate accumulators of fused multiply-adds, added at the end. */
static void multiply(int sums, int left, int right)
{
    const Config *config = &state.config;
    REQUIRE(config->palette == 1 && sums != left && sums != right && left != right);
    REQUIRE(config->rows[sums] > 0 && config->rows[left] > 0 && config->rows[right] > 0);
    REQUIRE(config->rows[sums] == config->rows[left] && config->row_bytes[sums] == config->row_bytes[right]);
    REQUIRE(config->row_bytes[left] / 4 == config->rows[right]);
    REQUIRE(config->row_bytes[sums] % 4 == 0 && config->row_bytes[left] % 4 == 0);
    for (int row = 0; row < config->rows[sums]; row++)
        for (int column = 0; column < config->row_bytes[sums] / 4; column++) {
            float parts[2] = {0}, sum;
            for (int k = 0; k < config->rows[right]; k++)
                for (int n = 0; n < 2; n++)
                    parts[n] = flush(fmaf(bf16(&state.data[left][row][k * 4 + n * 2]),
                                          bf16(&state.data[right][k][column * 4 + n * 2]), parts[n]));
            memcpy(&sum, &state.data[sums][row][column * 4], sizeof sum);
            sum = flush(flush(sum) + flush(parts[0] + parts[1]));
            memcpy(&state.data[sums][row][column * 4], &sum, sizeof sum);
        }
}

typedef struct {
    char *address, *end; /* end of the instruction */
    int64_t index;
} Operand;

/* Decode the memory operand that starts at the ModRM byte; `prefix` has the inverted bits R, X and B. */
static Operand decode(const uint8_t *modrm, uint8_t prefix, const greg_t *registers)
{
    static const int names[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    const int mode = *modrm >> 6, form = *modrm & 7, x = prefix & 0x40 ? 0 : 8, b = prefix & 0x20 ? 0 : 8;
    const uint8_t *at = modrm + 1;
    int64_t base = 0, index = 0;
    int32_t offset = 0;
    REQUIRE(mode != 3);
    const int low = form == 4 ? *at & 7 : form;
    const bool has_base = mode != 0 || low != 5;
    if (has_base)
        base = registers[names[low + b]];
    if (form == 4) {
        const int number = (*at >> 3 & 7) + x;
        index = number == 4 ? 0 : registers[names[number]] << (*at >> 6);
        at++;
    }
    if (mode == 1)
        offset = (int8_t)*at++;
    else if (mode == 2 || !has_base) {
        memcpy(&offset, at, sizeof offset);
        at += 4;
    }
    if (!has_base && form == 5)
        base = (int64_t)at; /* relative to the next instruction */
    return (Operand){(char *)base + offset, (char *)at, index};
}

/* Execute one instruction: the VEX prefix C4 and two bytes, opcode, ModRM and so on. False if it is not implemented. */
static bool execute(const uint8_t *code, greg_t *registers)
{
    enum { CONFIG_OR_RELEASE = 0x4978, ZERO = 0x497b, LOAD = 0x4b7b, STORE = 0x4b7a };
    if (code[0] != 0xc4 || (code[1] & 0x1f) != 2)
        return false;
    const int operation = code[3] << 8 | code[2], reg = code[4] >> 3 & 7;
    const bool is_memory = code[4] >> 6 != 3;
    Operand operand = {.end = (char *)code + 5};
    if (is_memory)
        operand = decode(code + 4, code[1], registers);
    if (operation == CONFIG_OR_RELEASE && is_memory)
        load_config((const Config *)(operand.address + operand.index));
    else if (operation == CONFIG_OR_RELEASE)
        memset(&state, 0, sizeof state);
    else if (operation == ZERO && !is_memory)
        zero(reg);
    else if (operation == LOAD && is_memory)
        load(reg, operand.address, operand.index);
    else if (operation == STORE && is_memory)
        store(reg, operand.address, operand.index);
    else if (code[3] == 0x5c && (code[2] & 0x87) == 2)
        multiply(reg, code[4] & 7, ~code[2] >> 3 & 15);
    else
        return false;
    registers[REG_RIP] = (greg_t)operand.end;
    return true;
}

static void on_illegal_instruction(int number, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (!execute((const uint8_t *)registers[REG_RIP], registers))
        sigaction(number, &before, NULL); /* the instruction is retried, and the previous handler gets the signal */
}

__attribute__((constructor)) static void begin(void)
{
    struct sigaction action = {.sa_sigaction = on_illegal_instruction, .sa_flags = SA_SIGINFO};
    sigaction(SIGILL, &action, &before);
}
