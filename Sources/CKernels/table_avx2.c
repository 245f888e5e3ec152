// AVX2 with FMA: the float family with one panel in flight (twelve accumulators of sixteen registers) in tiles of assembly, and bytes by vpmaddubsw.
// AVX-512 without VNNI uses these bytes too.

#if defined(__x86_64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define PANELS_IN_FLIGHT 1
#define PANEL_TILES 1
#include "float_table_body.h"
#include "linear_int_avx2_body.h"

void kernel_fill_avx2(KernelTable *table) {
    fill_float_kernels(table);
    table->linearInt8 = linear_int8_blocks;
    table->linearInt4 = linear_int4_blocks;
    table->peakF32 = table->peakBF16 = peak_f32_avx2;
    table->peakInt8 = peak_int8_avx2;
    table->peakInt4 = peak_int4_avx2;
    table->measureRead = measure_read_avx2;
}
#pragma clang attribute pop

#endif
