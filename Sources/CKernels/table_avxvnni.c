// AVX-VNNI: int8 and int4 weights on processors that have AVX2 and byte dot products, but not AVX-512.

#if defined(__x86_64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)
#define DOT_BYTES(sum, weights, activations) _mm256_dpbusd_avx_epi32(sum, weights, activations)
#include "linear_int_avxvnni_body.h"

void kernel_fill_avxvnni(KernelTable *table) {
    table->linearInt8 = linear_int8_blocks;
    table->linearInt4 = linear_int4_blocks;
    table->peakInt8 = table->peakInt4 = peak_bytes_avxvnni;
}
#pragma clang attribute pop

#endif
