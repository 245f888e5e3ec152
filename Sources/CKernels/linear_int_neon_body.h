// Linear layers over int8 and int4 weights with Arm's Advanced SIMD. The including file says with DOT_PRODUCT whether the processor adds four
// products of signed bytes to a 32-bit sum in one instruction (sdot).
//
// Without it, products are 16 bits wide. For int8 two of at most 127 · 127 fit before they are widened; for int4 a whole group of 32 inputs
// adds up in 16 bits (8 · 15 · 127 per lane). Sums of integers are exact either way, so both give the same bits.
//
// int8 weights become signed by flipping their upper bit, and need no offset; int4 weights stay unsigned, and the sum starts
// from less the offset times the activations' sum.

#pragma once

#include "linear_body.h"
#include <arm_neon.h>

/// Rows whose integer sums stay in registers: four registers each, eight where sums of pairs are kept apart.
#if DOT_PRODUCT
enum { RowsPerNeonTile = 4 };
#else
enum { RowsPerNeonTile = 2 };
#endif

/// Line `step` of a group, four inputs of 16 outputs, as signed bytes.
LANES void neon_line(const uint8_t *weights, const int bits, size_t step, int8x16_t line[4]) {
    for (int i = 0; i < 4; i++) {
        uint8x16_t w = vld1q_u8(weights + (bits == 8 ? step : step / 2) * 64 + i * 16);
        if (bits == 8) w = veorq_u8(w, vdupq_n_u8(0x80));
        else w = step % 2 ? vshrq_n_u8(w, 4) : vandq_u8(w, vdupq_n_u8(15));
        line[i] = vreinterpretq_s8_u8(w);
    }
}

/// Adds the group of inputs from `first` in a block, for `rows` rows: dot[r][i] are outputs 4·i..<4·i + 4.
LANES void neon_dots(const ActivationBlock *blocks, size_t first, const uint8_t *weights, const int bits, const int rows, int32x4_t dot[RowsPerNeonTile][4]) {
#if DOT_PRODUCT
    for (size_t half = 0; half < 2; half++) {
        int8x16_t values[RowsPerNeonTile];
        for (int r = 0; r < rows; r++) values[r] = vld1q_s8(blocks[r].values + first + half * 16);
#define DOT_STEP(LANE)                                                                                                \
    do {                                                                                                              \
        int8x16_t line[4];                                                                                            \
        neon_line(weights, bits, half * 4 + LANE, line);                                                              \
        for (int r = 0; r < rows; r++)                                                                                \
            for (int i = 0; i < 4; i++) dot[r][i] = vdotq_laneq_s32(dot[r][i], line[i], values[r], LANE);             \
    } while (0)
        DOT_STEP(0);
        DOT_STEP(1);
        DOT_STEP(2);
        DOT_STEP(3);
#undef DOT_STEP
    }
#else
    // Lanes of `pairs` and `wide` hold parts of a sum: in each vector two neighbours belong to one output.
    int32x4_t pairs[RowsPerNeonTile][8];
    int16x8_t wide[RowsPerNeonTile][8];
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 8; i++) pairs[r][i] = vdupq_n_s32(0);
    const size_t steps = bits == 8 ? 2 : 8;  // before products outgrow 16 bits
    for (size_t step = 0; step < 8; step++) {
        int8x16_t line[4];
        neon_line(weights, bits, step, line);
        for (int r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, blocks[r].values + first + step * 4, 4);
            int8x16_t value = vreinterpretq_s8_s32(vdupq_n_s32(four));
            for (int i = 0; i < 4; i++) {
                if (step % steps == 0) {
                    wide[r][2 * i] = vmull_s8(vget_low_s8(line[i]), vget_low_s8(value));
                    wide[r][2 * i + 1] = vmull_high_s8(line[i], value);
                } else {
                    wide[r][2 * i] = vmlal_s8(wide[r][2 * i], vget_low_s8(line[i]), vget_low_s8(value));
                    wide[r][2 * i + 1] = vmlal_high_s8(wide[r][2 * i + 1], line[i], value);
                }
            }
            if (step % steps == steps - 1)
                for (int i = 0; i < 8; i++) pairs[r][i] = vpadalq_s16(pairs[r][i], wide[r][i]);
        }
    }
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 4; i++) dot[r][i] = vaddq_s32(dot[r][i], vpaddq_s32(pairs[r][2 * i], pairs[r][2 * i + 1]));
#endif
}

/// Some rows of one panel.
LANES void neon_tile(const LinearCall *c, const int bits, size_t row, const uint8_t *panel, float *sums, const int rows) {
    typedef uint8_t Codes __attribute__((vector_size(16)));
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes, groupBytes = bits == 8 ? Int8GroupBytes : Int4GroupBytes;
    for (int r = 0; r < rows; r++) store16(sums + r * SumStride, all16(0));
    for (size_t g = 0; g < group_count(c->inputs); g++) {
        const ActivationBlock *blocks = activation_block(c, row, g / GroupsPerBlock);
        const size_t inBlock = g % GroupsPerBlock;
        const uint8_t *weights = panel + weight_offset(g, blockBytes, groupBytes);
        int32x4_t dot[RowsPerNeonTile][4];
        for (size_t line = 0; line < groupBytes; line += 64) __builtin_prefetch(weights + 2048 + line);
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < 4; i++) dot[r][i] = vdupq_n_s32(bits == 8 ? 0 : blocks[r].groups[inBlock].start - MAGIC_BITS);
        neon_dots(blocks, inBlock * KernelGroupInputs, weights, bits, rows, dot);
        Codes bytes;
        memcpy(&bytes, panel + code_offset(g, blockBytes), 16);
        F16 code = bits == 8 ? __builtin_convertvector(bytes, F16) : __builtin_convertvector((B16)bytes, F16);
        for (int r = 0; r < rows; r++) {
            I16 integers;
            memcpy(&integers, dot[r], 64);
            F16 value = __builtin_convertvector(integers, F16) * blocks[r].groups[inBlock].scale;
            store16(sums + r * SumStride, fma16(value, code, load16(sums + r * SumStride)));
        }
    }
}

LANES void linear_int_neon(const LinearCall *c, const int bits, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, float *sums) {
    size_t panelBytes = packed_panel_bytes(bits == 8 ? WeightInt8 : WeightInt4, c->inputs);
    for (size_t p = firstPanel; p < firstPanel + panels; p++) {
        const uint8_t *panel = (const uint8_t *)c->weights + p * panelBytes;
        size_t r = 0;
        for (; r + RowsPerNeonTile <= rows; r += RowsPerNeonTile) neon_tile(c, bits, firstRow + r, panel, sums + r * SumStride, RowsPerNeonTile);
        for (; r < rows; r++) neon_tile(c, bits, firstRow + r, panel, sums + r * SumStride, 1);
        finish_panel(c, sums, firstRow, rows, p, (const float *)panel);
    }
}

static void linear_int8_neon(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int_neon(c, 8, firstRow, rows, firstPanel, panels, scratch);
}
static void linear_int4_neon(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int_neon(c, 4, firstRow, rows, firstPanel, panels, scratch);
}
