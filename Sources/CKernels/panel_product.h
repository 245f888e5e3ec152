// The inner loop of everything in f32: a few rows times a few panels of 16 outputs, f32 or bf16 (as pairs), summed along the inputs
// into f32. Linear layers use it on weights, attention on pieces of keys and values that became f32.
//
// Each (row, output) has one accumulator and one fused multiply-add per input, in rising order, so blocking does not show in
// the bits. Accumulators start from memory and return to it, which carries them exactly from block to block.

#pragma once

#include "lanes.h"

/// Rows and panels whose accumulators stay in registers: 6 × 4 of AVX-512's 32, 6 × 1 of 16 registers of half the width.
#if defined(PANELS_IN_FLIGHT)
#else
#error "the including table says how many panels its registers hold"
#endif
enum { RowsInFlight = 6 };

typedef struct {
    const float *x;
    size_t xStride;
    const char *panels;
    size_t panelBytes;
    /// Inputs to sum over; with bf16 panels the first is even.
    size_t inputs;
    /// Row r, panel p: sums + r · sumStride + p · 16.
    float *sums;
    size_t sumStride;
    /// Start from zero rather than from `sums`.
    int fresh;
} PanelProduct;

#if defined(PANEL_TILES)
#include "tile_avx2.h"

_Static_assert(KernelHeadDim == KernelAttentionTile, "one stride serves queries, scores and values");

/// Any number of rows, and up to four panels: attention's products. Linear layers have their own (linear_avx2_body.h).
static __attribute__((noinline)) void panel_product_f32(const PanelProduct *c, size_t rows, size_t panels) {
    TileBlock block = {
        .x = c->x, .lines = c->panels, .panelBytes = c->panelBytes, .inputs = c->inputs, .sums = c->sums, .fresh = c->fresh,
    };
    tile_rows(&block, 0, rows, panels, 0, KernelHeadDim);
}
LANES void panel_product(TensorElement element, const PanelProduct *c, size_t rows, size_t panels) {
    (void)element;
    panel_product_f32(c, rows, panels);
}
#else

LANES void prefetch_ahead(const char *p) { __builtin_prefetch(p + 1024, 0, 3); }

LANES void panel_block(const PanelProduct *c, TensorElement element, const float *x, const char *panels, float *sums,
                       const int rows, const int count, const int prefetch) {
    F16 sum[RowsInFlight][4];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) sum[r][p] = c->fresh ? all16(0) : load16(sums + r * c->sumStride + p * 16);
    if (element == ElementF32) {
        for (size_t k = 0; k < c->inputs; k++) {
            F16 w[4];
            for (int p = 0; p < count; p++) {
                w[p] = load16((const float *)(panels + p * c->panelBytes) + k * 16);
                if (prefetch) prefetch_ahead(panels + p * c->panelBytes + k * 64);
            }
            for (int r = 0; r < rows; r++) {
                F16 value = all16(x[r * c->xStride + k]);
                for (int p = 0; p < count; p++) sum[r][p] = fma16(value, w[p], sum[r][p]);
            }
        }
    } else {
        size_t k = 0;
        for (; k + 2 <= c->inputs; k += 2) {
            U16 pair[4];
            for (int p = 0; p < count; p++) {
                memcpy(&pair[p], panels + p * c->panelBytes + k * 32, 64);
                if (prefetch) prefetch_ahead(panels + p * c->panelBytes + k * 32);
            }
            for (int r = 0; r < rows; r++) {
                F16 value = all16(x[r * c->xStride + k]);
                for (int p = 0; p < count; p++) sum[r][p] = fma16(value, (F16)(pair[p] << 16), sum[r][p]);
            }
            for (int r = 0; r < rows; r++) {
                F16 value = all16(x[r * c->xStride + k + 1]);
                for (int p = 0; p < count; p++) sum[r][p] = fma16(value, (F16)(pair[p] & 0xFFFF0000), sum[r][p]);
            }
        }
        if (k < c->inputs)  // an odd last input; its partner is padding
            for (int p = 0; p < count; p++) {
                U16 pair;
                memcpy(&pair, panels + p * c->panelBytes + k * 32, 64);
                for (int r = 0; r < rows; r++) sum[r][p] = fma16(all16(x[r * c->xStride + k]), (F16)(pair << 16), sum[r][p]);
            }
    }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) store16(sums + r * c->sumStride + p * 16, sum[r][p]);
}

/// All rows against `count` panels. The first block of rows brings the panels into the cache, so it alone prefetches: the loop has
/// no instruction to spare.
LANES void panel_rows(const PanelProduct *c, TensorElement element, const char *panels, float *sums, size_t rows, const int count) {
    const float *x = c->x;
    for (int first = 1; rows >= RowsInFlight; rows -= RowsInFlight, first = 0) {
        if (first) panel_block(c, element, x, panels, sums, RowsInFlight, count, 1);
        else panel_block(c, element, x, panels, sums, RowsInFlight, count, 0);
        x += RowsInFlight * c->xStride;
        sums += RowsInFlight * c->sumStride;
    }
    switch (rows) {
    case 5: panel_block(c, element, x, panels, sums, 5, count, 1); break;
    case 4: panel_block(c, element, x, panels, sums, 4, count, 1); break;
    case 3: panel_block(c, element, x, panels, sums, 3, count, 1); break;
    case 2: panel_block(c, element, x, panels, sums, 2, count, 1); break;
    case 1: panel_block(c, element, x, panels, sums, 1, count, 1); break;
    default: break;
    }
}

/// Any number of rows and panels.
static __attribute__((noinline)) void panel_product_f32(const PanelProduct *c, size_t rows, size_t panels) {
    size_t p = 0;
    for (; p + PANELS_IN_FLIGHT <= panels; p += PANELS_IN_FLIGHT)
        panel_rows(c, ElementF32, c->panels + p * c->panelBytes, c->sums + p * 16, rows, PANELS_IN_FLIGHT);
    for (; p < panels; p++) panel_rows(c, ElementF32, c->panels + p * c->panelBytes, c->sums + p * 16, rows, 1);
}
static __attribute__((noinline)) void panel_product_bf16(const PanelProduct *c, size_t rows, size_t panels) {
    size_t p = 0;
    for (; p + PANELS_IN_FLIGHT <= panels; p += PANELS_IN_FLIGHT)
        panel_rows(c, ElementBF16, c->panels + p * c->panelBytes, c->sums + p * 16, rows, PANELS_IN_FLIGHT);
    for (; p < panels; p++) panel_rows(c, ElementBF16, c->panels + p * c->panelBytes, c->sums + p * 16, rows, 1);
}
LANES void panel_product(TensorElement element, const PanelProduct *c, size_t rows, size_t panels) {
    if (element == ElementF32) panel_product_f32(c, rows, panels);
    else panel_product_bf16(c, rows, panels);
}
#endif
