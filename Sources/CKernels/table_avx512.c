// AVX-512 F, BW, DQ, VL: the float family with four panels in flight, and linear layers of their own.

#if defined(__x86_64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#define PANELS_IN_FLIGHT 4
#include "float_table_body.h"
#define DOT_STEP(SUM, LINE, VALUE) "vfmadd231ps %[" VALUE "], %[" LINE "], %[" SUM "]\n\t"
#define DOT_TEMPORARIES
#define DOT_DECLARATIONS
#include "linear_avx512_body.h"

static void linear_f32_lines(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_lines(c, WeightF32, c->inputs, 0, firstRow, rows, firstPanel, panels, scratch);
}

static void linear_bf16_lines(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    // With one tile, reading weights sets the pace, and converting them on the way to the registers costs nothing.
    if (rows <= RowsPerLineTile) linear_bf16(c, firstRow, rows, firstPanel, panels, scratch);
    else linear_lines(c, WeightBF16, c->inputs, 1, firstRow, rows, firstPanel, panels, scratch);
}

void kernel_fill_avx512(KernelTable *table) {
    fill_float_kernels(table);
    table->linearF32 = linear_f32_lines;
    table->linearBF16 = linear_bf16_lines;
    table->peakF32 = table->peakBF16 = peak_f32_avx512;
    table->measureRead = measure_read_avx512;
}
#pragma clang attribute pop

#endif
