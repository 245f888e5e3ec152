// AVX-512 F, BW, DQ, VL: the float family with four panels in flight.

#if defined(__x86_64__)

#include "scalar.h"
#include "tables.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))), apply_to = function)
#define PANELS_IN_FLIGHT 4
#include "float_table_body.h"

void kernel_fill_avx512(KernelTable *table) { fill_float_kernels(table); }
#pragma clang attribute pop

#endif
