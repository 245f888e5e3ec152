// Linear layers over int8 and int4 weights with AVX-512 VNNI: vpdpbusd adds four products of an unsigned byte (a weight) with a signed one
// (an activation, broadcast to all 16 outputs) to a 32-bit sum, exactly.
//
// Per group of 32 inputs a tile of three rows × four panels has eight such steps. Then the sums become floats: they started from the bits of
// 1.5·2^23 (less the weights' offset times the activations' sum), so the accumulator *is* a float 1.5·2^23 + s, and one fused multiply-add with
// the activation's scale gives s · scale; a second one adds that, times the weights' code, to the f32 sum. So a group costs ten operations per
// row and panel, eight of them products: 80 % of the peak is the most that this arithmetic allows.
//
// Three rows, because then twelve integer and twelve float accumulators stay in registers: a tile of six rows must keep its float sums in
// memory, and the stores cost more than they save. Inputs go in steps of one or two blocks, whose weights lie in the first-level cache
// while all rows pass. A step first turns its codes into floats, and int4 into bytes as int8 has them, so both formats share one loop.

#pragma once

#include "linear_body.h"
#include "row_step_avx512.h"
#include <immintrin.h>

enum {
    RowsPerTile = 3,
    /// Blocks of inputs of one step with many rows. With few, one: the next step's weights must fit into the first-level cache beside it.
    BlocksPerStep = 2,
    /// Up to so many rows, a step is one block.
    FewRows = 48,
    StepCodes = BlocksPerStep * GroupsPerBlock * PanelsPerPass * KernelPanelOutputs,
};

/// What a call keeps in scratch.
typedef struct {
    float sums[KernelLinearRows * SumStride];
    /// The step's codes: [group][panel][16].
    float codes[StepCodes];
    /// The step's weights as int8, if they are int4.
    uint8_t bytes[PanelsPerPass][BlocksPerStep * Int8BlockBytes];
} IntScratch;
_Static_assert(sizeof(IntScratch) <= KernelScratchBytes, "scratch suffices");

/// One step: some blocks of inputs of four panels, or of one.
typedef struct {
    const ActivationBlock *x;
    size_t xRows;
    /// The first block of the first panel, in int8.
    const uint8_t *blocks;
    size_t panelBytes;
    size_t groups;
    const float *codes;
    /// The packed bytes of the next step, and the bytes from one of its panels to the next: to be in the cache when it comes.
    const uint8_t *next;
    size_t nextPanelBytes, nextBlockBytes;
    /// Lines of one of its panels and blocks; 0 where nothing follows.
    size_t nextLines;
} IntStep;

