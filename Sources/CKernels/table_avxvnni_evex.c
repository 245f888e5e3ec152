// The kernels of table_avxvnni.c with AVX-512's encoding of their one instruction, so that machines that have only that can test them.

#if defined(__x86_64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#define DOT_BYTES(sum, weights, activations) _mm256_dpbusd_epi32(sum, weights, activations)
#include "linear_int_avxvnni_body.h"

void kernel_fill_avxvnni_evex(KernelTable *table) {
    table->linearInt8 = linear_int8_blocks;
    table->linearInt4 = linear_int4_blocks;
    table->peakInt8 = table->peakInt4 = peak_bytes_avxvnni_evex;
}
#pragma clang attribute pop

#endif
