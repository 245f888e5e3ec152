// Advanced SIMD with dot products of bytes (FEAT_DotProd): int8 and int4 weights.

#if defined(__aarch64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)
#define DOT_PRODUCT 1
#include "linear_int_neon_body.h"

void kernel_fill_neondot(KernelTable *table) {
    table->linearInt8 = linear_int8_neon;
    table->linearInt4 = linear_int4_neon;
    table->peakInt8 = table->peakInt4 = peak_bytes_neondot;
}
#pragma clang attribute pop

#endif
