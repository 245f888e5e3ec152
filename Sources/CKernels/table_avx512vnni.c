// AVX-512 VNNI: int8 and int4 weights.

#if defined(__x86_64__)

#include "scalar.h"
#include "peaks.h"
#include "tables.h"
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"))), apply_to = function)
#define DOT_STEP(SUM, LINE, VALUE) "vpdpbusd %[" VALUE "], %[" LINE "], %[" SUM "]\n\t"
#define DOT_TEMPORARIES
#define DOT_DECLARATIONS
#include "linear_int_vnni_body.h"

static void linear_int8(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int(c, 8, firstRow, rows, firstPanel, panels, scratch);
}
static void linear_int4(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int(c, 4, firstRow, rows, firstPanel, panels, scratch);
}

void kernel_fill_avx512vnni(KernelTable *table) {
    table->linearInt8 = linear_int8;
    table->linearInt4 = linear_int4;
    table->peakInt8 = table->peakInt4 = peak_bytes_avx512;
}
#pragma clang attribute pop

#endif
