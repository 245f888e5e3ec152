// AVX2 with FMA: the float family with one panel in flight (twelve accumulators of sixteen registers).

#if defined(__x86_64__)

#include "scalar.h"
#include "tables.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define PANELS_IN_FLIGHT 1
#include "float_table_body.h"

void kernel_fill_avx2(KernelTable *table) { fill_float_kernels(table); }
#pragma clang attribute pop

#endif
