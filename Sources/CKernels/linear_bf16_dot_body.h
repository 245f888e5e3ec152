// Linear layers over bf16 weights with vdpbf16ps: two products of bf16 pairs per lane and step, added to an f32 sum. Rows are rounded to bf16.
//
// The including file defines DOT_STEP as linear_avx512_body.h wants it: the instruction, or its emulation for tests.

#pragma once

#include "linear_avx512_body.h"

static void linear_bf16_dot(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_lines(c, WeightBF16, (c->inputs + 1) / 2, 0, firstRow, rows, firstPanel, panels, scratch);
}
