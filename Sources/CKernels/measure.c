// What the machine can do at most: independent multiply-adds in registers, and reading memory. berth-bench divides by these.

#include "lanes.h"
#include "tables.h"

/// Runs the best of the bodies below that the processor has; each counts its own operations.
static double peak_lanes(size_t iterations) {
    float sum[8] = {0};
    for (size_t i = 0; i < iterations; i++)
        for (int j = 0; j < 8; j++) sum[j] = sum[j] * 0.5f + 1.0f;
    volatile float sink = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    (void)sink;
    return (double)iterations * 8 * 2;
}

static uint64_t measure_read_scalar(const void *memory, size_t bytes) {
    const uint64_t *p = memory;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < bytes / 64; i++)
        for (size_t j = 0; j < 8; j++) sum[j] += p[i * 8 + j];
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")))

// Twelve accumulators hide the latency on two ports.
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

#define PEAK(NAME, TARGET, TYPE, ZERO, STEP, OPERATIONS)                                                      \
    static TARGET double NAME(size_t iterations) {                                                            \
        TYPE s0 = ZERO, s1 = ZERO, s2 = ZERO, s3 = ZERO, s4 = ZERO, s5 = ZERO, s6 = ZERO, s7 = ZERO,           \
             s8 = ZERO, s9 = ZERO, s10 = ZERO, s11 = ZERO, a = ZERO, b = ZERO;                                \
        __asm__("" : "+v"(a), "+v"(b));                                                                       \
        for (size_t i = 0; i < iterations; i++) {                                                             \
            TWELVE(STEP)                                                                                      \
            __asm__ volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4), "+v"(s5));                \
            __asm__ volatile("" : "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9), "+v"(s10), "+v"(s11));              \
        }                                                                                                     \
        return (double)iterations * 12 * (OPERATIONS);                                                        \
    }

#define F32_STEP(N) s##N = _mm512_fmadd_ps(a, b, s##N);
#define F32_STEP_AVX2(N) s##N = _mm256_fmadd_ps(a, b, s##N);
#define INT8_STEP(N) s##N = _mm512_dpbusd_epi32(s##N, a, b);
#define BF16_STEP(N) s##N = _mm512_dpbf16_ps(s##N, (__m512bh)a, (__m512bh)b);
PEAK(f32_avx512, AVX512, __m512, _mm512_setzero_ps(), F32_STEP, 32)
PEAK(f32_avx2, __attribute__((target("avx2,fma"))), __m256, _mm256_setzero_ps(), F32_STEP_AVX2, 16)
PEAK(int8_avx512, AVX512, __m512i, _mm512_setzero_si512(), INT8_STEP, 128)

static AVX512 double bf16_avx512(size_t iterations) {
    __m512i a = _mm512_setzero_si512(), b = a;
    __m512 s[12];
    for (int j = 0; j < 12; j++) s[j] = _mm512_setzero_ps();
    __asm__("" : "+v"(a), "+v"(b));
    for (size_t i = 0; i < iterations; i++)
        for (int j = 0; j < 12; j++) {
            s[j] = _mm512_dpbf16_ps(s[j], (__m512bh)a, (__m512bh)b);
            __asm__ volatile("" : "+v"(s[j]));
        }
    return (double)iterations * 12 * 64;
}

static AVX512 uint64_t read_avx512(const void *memory, size_t bytes) {
    // Four stretches at once, as the linear kernels read four panels.
    const char *p = memory;
    size_t quarter = bytes / 4 / 64 * 64;
    __m512i s0 = _mm512_setzero_si512(), s1 = s0, s2 = s0, s3 = s0;
    for (size_t i = 0; i < quarter; i += 64) {
        s0 = _mm512_add_epi64(s0, _mm512_load_si512(p + i));
        s1 = _mm512_add_epi64(s1, _mm512_load_si512(p + quarter + i));
        s2 = _mm512_add_epi64(s2, _mm512_load_si512(p + 2 * quarter + i));
        s3 = _mm512_add_epi64(s3, _mm512_load_si512(p + 3 * quarter + i));
        _mm_prefetch(p + i + 2048, _MM_HINT_T0);
        _mm_prefetch(p + quarter + i + 2048, _MM_HINT_T0);
        _mm_prefetch(p + 2 * quarter + i + 2048, _MM_HINT_T0);
        _mm_prefetch(p + 3 * quarter + i + 2048, _MM_HINT_T0);
    }
    return (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(_mm512_add_epi64(s0, s1), _mm512_add_epi64(s2, s3)));
}

double measure_f32(size_t iterations) {
    return kernel_table("avx512") ? f32_avx512(iterations) : kernel_table("avx2") ? f32_avx2(iterations) : peak_lanes(iterations);
}
double measure_int8(size_t iterations) { return kernel_table("avx512vnni") ? int8_avx512(iterations) : 0; }
double measure_bf16(size_t iterations) { return kernel_table("avx512bf16") ? bf16_avx512(iterations) : 0; }
uint64_t measure_read(const void *memory, size_t bytes) {
    return kernel_table("avx512") ? read_avx512(memory, bytes) : measure_read_scalar(memory, bytes);
}
#else
double measure_f32(size_t iterations) { return peak_lanes(iterations); }
double measure_int8(size_t iterations) { (void)iterations; return 0; }
double measure_bf16(size_t iterations) { (void)iterations; return 0; }
uint64_t measure_read(const void *memory, size_t bytes) { return measure_read_scalar(memory, bytes); }
#endif
