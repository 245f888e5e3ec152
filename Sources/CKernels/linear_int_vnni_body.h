// Linear layers over int8 and int4 weights with AVX-512 VNNI: vpdpbusd adds four products of an unsigned byte (a weight) with a signed one
// (an activation, broadcast to all 16 outputs) to a 32-bit sum, exactly.
//
// Per group of 32 inputs a tile of rows × panels has eight such steps. Then the sums become floats: they started from the bits of 1.5·2^23 (less
// the weights' offset times the activations' sum), so the accumulator *is* a float 1.5·2^23 + s, and one fused multiply-add with the
// activation's scale gives s · scale; a second one adds that, times the weights' code, to the f32 sum. So a group costs ten
// operations per row and panel, eight of them products. The f32 sums live in the first-level cache.

#pragma once

#include "linear_body.h"
#include <immintrin.h>

enum {
    RowsPerTile = 6,
    /// How far ahead of its use a weight is asked for, when each is used by few rows and memory sets the pace.
    StreamAheadBytes = 2048,
};

typedef struct {
    const int8_t *x;
    size_t xStride;
    const ActivationGroup *groups;
    size_t groupStride;
    /// The first block of 128 inputs of the first panel.
    const uint8_t *blocks;
    size_t panelBytes;
    size_t groupCount;
    float *sums;
    /// From the block of a panel to what should be in the cache next.
    ptrdiff_t ahead;
} IntProduct;

// One row's part of a step, dot[p] += w[p] · four activations, for four panels. In assembly because it must stay as it stands: the
// compiler's scheduler moves loads up until accumulators spill, and its induction variables add an addition per row; either costs a
// quarter of the speed, since the loop has no instruction to spare. ADDRESS is the row's in terms of x, x + 3 rows and the stride.
#define DOT_ROW(D, W, ADDRESS)                                                                                        \
    do {                                                                                                              \
        __m512i value;                                                                                                \
        if (count == 4)                                                                                               \
            __asm__ volatile("vpbroadcastd " ADDRESS ", %[v]\n\t"                                                     \
                             "vpdpbusd %[v], %[w0], %[d0]\n\t"                                                        \
                             "vpdpbusd %[v], %[w1], %[d1]\n\t"                                                        \
                             "vpdpbusd %[v], %[w2], %[d2]\n\t"                                                        \
                             "vpdpbusd %[v], %[w3], %[d3]"                                                            \
                             : [d0] "+v"(D[0]), [d1] "+v"(D[1]), [d2] "+v"(D[2]), [d3] "+v"(D[3]), [v] "=&v"(value)   \
                             : [w0] "v"(W[0]), [w1] "v"(W[1]), [w2] "v"(W[2]), [w3] "v"(W[3]), [x] "r"(x0),           \
                               [x3] "r"(x3), [s] "r"(xStride)                                                         \
                             : "memory");                                                                             \
        else                                                                                                          \
            __asm__ volatile("vpbroadcastd " ADDRESS ", %[v]\n\t"                                                     \
                             "vpdpbusd %[v], %[w0], %[d0]"                                                            \
                             : [d0] "+v"(D[0]), [v] "=&v"(value)                                                      \
                             : [w0] "v"(W[0]), [x] "r"(x0), [x3] "r"(x3), [s] "r"(xStride)                            \
                             : "memory");                                                                             \
    } while (0)
#define DOT_ROWS(W, OFFSET)                                      \
    do {                                                         \
        if (rows > 0) DOT_ROW(dot[0], W, OFFSET "(%[x])");       \
        if (rows > 1) DOT_ROW(dot[1], W, OFFSET "(%[x],%[s])");  \
        if (rows > 2) DOT_ROW(dot[2], W, OFFSET "(%[x],%[s],2)");  \
        if (rows > 3) DOT_ROW(dot[3], W, OFFSET "(%[x3])");      \
        if (rows > 4) DOT_ROW(dot[4], W, OFFSET "(%[x3],%[s])"); \
        if (rows > 5) DOT_ROW(dot[5], W, OFFSET "(%[x3],%[s],2)"); \
    } while (0)

