/* Detection of the instruction sets of this processor. Compiled for the baseline, so that it runs on any processor. */
#define _GNU_SOURCE

#if defined(__x86_64__)
#define HAS(feature) (__builtin_cpu_init(), __builtin_cpu_supports(feature) != 0)
int lstm_runs_avx2(void) { return HAS("avx2") && HAS("fma"); }
int lstm_runs_avx512(void) { return lstm_runs_avx2() && HAS("avx512f") && HAS("avx512bw") && HAS("avx512vl") && HAS("avx512dq"); }
int lstm_runs_avx512_bf16(void) { return lstm_runs_avx512() && HAS("avx512bf16"); }
#endif

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, /* leaf 7, EDX */
    OSXSAVE = 1 << 27,                      /* leaf 1, ECX */
    TILE_STATE = 3 << 17,                   /* XCR0: the operating system saves tiles and their configuration */
    REQUEST_PERMISSION = 0x1023, TILE_DATA = 18
};

static int has_bits(unsigned value, unsigned bits) { return (value & bits) == bits; }

/* AMX needs support by the processor and by the system, and a permission from Linux, which this function requests. */
int lstm_runs_amx(void)
{
    unsigned a, b, c, d, low, high;
    if (!lstm_runs_avx512_bf16() || !__get_cpuid(1, &a, &b, &c, &d) || !has_bits(c, OSXSAVE))
        return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_bits(d, AMX_BF16 | AMX_TILE))
        return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return has_bits(low, TILE_STATE) && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#elif defined(__x86_64__)
int lstm_runs_amx(void) { return 0; }
#endif

int lstm_runs_portable(void) { return 1; }
