// Linear layers over f32 and bf16 weights with f32 rows and AVX2.
//
// Four panels at a time, inputs in blocks of 64, whose 16 KB of f32 lines stay in the first-level cache while all rows pass. Meanwhile the tiles
// fetch the next block's lines.

#pragma once

#include "linear_body.h"
#include "tile_avx2.h"

enum { InputsPerBlock = KernelRowBlockBytes / 4 };
_Static_assert(ExpandedFloats == InputsPerBlock * 16, "a block fits");
_Static_assert(SumStride == InputsPerBlock, "one stride serves rows and sums");

/// What a call keeps in scratch.
typedef struct {
    float sums[KernelLinearRows * SumStride];
    /// A block's bf16 weights as f32.
    float expanded[PanelsPerPass * ExpandedFloats];
} TileScratch;
_Static_assert(sizeof(TileScratch) <= KernelScratchBytes, "scratch suffices");

LANES void linear_tiles(const LinearCall *c, const int bf16, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, TileScratch *scratch) {
    const size_t panelBytes = packed_panel_bytes(bf16 ? WeightBF16 : WeightF32, c->inputs), blockBytes = InputsPerBlock * (bf16 ? 32 : 64);
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const char *weights = (const char *)c->weights + (firstPanel + p) * panelBytes;
        for (size_t k = 0; k < c->inputs; k += InputsPerBlock) {
            size_t n = c->inputs - k < InputsPerBlock ? c->inputs - k : InputsPerBlock;
            const char *packed = weights + k / InputsPerBlock * blockBytes;
            // The next block of these panels, or the first of the next panels.
            const char *next = k + InputsPerBlock < c->inputs ? packed + blockBytes
                               : p + PanelsPerPass < panels ? weights + PanelsPerPass * panelBytes : NULL;
            TileBlock block = {
                .x = (const float *)row_block(c, firstRow, k / InputsPerBlock),
                .lines = packed,
                .panelBytes = panelBytes,
                .expanded = scratch->expanded,
                .inputs = n,
                .sums = scratch->sums,
                .fresh = k == 0,
                .next = next,
                .nextPanelBytes = panelBytes,
                .nextLines = next && count == PanelsPerPass ? blockBytes / 64 : 0,
            };
            if (bf16) tile_rows_bf16(&block, rows, count, SumStride);
            else tile_rows(&block, 0, rows, count, block.nextLines, SumStride);
        }
        for (size_t i = 0; i < count; i++) finish_panel(c, scratch->sums + i * 16, firstRow, rows, firstPanel + p + i, NULL);
    }
}

static void linear_f32(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_tiles(c, 0, firstRow, rows, firstPanel, panels, scratch);
}
static void linear_bf16(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_tiles(c, 1, firstRow, rows, firstPanel, panels, scratch);
}
