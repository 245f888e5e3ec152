// Peaks (peaks.h): twelve accumulators hide the latency on two ports.

#include "lanes.h"
#include "peaks.h"

double peak_f32_portable(size_t iterations) {
    float sum[8] = {0};
    for (size_t i = 0; i < iterations; i++)
        for (int j = 0; j < 8; j++) sum[j] = sum[j] * 0.5f + 1.0f;
    volatile float sink = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    (void)sink;
    return (double)iterations * 8 * 2;
}

double peak_integers_portable(size_t iterations) {
    volatile int32_t factor = 3;
    int32_t a = factor, sum[8] = {0};
    for (size_t i = 0; i < iterations; i++)
        for (int j = 0; j < 8; j++) {
            sum[j] += a * (int8_t)i;
            __asm__ volatile("" : "+r"(sum[j]));
        }
    volatile int32_t sink = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
    (void)sink;
    return (double)iterations * 8 * 2;
}

uint64_t measure_read_portable(const void *memory, size_t bytes) {
    const uint64_t *p = memory;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < bytes / 64; i++)
        for (size_t j = 0; j < 8; j++) sum[j] += p[i * 8 + j];
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/// REGISTER: the constraint of a vector register. STEP(N) adds to s<N> what it makes of a and b; OPERATIONS of one step.
#define PEAK(NAME, TARGET, TYPE, REGISTER, STEP, OPERATIONS)                                                                           \
    TARGET double NAME(size_t iterations) {                                                                                            \
        TYPE s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, s4 = {0}, s5 = {0}, s6 = {0}, s7 = {0}, s8 = {0}, s9 = {0}, s10 = {0},            \
             s11 = {0}, a = {0}, b = {0};                                                                                              \
        __asm__("" : "+" REGISTER(a), "+" REGISTER(b));                                                                                \
        for (size_t i = 0; i < iterations; i++) {                                                                                      \
            TWELVE(STEP)                                                                                                               \
            __asm__ volatile("" : "+" REGISTER(s0), "+" REGISTER(s1), "+" REGISTER(s2), "+" REGISTER(s3), "+" REGISTER(s4), "+" REGISTER(s5)); \
            __asm__ volatile("" : "+" REGISTER(s6), "+" REGISTER(s7), "+" REGISTER(s8), "+" REGISTER(s9), "+" REGISTER(s10), "+" REGISTER(s11)); \
        }                                                                                                                              \
        return (double)iterations * 12 * (OPERATIONS);                                                                                 \
    }

