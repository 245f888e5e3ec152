// The kernels of table_avx512bf16.c with their one new instruction written out, so that machines without it can test them.
// As the manual has it: the odd elements' product is added first, then the even ones', each rounded once. The instruction also takes
// subnormals as zero, which is not imitated.

#if defined(__x86_64__)

#include "scalar.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

ALWAYS_INLINE __m512 emulated_dot(__m512 sum, __m512i weights, __m512i values) {
    const __m512i upper = _mm512_set1_epi32((int)0xFFFF0000);
    __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(weights, upper)), oddValue = _mm512_castsi512_ps(_mm512_and_si512(values, upper));
    __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(weights, 16)), evenValue = _mm512_castsi512_ps(_mm512_slli_epi32(values, 16));
    return _mm512_fmadd_ps(even, evenValue, _mm512_fmadd_ps(odd, oddValue, sum));
}
#define DOT_BF16(sum, weights, values) emulated_dot(sum, weights, values)
#include "linear_bf16_dot_body.h"

void kernel_fill_avx512bf16_emulated(KernelTable *table) {
    table->bf16Rows = 1;
    table->linearBF16 = linear_bf16_dot;
}
#pragma clang attribute pop

#endif
