// (filled with the vector tables)
#include "layout.h"
double measure_f32(size_t iterations) { (void)iterations; return 0; }
double measure_int8(size_t iterations) { (void)iterations; return 0; }
double measure_bf16(size_t iterations) { (void)iterations; return 0; }
uint64_t measure_read(const void *memory, size_t bytes) {
    const uint64_t *p = memory;
    uint64_t sum[8] = {0};
    for (size_t i = 0; i < bytes / 64; i++)
        for (size_t j = 0; j < 8; j++) sum[j] += p[i * 8 + j];
    for (size_t j = 1; j < 8; j++) sum[0] += sum[j];
    return sum[0];
}