#if defined(__x86_64__)
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVXVNNI __attribute__((target("avx2,fma,avxvnni")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16,avx2,fma")))

#define F32_AVX2_STEP(N) s##N = _mm256_fmadd_ps(a, b, s##N);
// An instruction in assembly, lest the compiler make one product of all steps.
#define TIMES_BYTES(RESULT) __asm__ volatile("vpmaddubsw %1, %2, %0" : "=x"(RESULT) : "x"(b), "x"(a));
#define INT8_AVX2_STEP(N)                                                                    \
    {                                                                                        \
        __m256i t;                                                                           \
        __asm__ volatile("vpsignb %2, %1, %0\n\tvpmaddubsw %0, %2, %0\n\tvpmaddwd %2, %0, %0" \
                         : "=&x"(t) : "x"(b), "x"(a));                                       \
        s##N = _mm256_add_epi32(s##N, t);                                                    \
    }
#define INT4_AVX2_STEP(N)                   \
    {                                       \
        __m256i t;                          \
        TIMES_BYTES(t)                      \
        s##N = _mm256_add_epi16(s##N, t);   \
    }
#define BYTES_AVXVNNI_STEP(N) s##N = _mm256_dpbusd_avx_epi32(s##N, a, b);
#define BYTES_EVEX_STEP(N) s##N = _mm256_dpbusd_epi32(s##N, a, b);
#define F32_AVX512_STEP(N) s##N = _mm512_fmadd_ps(a, b, s##N);
#define BYTES_AVX512_STEP(N) s##N = _mm512_dpbusd_epi32(s##N, a, b);
#define BF16_AVX512_STEP(N) s##N = _mm512_dpbf16_ps(s##N, (__m512bh)a, (__m512bh)b);
PEAK(peak_f32_avx2, AVX2, __m256, "x", F32_AVX2_STEP, 16)
PEAK(peak_int8_avx2, AVX2, __m256i, "x", INT8_AVX2_STEP, 64)
PEAK(peak_int4_avx2, AVX2, __m256i, "x", INT4_AVX2_STEP, 64)
PEAK(peak_bytes_avxvnni, AVXVNNI, __m256i, "x", BYTES_AVXVNNI_STEP, 64)
PEAK(peak_bytes_avxvnni_evex, AVX512, __m256i, "v", BYTES_EVEX_STEP, 64)
PEAK(peak_f32_avx512, AVX512, __m512, "v", F32_AVX512_STEP, 32)
PEAK(peak_bytes_avx512, AVX512, __m512i, "v", BYTES_AVX512_STEP, 128)
PEAK(peak_bf16_avx512, AVX512, __m512, "v", BF16_AVX512_STEP, 64)

// Four stretches at once, as the linear kernels read four panels.
#define READ(NAME, TARGET, TYPE, LANES64, LOAD, ADD)                                                                    \
    TARGET uint64_t NAME(const void *memory, size_t bytes) {                                                            \
        const char *p = memory;                                                                                         \
        size_t quarter = bytes / 4 / 64 * 64;                                                                           \
        TYPE s[4] = {0};                                                                                                \
        for (size_t i = 0; i < quarter; i += 64)                                                                        \
            for (size_t j = 0; j < 4; j++) {                                                                            \
                for (size_t at = 0; at < 64; at += sizeof(TYPE)) s[j] = ADD(s[j], LOAD((const void *)(p + j * quarter + i + at))); \
                _mm_prefetch(p + j * quarter + i + 2048, _MM_HINT_T0);                                                  \
            }                                                                                                           \
        uint64_t lanes[LANES64], total = 0;                                                                             \
        s[0] = ADD(ADD(s[0], s[1]), ADD(s[2], s[3]));                                                                   \
        memcpy(lanes, &s[0], sizeof lanes);                                                                             \
        for (int i = 0; i < LANES64; i++) total += lanes[i];                                                            \
        return total;                                                                                                   \
    }
READ(measure_read_avx2, AVX2, __m256i, 4, _mm256_load_si256, _mm256_add_epi64)
READ(measure_read_avx512, AVX512, __m512i, 8, _mm512_load_si512, _mm512_add_epi64)

#elif defined(__aarch64__)
#include <arm_neon.h>

#define F32_STEP(N) s##N = vfmaq_f32(s##N, a, b);
#define INT8_STEP(N)                                                                    \
    {                                                                                   \
        int16x8_t t;                                                                    \
        __asm__ volatile("smull %0.8h, %1.8b, %2.8b\n\tsmlal2 %0.8h, %1.16b, %2.16b"    \
                         : "=&w"(t) : "w"(a), "w"(b));                                  \
        s##N = vpadalq_s16(s##N, t);                                                    \
    }
#define DOT_STEP(N) s##N = vdotq_s32(s##N, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b));
PEAK(peak_f32_neon, , float32x4_t, "w", F32_STEP, 8)
PEAK(peak_int8_neon, , int32x4_t, "w", INT8_STEP, 32)
#define INT4_STEP(N) s##N = vmlal_s8(s##N, vget_low_s8(vreinterpretq_s8_s16(a)), vget_low_s8(vreinterpretq_s8_s16(b)));
PEAK(peak_int4_neon, , int16x8_t, "w", INT4_STEP, 16)
PEAK(peak_bytes_neondot, __attribute__((target("dotprod"))), int32x4_t, "w", DOT_STEP, 32)
#endif
