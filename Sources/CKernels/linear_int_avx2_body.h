// Linear layers over int8 and int4 weights with AVX2.
//
// vpmaddubsw multiplies unsigned with signed bytes and adds pairs into 16 bits, saturating. For int8 the signs of the activations move to the
// weights, |x| · (±w): two products of at most 127 · 127 fit. For int4 two products are at most 2 · 15 · 127, so a whole group of 32 inputs adds
// up in 16 bits.

#pragma once

#include "linear_body.h"
#include <immintrin.h>

#define ROWS_PER_BLOCK_TILE 4

LANES __m256i broadcast_four(const int8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
    return _mm256_set1_epi32(four);
}

/// Sums of one group for `rows` rows and 16 outputs, offset and all, as integers.
LANES void narrow_dots(const ActivationBlock *block, size_t group, const uint8_t *weights, const int bits, const int rows, __m256i dot[ROWS_PER_BLOCK_TILE][2]) {
    const size_t first = group * KernelGroupInputs;
    const __m256i ones = _mm256_set1_epi16(1), nibble = _mm256_set1_epi8(15), flip = _mm256_set1_epi8((char)0x80);
    if (bits == 8) {
        for (int r = 0; r < rows; r++) dot[r][0] = dot[r][1] = _mm256_setzero_si256();
        for (int step = 0; step < 8; step++) {
            const __m256i *line = (const __m256i *)(weights + step * 64);
            __m256i low = _mm256_xor_si256(_mm256_loadu_si256(line), flip), high = _mm256_xor_si256(_mm256_loadu_si256(line + 1), flip);
            for (int r = 0; r < rows; r++) {
                __m256i v = broadcast_four(block[r].values + first + step * 4), magnitude = _mm256_abs_epi8(v);
                __m256i l = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(low, v));
                __m256i h = _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(high, v));
                dot[r][0] = _mm256_add_epi32(dot[r][0], _mm256_madd_epi16(l, ones));
                dot[r][1] = _mm256_add_epi32(dot[r][1], _mm256_madd_epi16(h, ones));
            }
        }
        return;
    }
    __m256i pairs[ROWS_PER_BLOCK_TILE][2];
    for (int r = 0; r < rows; r++) pairs[r][0] = pairs[r][1] = _mm256_setzero_si256();
    for (int step = 0; step < 8; step++) {
        const __m256i *line = (const __m256i *)(weights + step / 2 * 64);
        __m256i low = _mm256_loadu_si256(line), high = _mm256_loadu_si256(line + 1);
        if (step % 2) low = _mm256_srli_epi16(low, 4), high = _mm256_srli_epi16(high, 4);
        low = _mm256_and_si256(low, nibble);
        high = _mm256_and_si256(high, nibble);
        for (int r = 0; r < rows; r++) {
            __m256i v = broadcast_four(block[r].values + first + step * 4);
            pairs[r][0] = _mm256_add_epi16(pairs[r][0], _mm256_maddubs_epi16(low, v));
            pairs[r][1] = _mm256_add_epi16(pairs[r][1], _mm256_maddubs_epi16(high, v));
        }
    }
    for (int r = 0; r < rows; r++) {
        __m256i start = _mm256_set1_epi32(block[r].groups[group].start - MAGIC_BITS);
        for (int i = 0; i < 2; i++) dot[r][i] = _mm256_add_epi32(start, _mm256_madd_epi16(pairs[r][i], ones));
    }
}

/// A tile of rows over one block of inputs of one panel, whose sums are in memory. Meanwhile, where `fetches`, the lines of the next block.
LANES void block_tile(const ActivationBlock *x, const int bits, const uint8_t *block, size_t groups, float *sums, const int rows,
                       const uint8_t *next, const int fetches) {
    const size_t groupBytes = bits == 8 ? Int8GroupBytes : Int4GroupBytes;
    for (size_t g = 0; g < groups; g++) {
        __m256i dot[ROWS_PER_BLOCK_TILE][2];
        if (fetches)
            for (size_t line = 0; line < groupBytes; line += 64) _mm_prefetch((const char *)next + g * groupBytes + line, _MM_HINT_T0);
        narrow_dots(x, g, block + CodeBytes + g * groupBytes, bits, rows, dot);
        for (int i = 0; i < 2; i++) {
            __m128i bytes = _mm_loadl_epi64((const __m128i *)(block + g * KernelPanelOutputs + i * 8));
            __m256 code = _mm256_cvtepi32_ps(bits == 8 ? _mm256_cvtepu8_epi32(bytes) : _mm256_cvtepi8_epi32(bytes));
            for (int r = 0; r < rows; r++) {
                float *sum = sums + r * SumStride + i * 8;
                __m256 value = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[r][i]), _mm256_set1_ps(x[r].groups[g].scale));
                _mm256_storeu_ps(sum, _mm256_fmadd_ps(value, code, _mm256_loadu_ps(sum)));
            }
        }
    }
}

#include "linear_int_blocks_body.h"
