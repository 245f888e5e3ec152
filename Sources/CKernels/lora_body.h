// Low-rank adapters on vector lanes.
//
// Shrink: per (row, rank) one vector of sums along the inputs, 16 at a time, added up at the end in a fixed order. Four rows by four
// ranks share their loads. Expand: per (row, column) one sum along the ranks, then added to y.

#pragma once

#include "lanes.h"

LANES void shrink_block(const float *x, size_t xStride, size_t inputs, const void *a, TensorElement element, size_t rank, float scale,
                        float *t, size_t tStride, const int rows, const int ranks) {
    F16 sum[4][8];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < ranks; j++) sum[r][j] = all16(0);
    size_t k = 0;
    for (; k + 16 <= inputs; k += 16) {
        F16 value[4];
        for (int r = 0; r < rows; r++) value[r] = load16(x + r * xStride + k);
        for (int j = 0; j < ranks; j++) {
            F16 w = load_element(a, element, (rank + j) * inputs + k);
            for (int r = 0; r < rows; r++) sum[r][j] = fma16(value[r], w, sum[r][j]);
        }
    }
    if (k < inputs)
        for (int j = 0; j < ranks; j++) {
            F16 w = load_element_first(a, element, (rank + j) * inputs + k, inputs - k);
            for (int r = 0; r < rows; r++) sum[r][j] = fma16(load_first(x + r * xStride + k, inputs - k, 0), w, sum[r][j]);
        }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < ranks; j++) t[r * tStride + rank + j] = sum16(sum[r][j]) * scale;
}

LANES void shrink_rows(const float *x, size_t xStride, size_t rows, size_t inputs, const void *a, TensorElement element,
                       size_t firstRank, size_t ranks, float scale, float *t, size_t tStride) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        size_t j = 0;
        for (; j + 4 <= ranks; j += 4) shrink_block(x + r * xStride, xStride, inputs, a, element, firstRank + j, scale, t + r * tStride, tStride, 4, 4);
        for (; j < ranks; j++) shrink_block(x + r * xStride, xStride, inputs, a, element, firstRank + j, scale, t + r * tStride, tStride, 4, 1);
    }
    for (; r < rows; r++) {
        size_t j = 0;
        for (; j + 8 <= ranks; j += 8) shrink_block(x + r * xStride, xStride, inputs, a, element, firstRank + j, scale, t + r * tStride, tStride, 1, 8);
        for (; j < ranks; j++) shrink_block(x + r * xStride, xStride, inputs, a, element, firstRank + j, scale, t + r * tStride, tStride, 1, 1);
    }
}

static void lora_shrink(const float *x, size_t xStride, size_t rows, size_t inputs, const void *a, TensorElement element,
                        size_t firstRank, size_t ranks, float scale, float *t, size_t tStride) {
    if (element == ElementF32) shrink_rows(x, xStride, rows, inputs, a, ElementF32, firstRank, ranks, scale, t, tStride);
    else if (element == ElementF16) shrink_rows(x, xStride, rows, inputs, a, ElementF16, firstRank, ranks, scale, t, tStride);
    else shrink_rows(x, xStride, rows, inputs, a, ElementBF16, firstRank, ranks, scale, t, tStride);
}

/// `count` vectors of 16 columns, the last with `last` of them.
LANES void expand_block(const float *t, size_t tStride, size_t rank, const void *b, TensorElement element, size_t outputs, size_t column,
                        float *y, size_t yStride, const int rows, const int count, size_t last) {
    F16 sum[4][4];
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < count; v++) sum[r][v] = all16(0);
    for (size_t j = 0; j < rank; j++)
        for (int v = 0; v < count; v++) {
            size_t index = j * outputs + column + v * 16;
            F16 w = last == 16 ? load_element(b, element, index) : load_element_first(b, element, index, last);
            for (int r = 0; r < rows; r++) sum[r][v] = fma16(all16(t[r * tStride + j]), w, sum[r][v]);
        }
    for (int r = 0; r < rows; r++)
        for (int v = 0; v < count; v++) {
            float *p = y + r * yStride + column + v * 16;
            if (last == 16) store16(p, load16(p) + sum[r][v]);
            else store_first(p, load_first(p, last, 0) + sum[r][v], last);
        }
}

LANES void expand_columns(const float *t, size_t tStride, size_t rank, const void *b, TensorElement element, size_t outputs, size_t first,
                          size_t columns, float *y, size_t yStride, const int rows) {
    size_t c = 0;
    for (; c + 64 <= columns; c += 64) expand_block(t, tStride, rank, b, element, outputs, first + c, y, yStride, rows, 4, 16);
    for (; c + 16 <= columns; c += 16) expand_block(t, tStride, rank, b, element, outputs, first + c, y, yStride, rows, 1, 16);
    if (c < columns) expand_block(t, tStride, rank, b, element, outputs, first + c, y, yStride, rows, 1, columns - c);
}

LANES void expand_rows(const float *t, size_t tStride, size_t rows, size_t rank, const void *b, TensorElement element, size_t outputs,
                       size_t first, size_t columns, float *y, size_t yStride) {
    size_t r = 0;
    for (; r + 4 <= rows; r += 4) expand_columns(t + r * tStride, tStride, rank, b, element, outputs, first, columns, y + r * yStride, yStride, 4);
    for (; r < rows; r++) expand_columns(t + r * tStride, tStride, rank, b, element, outputs, first, columns, y + r * yStride, yStride, 1);
}

static void lora_expand(const float *t, size_t tStride, size_t rows, size_t rank, const void *b, TensorElement element, size_t outputs,
                        size_t firstColumn, size_t columns, float *y, size_t yStride) {
    if (element == ElementF32) expand_rows(t, tStride, rows, rank, b, ElementF32, outputs, firstColumn, columns, y, yStride);
    else if (element == ElementF16) expand_rows(t, tStride, rows, rank, b, ElementF16, outputs, firstColumn, columns, y, yStride);
    else expand_rows(t, tStride, rows, rank, b, ElementBF16, outputs, firstColumn, columns, y, yStride);
}
