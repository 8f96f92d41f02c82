/* Which of the kernels' instruction sets this processor has; compiled for the baseline, so that asking is always safe. */

#if defined(__x86_64__)
#define HAS(feature) (__builtin_cpu_init(), __builtin_cpu_supports(feature) != 0)
int lstm_runs_avx2(void) { return HAS("avx2") && HAS("fma"); }
int lstm_runs_avx512(void) { return lstm_runs_avx2() && HAS("avx512f") && HAS("avx512bw") && HAS("avx512vl") && HAS("avx512dq"); }
int lstm_runs_avx512_bf16(void) { return lstm_runs_avx512() && HAS("avx512bf16"); }
#endif

int lstm_runs_portable(void) { return 1; }
