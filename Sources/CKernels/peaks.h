// What a table's instructions do at most: independent ones in registers, and reading memory. berth-bench divides by these.
//
// Each runs so many iterations and returns the operations done, two per product that a linear kernel would have made of them.

#pragma once

#include "tables.h"

double peak_f32_portable(size_t iterations);
double peak_integers_portable(size_t iterations);
uint64_t measure_read_portable(const void *memory, size_t bytes);

#if defined(__x86_64__)
double peak_f32_avx2(size_t iterations);
/// Per 32 products vpsignb, vpmaddubsw, vpmaddwd and vpaddd.
double peak_int8_avx2(size_t iterations);
/// Per 32 products vpmaddubsw and vpaddw.
double peak_int4_avx2(size_t iterations);
double peak_bytes_avxvnni(size_t iterations);
/// The same in AVX-512's encoding.
double peak_bytes_avxvnni_evex(size_t iterations);
double peak_f32_avx512(size_t iterations);
double peak_bytes_avx512(size_t iterations);
double peak_bf16_avx512(size_t iterations);
uint64_t measure_read_avx2(const void *memory, size_t bytes);
uint64_t measure_read_avx512(const void *memory, size_t bytes);
#elif defined(__aarch64__)
double peak_f32_neon(size_t iterations);
/// Per 16 products smull, smlal and sadalp.
double peak_int8_neon(size_t iterations);
/// Per 8 products smlal.
double peak_int4_neon(size_t iterations);
double peak_bytes_neondot(size_t iterations);
#endif
