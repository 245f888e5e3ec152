// The tables that exist, and what makes one. Each file named table_*.c fills one in from the functions of a family.

#pragma once

#include "layout.h"

extern const KernelTable kernel_table_scalar;

#if defined(__x86_64__)
/// Filled by copying the table below and replacing what the instruction set improves.
void kernel_fill_avx2(KernelTable *table);
void kernel_fill_avxvnni(KernelTable *table);
void kernel_fill_avxvnni_evex(KernelTable *table);
void kernel_fill_avx512(KernelTable *table);
void kernel_fill_avx512vnni(KernelTable *table);
void kernel_fill_avx512bf16(KernelTable *table);
void kernel_fill_avx512bf16_emulated(KernelTable *table);
#elif defined(__aarch64__)
void kernel_fill_neon(KernelTable *table);
void kernel_fill_neondot(KernelTable *table);
#endif
