// AVX-512 BF16: bf16 weights with bf16 rows.

#if defined(__x86_64__)

#include "scalar.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#define DOT_BF16(sum, weights, values) _mm512_dpbf16_ps(sum, (__m512bh)(weights), (__m512bh)(values))
#include "linear_bf16_dot_body.h"

void kernel_fill_avx512bf16(KernelTable *table) {
    table->bf16Rows = 1;
    table->linearBF16 = linear_bf16_dot;
}
#pragma clang attribute pop

#endif
