// Advanced SIMD, which every 64-bit Arm processor has: the float family with one panel in flight (24 accumulators of 32 registers), and
// bytes by widening products.

#if defined(__aarch64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"

#define PANELS_IN_FLIGHT 1
#include "float_table_body.h"
#define DOT_PRODUCT 0
#include "linear_int_neon_body.h"

void kernel_fill_neon(KernelTable *table) {
    fill_float_kernels(table);
    table->linearInt8 = linear_int8_neon;
    table->linearInt4 = linear_int4_neon;
    table->peakF32 = table->peakBF16 = peak_f32_neon;
    table->peakInt8 = peak_int8_neon;
    table->peakInt4 = peak_int4_neon;
}

#endif
