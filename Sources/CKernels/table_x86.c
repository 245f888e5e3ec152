// (vector tables arrive next; until then every x86 table is the scalar one)
#if defined(__x86_64__)
#include "tables.h"
void kernel_fill_avx2(KernelTable *table) { (void)table; }
void kernel_fill_avx512(KernelTable *table) { (void)table; }
void kernel_fill_avx512vnni(KernelTable *table) { (void)table; }
void kernel_fill_avx512bf16(KernelTable *table) { (void)table; }
void kernel_fill_avx512bf16_emulated(KernelTable *table) { (void)table; }
#endif
