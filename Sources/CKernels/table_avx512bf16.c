// AVX-512 BF16: bf16 weights with bf16 rows.

#if defined(__x86_64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#define DOT_STEP(SUM, LINE, VALUE) "vdpbf16ps %[" VALUE "], %[" LINE "], %[" SUM "]\n\t"
#define DOT_TEMPORARIES
#define DOT_DECLARATIONS
#include "linear_bf16_dot_body.h"

void kernel_fill_avx512bf16(KernelTable *table) {
    table->bf16Rows = 1;
    table->linearBF16 = linear_bf16_dot;
    table->peakBF16 = peak_bf16_avx512;
}
#pragma clang attribute pop

#endif