/// One tile of rows × panels over the groups of one block of inputs. Meanwhile it prefetches, `ahead` bytes on, as many lines per step as
/// `prefetch` says, of panels from `prefetchPanel`.
LANES void int_tile(const IntProduct *c, const int8_t *x, const ActivationGroup *groups, float *sums, const int bits, const int rows,
                    const int count, const int prefetch, size_t prefetchPanel) {
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes, groupBytes = bits == 8 ? Int8GroupBytes : Int4GroupBytes;
    const size_t xStride = c->xStride, panelBytes = c->panelBytes, groupStride = c->groupStride;
    const __m512i nibble = _mm512_set1_epi8(15);
    const uint8_t *codes = c->blocks, *weights = codes + CodeBytes;
    const ptrdiff_t ahead = c->ahead + (ptrdiff_t)(prefetchPanel * panelBytes);
    for (size_t left = c->groupCount, inBlock = 0; left > 0; left--) {
        // Two bases for six rows: every address is base + index · {0, 1, 2}.
        const int8_t *x0 = x, *x3 = x + 3 * xStride;
        const uint8_t *weights3 = weights + 3 * panelBytes;
        __m512i dot[RowsPerTile][PanelsPerPass];
        for (int r = 0; r < rows; r++) {
            // Each from memory: a copy of a register would take one of the two ports that the products need.
            for (int p = 0; p < count; p++) __asm__ volatile("vpbroadcastd %1, %0" : "=v"(dot[r][p]) : "m"(groups[r * groupStride].start));
        }
        // One line of 64 bytes per turn. Not unrolled: the unrolled loop outgrows the processor's cache of decoded instructions.
#pragma clang loop unroll(disable)
        for (size_t line = 0; line < groupBytes; line += 64) {
            __m512i w[PanelsPerPass], high[PanelsPerPass];
            for (int p = 0; p < count; p++) {
                w[p] = _mm512_loadu_si512((p < 3 ? weights + p * panelBytes : weights3) + line);
            }
            for (int p = 0; p < prefetch; p++) _mm_prefetch((const char *)weights + line + ahead + p * panelBytes, _MM_HINT_T0);
            if (bits == 4)
                for (int p = 0; p < count; p++) {
                    high[p] = _mm512_and_si512(_mm512_srli_epi16(w[p], 4), nibble);
                    w[p] = _mm512_and_si512(w[p], nibble);
                }
            DOT_ROWS(w, "");
            if (bits == 4) DOT_ROWS(high, "4");
            x0 += bits == 8 ? 4 : 8;
            x3 += bits == 8 ? 4 : 8;
        }
        __m512 code[PanelsPerPass];
        for (int p = 0; p < count; p++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(codes + p * panelBytes));
            code[p] = _mm512_cvtepi32_ps(bits == 8 ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes));
        }
        for (int r = 0; r < rows; r++) {
            const ActivationGroup *group = &groups[r * groupStride];
            __m512 scale = _mm512_set1_ps(group->scale), offset = _mm512_set1_ps(group->offset);
            for (int p = 0; p < count; p++) {
                float *sum = sums + r * SumStride + p * 16;
                __m512 value = _mm512_fmadd_ps(_mm512_castsi512_ps(dot[r][p]), scale, offset);
                _mm512_store_ps(sum, _mm512_fmadd_ps(value, code[p], _mm512_load_ps(sum)));
            }
        }
        x += KernelGroupInputs;
        groups++;
        codes += KernelPanelOutputs;
        weights += groupBytes;
        if (++inBlock == GroupsPerBlock) {
            inBlock = 0;
            codes += blockBytes - CodeBytes;
            weights += CodeBytes;
        }
    }
}

