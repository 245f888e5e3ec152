// Linear layers over f32 and bf16 weights with f32 rows.

#pragma once

#include "linear_body.h"
#include "panel_product.h"

LANES void linear_float(const LinearCall *c, PackedFormat format, size_t firstRow, size_t rows, size_t firstPanel, size_t panels,
                        float *sums) {
    TensorElement element = format == WeightF32 ? ElementF32 : ElementBF16;
    size_t panelBytes = packed_panel_bytes(format, c->inputs);
    size_t inputBytes = format == WeightF32 ? 64 : 32;
    const size_t block = KernelRowBlockBytes / 4;
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const char *weights = (const char *)c->weights + (firstPanel + p) * panelBytes;
        for (size_t k = 0; k < c->inputs; k += block) {
            PanelProduct product = {
                .x = (const float *)row_block(c, firstRow, k / block),
                .xStride = block,
                .panels = weights + k * inputBytes,
                .panelBytes = panelBytes,
                .inputs = c->inputs - k < block ? c->inputs - k : block,
                .sums = sums,
                .sumStride = SumStride,
                .fresh = k == 0,
            };
            panel_product(element, &product, rows, count);
        }
        for (size_t i = 0; i < count; i++) finish_panel(c, sums + i * 16, firstRow, rows, firstPanel + p + i, NULL);
    }
}

static void linear_f32(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_float(c, WeightF32, firstRow, rows, firstPanel, panels, scratch);
}
static void linear_bf16(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_float(c, WeightBF16, firstRow, rows, firstPanel, panels, scratch);
}