// Four inputs of all rows. Row 1 is the base so that all displacements fit into one byte (of units of four).
#define FOUR_INPUTS(K)                                       \
    do {                                                     \
        __m512i w0, w1 = {0}, w2 = {0}, w3 = {0};            \
        LOAD_LINE(w0, p0, K);                                \
        if (count == 4) {                                    \
            LOAD_LINE(w1, p1, K);                            \
            LOAD_LINE(w2, p2, K);                            \
            LOAD_LINE(w3, p3, K);                            \
        }                                                    \
        for (int i = 0; i < (prefetch + 7) / 8 && (K) < prefetch; i++) \
            _mm_prefetch((const char *)next + 64 * (K) + i * nextPanelBytes, _MM_HINT_T0); \
        ROW_STEP(dot[0], "4*" #K "-192", x);                    \
        if (rows > 1) ROW_STEP(dot[1], "4*" #K, x);              \
        if (rows > 2) ROW_STEP(dot[2], "4*" #K "+192", x);       \
    } while (0)
_Static_assert(sizeof(ActivationBlock) == 192, "the displacements above");

/// One tile of rows × panels over a step. Meanwhile it asks for the next step's weights: per group so many lines as `prefetch` says, from `next` on, of
/// one panel where they are up to eight, else of two or four.
LANES void int_tile(const IntStep *s, const ActivationBlock *x0, float *sums, const int rows, const int count, const int prefetch,
                    const uint8_t *next) {
    const size_t nextPanelBytes = s->nextPanelBytes;
    const uint8_t *p0 = s->blocks + CodeBytes, *p1 = p0 + s->panelBytes, *p2 = p1 + s->panelBytes, *p3 = p2 + s->panelBytes;
    const float *codes = s->codes;
    __m512 sum[RowsPerTile][PanelsPerPass];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) sum[r][p] = _mm512_load_ps(sums + r * SumStride + p * 16);
    for (size_t left = s->groups;;) {
        const int8_t *x = x0[1].values;
        const ActivationGroup *groups = x0->groups;
        size_t n = left < GroupsPerBlock ? left : GroupsPerBlock;
        for (size_t g = 0; g < n; g++) {
            __m512i dot[RowsPerTile][PanelsPerPass];
            for (int r = 0; r < rows; r++) {
                // Each from memory: a copy of a register would take one of the two ports that the products need.
                const int32_t *start = &groups[r * (sizeof(ActivationBlock) / sizeof(ActivationGroup))].start;
                for (int p = 0; p < count; p++) __asm__ volatile("vpbroadcastd %1, %0" : "=v"(dot[r][p]) : "m"(*start));
            }
            FOUR_INPUTS(0);
            FOUR_INPUTS(1);
            FOUR_INPUTS(2);
            FOUR_INPUTS(3);
            FOUR_INPUTS(4);
            FOUR_INPUTS(5);
            FOUR_INPUTS(6);
            FOUR_INPUTS(7);
            for (int r = 0; r < rows; r++) {
                const ActivationGroup *group = &groups[r * (sizeof(ActivationBlock) / sizeof(ActivationGroup))];
                __m512 scale = _mm512_set1_ps(group->scale), offset = _mm512_set1_ps(group->offset);
                for (int p = 0; p < count; p++) {
                    __m512 value = _mm512_fmadd_ps(_mm512_castsi512_ps(dot[r][p]), scale, offset);
                    sum[r][p] = _mm512_fmadd_ps(value, _mm512_load_ps(codes + p * 16), sum[r][p]);
                }
            }
            x += KernelGroupInputs;
            groups++;
            codes += PanelsPerPass * 16;
            p0 += Int8GroupBytes;
            p1 += Int8GroupBytes;
            p2 += Int8GroupBytes;
            p3 += Int8GroupBytes;
            next += (prefetch < 8 ? prefetch : 8) * 64;
        }
        if ((left -= n) == 0) break;
        x0 += s->xRows;
        p0 += CodeBytes;
        p1 += CodeBytes;
        p2 += CodeBytes;
        p3 += CodeBytes;
        next += s->nextBlockBytes - GroupsPerBlock * (prefetch < 8 ? prefetch : 8) * 64;
    }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) _mm512_store_ps(sums + r * SumStride + p * 16, sum[r][p]);
}
_Static_assert(sizeof(ActivationBlock) % sizeof(ActivationGroup) == 0, "groups of neighbouring rows are so many groups apart");

/// What tiles fetch of the next step's weights while they compute.
typedef struct {
    const uint8_t *at;
    /// Tiles that still have something to fetch, and of those, how many fetch from the panel that `at` is in.
    size_t tiles, inPanel;
    /// Of every tile: lines per group; bytes from its lines to those of the next tile; and what is added to that at the end of a panel.
    size_t linesPerGroup, stride, skip;
    size_t tilesPerPanel;
} Fetching;

/// Spreads the next step's weights evenly over `tiles` tiles.
LANES Fetching int_fetching(const IntStep *s, size_t tiles, const int count) {
    if (s->nextLines == 0) return (Fetching){.at = s->next};
    // Of a block's lines, what each tile fetches.
    size_t share = count == 1 ? (tiles >= 4 ? 8 : 32) : tiles >= 16 ? 8 : tiles >= 8 ? 16 : tiles >= 4 ? 32 : tiles >= 2 ? 64 : 128;
    size_t tilesPerPanel = share < s->nextLines ? s->nextLines / share : 1, panelsPerTile = share > s->nextLines ? share / s->nextLines : 1;
    return (Fetching){
        .at = s->next,
        .tiles = ((size_t)count + panelsPerTile - 1) / panelsPerTile * tilesPerPanel,
        .inPanel = tilesPerPanel,
        .linesPerGroup = share / GroupsPerBlock,
        .stride = share * 64,
        .skip = panelsPerTile * s->nextPanelBytes - tilesPerPanel * share * 64,
        .tilesPerPanel = tilesPerPanel,
    };
}

/// `tiles` tiles of so many rows each, one after another; all fetch, or none.
LANES void int_run(const IntStep *s, const ActivationBlock *x, float *sums, size_t tiles, const int rows, const int count, const int prefetch,
                   Fetching *f) {
    for (; tiles > 0; tiles--) {
        int_tile(s, x, sums, rows, count, prefetch, f->at);
        x += rows;
        sums += rows * SumStride;
        if (prefetch == 0) continue;
        f->at += f->stride;
        f->tiles--;
        if (--f->inPanel == 0) f->at += f->skip, f->inPanel = f->tilesPerPanel;
    }
}

/// `tiles` tiles, of which those fetch that still have something to.
LANES void int_tiles(const IntStep *s, const ActivationBlock *x, float *sums, size_t tiles, const int rows, const int count, Fetching *f) {
    size_t fetch = tiles < f->tiles ? tiles : f->tiles;
    switch (fetch > 0 ? f->linesPerGroup : 0) {
    case 0: break;
    case 2: int_run(s, x, sums, fetch, rows, count, 2, f); break;
    case 4: int_run(s, x, sums, fetch, rows, count, 4, f); break;
    case 8: int_run(s, x, sums, fetch, rows, count, 8, f); break;
    case 16: int_run(s, x, sums, fetch, rows, count, 16, f); break;
    default: int_run(s, x, sums, fetch, rows, count, 32, f); break;
    }
    if (fetch < tiles) int_run(s, x + fetch * rows, sums + fetch * rows * SumStride, tiles - fetch, rows, count, 0, f);
}

/// All rows: tiles of three, then what is left; four rows are 2 + 2, not 3 + 1. The loops over tiles are tight because a tile takes about a hundred
/// nanoseconds: what is decided per tile shows.
LANES void int_rows(const IntStep *s, float *sums, size_t rows, const int count) {
    size_t threes = rows % RowsPerTile == 1 && rows > 1 ? rows / RowsPerTile - 1 : rows / RowsPerTile, rest = rows - threes * RowsPerTile;
    size_t last = rest == 4 ? 2 : rest > 0;
    Fetching f = int_fetching(s, threes + last, count);
    int_tiles(s, s->x, sums, threes, 3, count, &f);
    const ActivationBlock *x = s->x + threes * RowsPerTile;
    sums += threes * RowsPerTile * SumStride;
    if (rest == 1) int_tiles(s, x, sums, 1, 1, count, &f);
    else if (rest > 1) int_tiles(s, x, sums, last, 2, count, &f);
}

/// The codes of `groups` groups of a panel as floats, every 64 of them from one group to the next.
LANES void expand_codes(const uint8_t *blocks, const int bits, size_t groups, float *codes) {
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes;
    for (size_t g = 0; g < groups; g++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(blocks + g / GroupsPerBlock * blockBytes + g % GroupsPerBlock * KernelPanelOutputs));
        _mm512_store_ps(codes + g * PanelsPerPass * 16,
                        _mm512_cvtepi32_ps(bits == 8 ? _mm512_cvtepu8_epi32(bytes) : _mm512_cvtepi8_epi32(bytes)));
    }
}

