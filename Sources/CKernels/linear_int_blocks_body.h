// The order of work of linear layers over int8 and int4 weights where registers are few: four panels at a time, one block of inputs after the
// other, which stays in the first-level cache while all rows pass, in tiles as even as can be. Sums are in memory. The first tile fetches the
// next block: four streams keep the processor's own prefetching busy, as one does not.
//
// The including file defines ROWS_PER_BLOCK_TILE (2, 4 or 6) and block_tile: some rows over `groups` groups of one panel's block, added to sums.

#pragma once

#include "linear_body.h"

/// A tile over the same block of some panels. `next`: what to fetch meanwhile, or null.
LANES void block_panels(const ActivationBlock *x, const int bits, const uint8_t *block, size_t panelBytes, size_t panels, size_t groups, float *sums,
                        const int rows, const uint8_t *next) {
    for (size_t p = 0; p < panels; p++, block += panelBytes, sums += 16) {
        if (next) {
            __builtin_prefetch(next);  // its codes; what is past a short last block is harmless
            block_tile(x, bits, block, groups, sums, rows, next + CodeBytes, 1);
            next += panelBytes;
        } else {
            block_tile(x, bits, block, groups, sums, rows, NULL, 0);
        }
    }
}

LANES void linear_int_blocks(const LinearCall *c, const int bits, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, float *sums) {
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes;
    const size_t panelBytes = packed_panel_bytes(bits == 8 ? WeightInt8 : WeightInt4, c->inputs), total = group_count(c->inputs);
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const uint8_t *weights = (const uint8_t *)c->weights + (firstPanel + p) * panelBytes;
        memset(sums, 0, rows * SumStride * 4);
        for (size_t g = 0; g < total; g += GroupsPerBlock) {
            size_t b = g / GroupsPerBlock, groups = total - g < GroupsPerBlock ? total - g : GroupsPerBlock;
            const uint8_t *block = weights + ScaleBytes + b * blockBytes;
            // The next block of these panels, or the first of the next panels.
            const uint8_t *next = g + GroupsPerBlock < total ? block + blockBytes
                                  : p + PanelsPerPass < panels ? weights + PanelsPerPass * panelBytes + ScaleBytes : NULL;
            size_t r = 0;
            for (size_t tiles = (rows + ROWS_PER_BLOCK_TILE - 1) / ROWS_PER_BLOCK_TILE; tiles > 0; tiles--) {
                size_t n = (rows - r + tiles - 1) / tiles;
                const ActivationBlock *x = activation_block(c, firstRow + r, b);
                float *to = sums + r * SumStride;
                switch (n) {
#if ROWS_PER_BLOCK_TILE >= 6
                case 6: block_panels(x, bits, block, panelBytes, count, groups, to, 6, next); break;
                case 5: block_panels(x, bits, block, panelBytes, count, groups, to, 5, next); break;
#endif
#if ROWS_PER_BLOCK_TILE >= 4
                case 4: block_panels(x, bits, block, panelBytes, count, groups, to, 4, next); break;
                case 3: block_panels(x, bits, block, panelBytes, count, groups, to, 3, next); break;
#endif
                case 2: block_panels(x, bits, block, panelBytes, count, groups, to, 2, next); break;
                default: block_panels(x, bits, block, panelBytes, count, groups, to, 1, next); break;
                }
                r += n;
                next = NULL;
            }
        }
        for (size_t i = 0; i < count; i++)
            finish_panel(c, sums + i * 16, firstRow, rows, firstPanel + p + i, (const float *)(weights + i * panelBytes));
    }
}

static void linear_int8_blocks(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int_blocks(c, 8, firstRow, rows, firstPanel, panels, scratch);
}
static void linear_int4_blocks(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    linear_int_blocks(c, 4, firstRow, rows, firstPanel, panels, scratch);
}
