// Linear layers over bf16 weights with vdpbf16ps: two products of bf16 pairs per lane and step, added to an f32 sum. Rows are rounded to bf16.
//
// The including file defines DOT_BF16(sum, weights, values): the instruction, or its emulation for tests.

#pragma once

#include "linear_body.h"
#include <immintrin.h>

enum { DotRowsPerTile = 6 };

typedef struct {
    const uint8_t *x;
    size_t xStrideBytes;
    const uint8_t *panels;
    size_t panelBytes;
    size_t pairs;
    float *sums;
    int fresh;
    size_t ahead;
} DotProduct;

LANES void dot_tile(const DotProduct *c, const uint8_t *x, float *sums, const int rows, const int count, const int prefetch) {
    __m512 sum[DotRowsPerTile][PanelsPerPass];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) sum[r][p] = c->fresh ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * SumStride + p * 16);
    for (size_t k = 0; k < c->pairs; k++) {
        __m512i w[PanelsPerPass];
        for (int p = 0; p < count; p++) {
            const uint8_t *line = c->panels + p * c->panelBytes + k * 64;
            w[p] = _mm512_loadu_si512(line);
            if (prefetch) _mm_prefetch((const char *)line + c->ahead, _MM_HINT_T0);
        }
        for (int r = 0; r < rows; r++) {
            int32_t two;
            memcpy(&two, x + r * c->xStrideBytes + k * 4, 4);
            __m512i value = _mm512_set1_epi32(two);
            for (int p = 0; p < count; p++) sum[r][p] = DOT_BF16(sum[r][p], w[p], value);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) _mm512_storeu_ps(sums + r * SumStride + p * 16, sum[r][p]);
}

LANES void dot_rows(const DotProduct *c, size_t rows, const int count) {
    const uint8_t *x = c->x;
    float *sums = c->sums;
    int first = 1;
    for (; rows >= DotRowsPerTile; rows -= DotRowsPerTile, first = 0) {
        if (first) dot_tile(c, x, sums, DotRowsPerTile, count, 1);
        else dot_tile(c, x, sums, DotRowsPerTile, count, 0);
        x += DotRowsPerTile * c->xStrideBytes;
        sums += DotRowsPerTile * SumStride;
    }
    switch (rows) {
    case 5: dot_tile(c, x, sums, 5, count, 1); break;
    case 4: dot_tile(c, x, sums, 4, count, 1); break;
    case 3: dot_tile(c, x, sums, 3, count, 1); break;
    case 2: dot_tile(c, x, sums, 2, count, 1); break;
    case 1: dot_tile(c, x, sums, 1, count, 1); break;
    default: break;
    }
}

static void linear_bf16_dot(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    float *sums = scratch;
    size_t panelBytes = packed_panel_bytes(WeightBF16, c->inputs), total = (c->inputs + 1) / 2;
    int streaming = rows <= DotRowsPerTile;
    size_t step = streaming ? total : BlockCacheBytes / PanelsPerPass / 64;
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const uint8_t *weights = (const uint8_t *)c->weights + (firstPanel + p) * panelBytes;
        for (size_t k = 0; k < total; k += step) {
            DotProduct product = {
                .x = (const uint8_t *)c->x + firstRow * c->xStrideBytes + k * 4,
                .xStrideBytes = c->xStrideBytes,
                .panels = weights + k * 64,
                .panelBytes = panelBytes,
                .pairs = total - k < step ? total - k : step,
                .sums = sums,
                .fresh = k == 0,
                .ahead = streaming ? 2048 : step * 64,
            };
            if (count == PanelsPerPass) {
                dot_rows(&product, rows, PanelsPerPass);
                continue;
            }
            for (size_t i = 0; i < count; i++) {
                dot_rows(&product, rows, 1);
                product.panels += panelBytes;
                product.sums += 16;
            }
        }
        for (size_t i = 0; i < count; i++) finish_panel(c, sums + i * 16, firstRow, rows, firstPanel + p + i, NULL);
    }
}