LANES void int_tile_of(const IntProduct *c, const int8_t *x, const ActivationGroup *groups, float *sums, const int bits, size_t rows,
                       const int count, const int prefetch, size_t prefetchPanel) {
    switch (rows) {
    case 6: int_tile(c, x, groups, sums, bits, 6, count, prefetch, prefetchPanel); break;
    case 5: int_tile(c, x, groups, sums, bits, 5, count, prefetch, prefetchPanel); break;
    case 4: int_tile(c, x, groups, sums, bits, 4, count, prefetch, prefetchPanel); break;
    case 3: int_tile(c, x, groups, sums, bits, 3, count, prefetch, prefetchPanel); break;
    case 2: int_tile(c, x, groups, sums, bits, 2, count, prefetch, prefetchPanel); break;
    case 1: int_tile(c, x, groups, sums, bits, 1, count, prefetch, prefetchPanel); break;
    default: break;
    }
}

/// All rows. The tiles share the work of prefetching the next block, so that reading memory spreads over the time of computing.
LANES void int_rows(const IntProduct *c, const int bits, size_t rows, const int count) {
    const int8_t *x = c->x;
    const ActivationGroup *groups = c->groups;
    float *sums = c->sums;
    size_t tiles = (rows + RowsPerTile - 1) / RowsPerTile;
    size_t lines = count == 1 ? 1 : tiles == 1 ? 4 : tiles <= 3 ? 2 : 1;  // per step
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t n = (rows + tiles - tile - 1) / (tiles - tile);  // even tiles: 8 rows are 4 + 4, not 6 + 2
        size_t panel = tile * lines;
        if (panel >= (size_t)count) int_tile_of(c, x, groups, sums, bits, n, count, 0, 0);
        else if (lines == 1) int_tile_of(c, x, groups, sums, bits, n, count, 1, panel);
        else if (lines == 2) int_tile_of(c, x, groups, sums, bits, n, count, 2, panel);
        else int_tile_of(c, x, groups, sums, bits, n, count, 4, panel);
        x += n * c->xStride;
        groups += n * c->groupStride;
        sums += n * SumStride;
        rows -= n;
    }
}

LANES void linear_int(const LinearCall *c, const int bits, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, float *sums) {
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes;
    size_t panelBytes = packed_panel_bytes(bits == 8 ? WeightInt8 : WeightInt4, c->inputs);
    size_t total = group_count(c->inputs);
    int streaming = rows <= RowsPerTile;
    size_t cached = BlockCacheBytes / PanelsPerPass / blockBytes;  // blocks of 128 inputs
    size_t step = streaming ? total : (cached ? cached : 1) * GroupsPerBlock;
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const uint8_t *weights = (const uint8_t *)c->weights + (firstPanel + p) * panelBytes;
        memset(sums, 0, rows * SumStride * 4);
        for (size_t g = 0; g < total; g += step) {
            // The next block of these panels, or the first of the next panels.
            size_t next = g + step < total ? (g + step) / GroupsPerBlock * blockBytes : p + PanelsPerPass < panels ? PanelsPerPass * panelBytes : 0;
            IntProduct product = {
                .x = (const int8_t *)c->x + firstRow * c->xStrideBytes + g * KernelGroupInputs,
                .xStride = c->xStrideBytes,
                .groups = c->groups + firstRow * c->groupStride + g,
                .groupStride = c->groupStride,
                .blocks = weights + ScaleBytes + g / GroupsPerBlock * blockBytes,
                .panelBytes = panelBytes,
                .groupCount = total - g < step ? total - g : step,
                .sums = sums,
                .ahead = streaming ? StreamAheadBytes : (ptrdiff_t)next - (ptrdiff_t)(g / GroupsPerBlock * blockBytes),
            };
            if (count == PanelsPerPass) {
                int_rows(&product, bits, rows, PanelsPerPass);
                continue;
            }
            for (size_t i = 0; i < count; i++) {
                int_rows(&product, bits, rows, 1);
                product.blocks += panelBytes;
                product.sums += 16;
            }
        }
        for (size_t i = 0; i < count; i++)
            finish_panel(c, sums + i * 16, firstRow, rows, firstPanel + p + i, (const float *)(weights + i * panelBytes));
    }
}
