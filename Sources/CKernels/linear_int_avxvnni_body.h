// Linear layers over int8 and int4 weights with vpdpbusd on 256 bits, as processors without AVX-512 have it (AVX-VNNI). The including file
// defines DOT_BYTES(sum, weights, activations), since AVX-512 encodes the same operation in another way.
//
// The scheme of linear_int_vnni_body.h in half the width: sums start from the bits of 1.5·2^23 less the weights' offset, so that they are
// floats once the products are added. A tile is six rows of one panel: twelve of the sixteen registers hold sums.

#pragma once

#include "linear_body.h"
#include <immintrin.h>

#define ROWS_PER_BLOCK_TILE 6

/// A tile of rows over one block of inputs of one panel. Meanwhile, where `fetches`, the lines of the next block.
LANES void block_tile(const ActivationBlock *x, const int bits, const uint8_t *block, size_t groups, float *sums, const int rows, const uint8_t *next,
                      const int fetches) {
    const size_t groupBytes = bits == 8 ? Int8GroupBytes : Int4GroupBytes;
    const __m256i nibble = _mm256_set1_epi8(15);
    for (size_t g = 0; g < groups; g++) {
        const uint8_t *weights = block + CodeBytes + g * groupBytes;
        __m256i dot[ROWS_PER_BLOCK_TILE][2];
        for (int r = 0; r < rows; r++) dot[r][0] = dot[r][1] = _mm256_set1_epi32(x[r].groups[g].start);
        if (fetches)
            for (size_t line = 0; line < groupBytes; line += 64) _mm_prefetch((const char *)next + g * groupBytes + line, _MM_HINT_T0);
        for (size_t step = 0; step < 8; step++) {
            const uint8_t *line = weights + (bits == 8 ? step : step / 2) * 64;
            __m256i low = _mm256_loadu_si256((const __m256i *)line), high = _mm256_loadu_si256((const __m256i *)line + 1);
            if (bits == 4 && step % 2) low = _mm256_srli_epi16(low, 4), high = _mm256_srli_epi16(high, 4);
            if (bits == 4) low = _mm256_and_si256(low, nibble), high = _mm256_and_si256(high, nibble);
            for (int r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, x[r].values + g * KernelGroupInputs + step * 4, 4);
                __m256i value = _mm256_set1_epi32(four);
                dot[r][0] = DOT_BYTES(dot[r][0], low, value);
                dot[r][1] = DOT_BYTES(dot[r][1], high, value);
            }
        }
        for (int i = 0; i < 2; i++) {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(block + g * KernelPanelOutputs + i * 8));
            __m256 code = _mm256_cvtepi32_ps(bits == 8 ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes));
            for (int r = 0; r < rows; r++) {
                const ActivationGroup *group = &x[r].groups[g];
                float *sum = sums + r * SumStride + i * 8;
                __m256 value = _mm256_fmadd_ps(_mm256_castsi256_ps(dot[r][i]), _mm256_set1_ps(group->scale), _mm256_set1_ps(group->offset));
                _mm256_storeu_ps(sum, _mm256_fmadd_ps(value, code, _mm256_loadu_ps(sum)));
            }
        }
    }
}

#include "linear_int_blocks_body.h"
