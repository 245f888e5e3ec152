// The kernels of table_avx512bf16.c with their one new instruction written out, so that machines without it can test them.
// As the manual has it: the odd elements' product is added first, then the even ones', each rounded once. The instruction also takes
// subnormals as zero, which is not imitated.

#if defined(__x86_64__)

#include "scalar.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)

#define DOT_STEP(SUM, LINE, VALUE)                                                                     \
    "vpsrld $16, %[" LINE "], %[t0]\n\tvpslld $16, %[t0], %[t0]\n\t"                                   \
    "vpsrld $16, %[" VALUE "], %[t1]\n\tvpslld $16, %[t1], %[t1]\n\tvfmadd231ps %[t1], %[t0], %[" SUM "]\n\t" \
    "vpslld $16, %[" LINE "], %[t0]\n\tvpslld $16, %[" VALUE "], %[t1]\n\tvfmadd231ps %[t1], %[t0], %[" SUM "]\n\t"
#define DOT_TEMPORARIES , [t0] "=&v"(t0), [t1] "=&v"(t1)
#define DOT_DECLARATIONS __m512 t0, t1;
#include "linear_bf16_dot_body.h"

void kernel_fill_avx512bf16_emulated(KernelTable *table) {
    table->bf16Rows = 1;
    table->linearBF16 = linear_bf16_dot;
}
#pragma clang attribute pop

#endif