/// Some groups of int4 weights as blocks of int8. The codes' place stays empty.
LANES void expand_nibbles(const uint8_t *blocks, size_t groups, uint8_t *bytes) {
    const __m512i nibble = _mm512_set1_epi8(15);
    for (size_t g = 0; g < groups; g++) {
        const uint8_t *from = blocks + g / GroupsPerBlock * Int4BlockBytes + CodeBytes + g % GroupsPerBlock * Int4GroupBytes;
        uint8_t *to = bytes + g / GroupsPerBlock * Int8BlockBytes + CodeBytes + g % GroupsPerBlock * Int8GroupBytes;
        for (size_t line = 0; line < Int4GroupBytes; line += 64) {
            __m512i w = _mm512_loadu_si512(from + line);
            _mm512_storeu_si512(to + 2 * line, _mm512_and_si512(w, nibble));
            _mm512_storeu_si512(to + 2 * line + 64, _mm512_and_si512(_mm512_srli_epi16(w, 4), nibble));
        }
    }
}

LANES void linear_int(const LinearCall *c, const int bits, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, IntScratch *scratch) {
    const size_t blockBytes = bits == 8 ? Int8BlockBytes : Int4BlockBytes;
    size_t panelBytes = packed_panel_bytes(bits == 8 ? WeightInt8 : WeightInt4, c->inputs);
    size_t total = group_count(c->inputs);
    size_t stepGroups = (rows <= FewRows ? 1 : BlocksPerStep) * GroupsPerBlock;
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const uint8_t *weights = (const uint8_t *)c->weights + (firstPanel + p) * panelBytes;
        memset(scratch->sums, 0, rows * SumStride * 4);
        for (size_t g = 0; g < total; g += stepGroups) {
            size_t block = g / GroupsPerBlock, groups = total - g < stepGroups ? total - g : stepGroups;
            const uint8_t *packed = weights + ScaleBytes + block * blockBytes;
            // The next step of these panels, or the first of the next panels.
            const uint8_t *next = g + stepGroups < total ? packed + stepGroups / GroupsPerBlock * blockBytes
                                  : p + PanelsPerPass < panels ? weights + PanelsPerPass * panelBytes + ScaleBytes : NULL;
            for (size_t i = 0; i < count; i++) {
                if (next)
                    for (size_t b = 0; b < stepGroups / GroupsPerBlock; b++)
                        _mm_prefetch((const char *)next + i * panelBytes + b * blockBytes, _MM_HINT_T0);
                expand_codes(packed + i * panelBytes, bits, groups, scratch->codes + i * 16);
                if (bits == 4) expand_nibbles(packed + i * panelBytes, groups, scratch->bytes[i]);
            }
            IntStep step = {
                .x = activation_block(c, firstRow, block),
                .xRows = c->xRows,
                .blocks = bits == 8 ? packed : scratch->bytes[0],
                .panelBytes = bits == 8 ? panelBytes : sizeof scratch->bytes[0],
                .groups = groups,
                .codes = scratch->codes,
                .next = next + CodeBytes,
                .nextPanelBytes = panelBytes,
                .nextBlockBytes = blockBytes,
                .nextLines = next ? (blockBytes - CodeBytes) / 64 : 0,
            };
            if (count == PanelsPerPass) {
                int_rows(&step, scratch->sums, rows, PanelsPerPass);
                continue;
            }
            for (size_t i = 0; i < count; i++) {
                int_rows(&step, scratch->sums + i * 16, rows, 1);
                step.blocks += step.panelBytes;
                step.codes += 16;
                step.next += panelBytes;
            }
        }
        for (size_t i = 0; i < count; i++)
            finish_panel(c, scratch->sums + i * 16, firstRow, rows, firstPanel + p + i, (const float *)(weights + i * panelBytes));
    }
}
