// Linear layers over int8 and int4 weights with vpdpbusd on 256 bits, as processors without AVX-512 have it (AVX-VNNI). The including file
// defines DOT_BYTES(sum, weights, activations), since AVX-512 encodes the same operation in another way.
//
// The scheme of linear_int_vnni_body.h in half the width: sums start from the bits of 1.5·2^23 less the weights' offset, so that they are
// floats once the products are added. A tile is six rows of one panel: twelve of the sixteen registers hold sums.

#pragma once

#include "linear_body.h"
#include <immintrin.h>

enum { RowsPerByteTile = 6 };

LANES void byte_tile(const LinearCall *c, const int bits, size_t row, const uint8_t *panel, float *sums, const int rows) {
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes, groupBytes = bits == 8 ? Int8GroupBytes : Int4GroupBytes;
    const __m256i nibble = _mm256_set1_epi8(15);
    for (int r = 0; r < rows; r++) store16(sums + r * SumStride, all16(0));
    for (size_t g = 0; g < group_count(c->inputs); g++) {
        const ActivationBlock *blocks = activation_block(c, row, g / GroupsPerBlock);
        const size_t inBlock = g % GroupsPerBlock;
        const uint8_t *weights = panel + weight_offset(g, blockBytes, groupBytes);
        __m256i dot[RowsPerByteTile][2];
        for (int r = 0; r < rows; r++) dot[r][0] = dot[r][1] = _mm256_set1_epi32(blocks[r].groups[inBlock].start);
        for (size_t step = 0; step < 8; step++) {
            const uint8_t *line = weights + (bits == 8 ? step : step / 2) * 64;
            __m256i low = _mm256_loadu_si256((const __m256i *)line), high = _mm256_loadu_si256((const __m256i *)line + 1);
            if (bits == 8 || step % 2 == 0) __builtin_prefetch(line + 2048);
            if (bits == 4 && step % 2) low = _mm256_srli_epi16(low, 4), high = _mm256_srli_epi16(high, 4);
            if (bits == 4) low = _mm256_and_si256(low, nibble), high = _mm256_and_si256(high, nibble);
            for (int r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, blocks[r].values + inBlock * KernelGroupInputs + step * 4, 4);
                __m256i value = _mm256_set1_epi32(four);
                dot[r][0] = DOT_BYTES(dot[r][0], low, value);
                dot[r][1] = DOT_BYTES(dot[r][1], high, value);
            }
        }
        for (int i = 0; i < 2; i++) {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(panel + code_offset(g, blockBytes) + i * 8));
            __m256 code = _mm256_cvtepi32_ps(bits == 8 ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes));
            for (int r = 0; r < rows; r++) {
                const ActivationGroup *group = &blocks[r].groups[inBlock];
                float *sum = sums + r * SumStride + i * 8;
                __m256 value = _mm256_fmadd_ps(_mm256_castsi256_ps(dot[r][i]), _mm256_set1_ps(group->scale), _mm256_set1_ps(group->offset));
                _mm256_storeu_ps(sum, _mm256_fmadd_ps(value, code, _mm256_loadu_ps(sum)));
            }
        }
    }
}

LANES void linear_int_bytes(const LinearCall *c, const int bits, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, float *sums) {
    size_t panelBytes = packed_panel_bytes(bits == 8 ? WeightInt8 : WeightInt4, c->inputs);
    for (size_t p = firstPanel; p < firstPanel + panels; p++) {
        const uint8_t *panel = (const uint8_t *)c->weights + p * panelBytes;
        size_t r = 0;
        for (; r + 6 <= rows; r += 6) byte_tile(c, bits, firstRow + r, panel, sums + r * SumStride, 6);
        for (; r + 3 <= rows; r += 3) byte_tile(c, bits, firstRow + r, panel, sums + r * SumStride, 3);
        for (; r < rows; r++) byte_tile(c, bits, firstRow + r, panel, sums + r * SumStride, 1);
        finish_panel(c, sums, firstRow, rows, p, (const float *)panel);
    }
}

static void linear_int8_bytes(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int_bytes(c, 8, firstRow, rows, firstPanel, panels, scratch);
}
static void linear_int4_bytes(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int_bytes(c, 4, firstRow, rows, firstPanel, panels, scratch);
}
