// What all vector linear layers share: four panels at a time, inputs in blocks whose weights stay in the first-level cache while
// the rows pass, sums in scratch, bias and accumulation last.

#pragma once

#include "lanes.h"

enum {
    /// Panels whose sums lie side by side in scratch.
    PanelsPerPass = 4,
    SumStride = PanelsPerPass * KernelPanelOutputs,
};
_Static_assert(KernelLinearRows * SumStride * 4 <= KernelScratchBytes, "sums fit scratch");

/// y = sums (· scale) (+ bias) (+ y) for some rows of one panel.
LANES void finish_panel(const LinearCall *c, const float *sums, size_t firstRow, size_t rows, size_t panel, const float *scale) {
    size_t first = panel * 16, n = c->outputs - first < 16 ? c->outputs - first : 16;
    F16 factor = scale ? load16(scale) : all16(1);
    F16 bias = c->bias ? load_first(c->bias + first, n, 0) : all16(0);
    for (size_t r = 0; r < rows; r++) {
        F16 v = load16(sums + r * SumStride);
        float *y = c->y + (firstRow + r) * c->yStride + first;
        if (scale) v = v * factor;
        if (c->bias) v = v + bias;
        if (n == 16) {
            if (c->accumulate) v = v + load16(y);
            store16(y, v);
        } else {
            if (c->accumulate) v = v + load_first(y, n, 0);
            store_first(y, v, n);
        }
    }
}
