// Linear layers with AVX-512 where a step is one line of 16 outputs' weights times four bytes of every row: f32 by multiply-add, bf16 pairs by
// vdpbf16ps. bf16 weights without that instruction become f32 first, a block at a time, so that the conversion is paid once for all rows.
//
// Six rows × four panels are in flight, 24 accumulators. Inputs go in blocks of 64 steps, whose 16 KB of lines stay in the first-level cache while
// all rows pass; rows lie in blocks of the same length, so a tile walks through them in one stream. Sums go to memory and back between blocks,
// exactly, so blocking does not show in the bits. Meanwhile the tiles fetch the next block's lines, each an even share.

#pragma once

#include "linear_body.h"
#include "row_step_avx512.h"
#include <immintrin.h>

enum {
    RowsPerLineTile = 6,
    StepsPerBlock = KernelRowBlockBytes / 4,
    LineBytes = 64,
};

/// What a call keeps in scratch.
typedef struct {
    float sums[KernelLinearRows * SumStride];
    /// A block's bf16 weights as f32.
    float lines[PanelsPerPass][StepsPerBlock * 16];
} LineScratch;
_Static_assert(sizeof(LineScratch) <= KernelScratchBytes, "scratch suffices");

/// A block of four panels, or of one, and what follows it.
typedef struct {
    /// Blocks of rows, and the lines they meet.
    const char *x;
    const char *lines;
    size_t panelBytes;
    size_t steps;
    int fresh;
    /// The packed lines to fetch meanwhile; `nextLines` of each panel, 0 for none.
    const char *next;
    size_t nextPanelBytes, nextLines;
} LineBlock;

// Rows 1 and 4 are the bases so that all displacements fit into one byte (of units of four).
#define LINE_STEP(K)                                                          \
    do {                                                                      \
        __m512 w0, w1 = {0}, w2 = {0}, w3 = {0};                              \
        LOAD_LINE(w0, p0, K);                                                 \
        if (count == 4) {                                                     \
            LOAD_LINE(w1, p1, K);                                             \
            LOAD_LINE(w2, p2, K);                                             \
            LOAD_LINE(w3, p3, K);                                             \
        }                                                                     \
        if ((K) < ahead)                                                      \
            for (int i = 0; i < streams; i++)                                 \
                _mm_prefetch(next + LineBytes * (K) + i * nextPanelBytes, _MM_HINT_T0); \
        ROW_STEP(sum[0], "4*" #K "-256", x1);                                 \
        if (rows > 1) ROW_STEP(sum[1], "4*" #K, x1);                          \
        if (rows > 2) ROW_STEP(sum[2], "4*" #K "+256", x1);                   \
        if (rows > 3) ROW_STEP(sum[3], "4*" #K "-256", x4);                   \
        if (rows > 4) ROW_STEP(sum[4], "4*" #K, x4);                          \
        if (rows > 5) ROW_STEP(sum[5], "4*" #K "+256", x4);                   \
    } while (0)
_Static_assert(KernelRowBlockBytes == 256, "the displacements above");

/// One tile of rows × panels over a block. Per four steps it fetches `ahead` lines of each of `streams` panels, from `next` on.
LANES void line_tile(const LineBlock *b, const char *x, float *sums, const int rows, const int count, const int ahead, const int streams,
                     const char *next) {
    const size_t nextPanelBytes = b->nextPanelBytes;
    const char *x1 = x + KernelRowBlockBytes, *x4 = x + 4 * KernelRowBlockBytes;
    const char *p0 = b->lines, *p1 = p0 + b->panelBytes, *p2 = p1 + b->panelBytes, *p3 = p2 + b->panelBytes;
    __m512 sum[RowsPerLineTile][PanelsPerPass];
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) sum[r][p] = b->fresh ? _mm512_setzero_ps() : _mm512_load_ps(sums + r * SumStride + p * 16);
    size_t left = b->steps;
#pragma clang loop unroll(disable)
    for (; left >= 4; left -= 4) {
        LINE_STEP(0);
        LINE_STEP(1);
        LINE_STEP(2);
        LINE_STEP(3);
        x1 += 16, x4 += 16;
        p0 += 4 * LineBytes, p1 += 4 * LineBytes, p2 += 4 * LineBytes, p3 += 4 * LineBytes;
        next += ahead * LineBytes;
    }
#pragma clang loop unroll(disable)
    for (; left > 0; left--) {
        LINE_STEP(0);
        x1 += 4, x4 += 4;
        p0 += LineBytes, p1 += LineBytes, p2 += LineBytes, p3 += LineBytes;
    }
    for (int r = 0; r < rows; r++)
        for (int p = 0; p < count; p++) _mm512_store_ps(sums + r * SumStride + p * 16, sum[r][p]);
}

LANES void line_tile_of(const LineBlock *b, const char *x, float *sums, size_t rows, const int count, const int ahead, const int streams,
                        const char *next) {
    switch (rows) {
    case 6: line_tile(b, x, sums, 6, count, ahead, streams, next); break;
    case 5: line_tile(b, x, sums, 5, count, ahead, streams, next); break;
    case 4: line_tile(b, x, sums, 4, count, ahead, streams, next); break;
    case 3: line_tile(b, x, sums, 3, count, ahead, streams, next); break;
    case 2: line_tile(b, x, sums, 2, count, ahead, streams, next); break;
    default: line_tile(b, x, sums, 1, count, ahead, streams, next); break;
    }
}

/// All rows against one block, in tiles as even as can be.
LANES void line_rows(const LineBlock *b, float *sums, size_t rows, const int count) {
    const char *x = b->x;
    size_t tiles = (rows + RowsPerLineTile - 1) / RowsPerLineTile, total = b->nextLines * (size_t)count;
    // Lines that each tile fetches: 16 per line and four steps.
    size_t share = 16;
    while (share * tiles < total) share *= 2;
    for (size_t tile = 0; tile < tiles; tile++) {
        size_t n = (rows + tiles - tile - 1) / (tiles - tile);
        size_t first = tile * share;
        if (first >= total) {
            line_tile_of(b, x, sums, n, count, 0, 0, b->next);
        } else {
            const char *next = b->next + first / b->nextLines * b->nextPanelBytes + first % b->nextLines * LineBytes;
            size_t streams = share > b->nextLines ? share / b->nextLines : 1;
            if (share == 16) line_tile_of(b, x, sums, n, count, 1, 1, next);
            else if (share == 32) line_tile_of(b, x, sums, n, count, 2, 1, next);
            else if (streams == 1) line_tile_of(b, x, sums, n, count, 4, 1, next);
            else if (b->nextLines < StepsPerBlock) line_tile_of(b, x, sums, n, count, 2, 2, next);
            else if (streams == 2) line_tile_of(b, x, sums, n, count, 4, 2, next);
            else line_tile_of(b, x, sums, n, count, 4, 4, next);
        }
        x += n * KernelRowBlockBytes;
        sums += n * SumStride;
        rows -= n;
    }
}

/// bf16 pairs of so many lines as two lines of f32 each.
LANES void expand_pairs(const char *pairs, size_t lines, float *out) {
    for (size_t i = 0; i < lines; i++) {
        __m512i w = _mm512_loadu_si512(pairs + i * LineBytes);
        _mm512_store_si512(out + i * 32, _mm512_slli_epi32(w, 16));
        _mm512_store_si512(out + i * 32 + 16, _mm512_and_si512(w, _mm512_set1_epi32((int)0xFFFF0000)));
    }
}

/// y = x·Wᵀ. `steps` of every panel; with `expands` each packed line makes two of them.
LANES void linear_lines(const LinearCall *c, PackedFormat format, size_t steps, const int expands, size_t firstRow, size_t rows,
                        size_t firstPanel, size_t panels, LineScratch *scratch) {
    const size_t panelBytes = packed_panel_bytes(format, c->inputs), blockBytes = StepsPerBlock * LineBytes / (expands ? 2 : 1);
    for (size_t p = 0; p < panels; p += PanelsPerPass) {
        size_t count = panels - p < PanelsPerPass ? panels - p : PanelsPerPass;
        const char *weights = (const char *)c->weights + (firstPanel + p) * panelBytes;
        for (size_t k = 0; k < steps; k += StepsPerBlock) {
            size_t n = steps - k < StepsPerBlock ? steps - k : StepsPerBlock;
            const char *packed = weights + k / StepsPerBlock * blockBytes;
            // The next block of these panels, or the first of the next panels.
            const char *next = k + StepsPerBlock < steps ? packed + blockBytes
                               : p + PanelsPerPass < panels ? weights + PanelsPerPass * panelBytes : NULL;
            if (expands)
                for (size_t i = 0; i < count; i++) expand_pairs(packed + i * panelBytes, (n + 1) / 2, scratch->lines[i]);
            LineBlock block = {
                .x = row_block(c, firstRow, k / StepsPerBlock),
                .lines = expands ? (const char *)scratch->lines[0] : packed,
                .panelBytes = expands ? sizeof scratch->lines[0] : panelBytes,
                .steps = n,
                .fresh = k == 0,
                .next = next,
                .nextPanelBytes = panelBytes,
                .nextLines = next ? blockBytes / LineBytes : 0,
            };
            if (count == PanelsPerPass) {
                line_rows(&block, scratch->sums, rows, PanelsPerPass);
                continue;
            }
            for (size_t i = 0; i < count; i++) {
                line_rows(&block, scratch->sums + i * 16, rows, 1);
                block.lines += block.panelBytes;
                block.next += panelBytes;
            }
        }
        for (size_t i = 0; i < count; i++)
            finish_panel(c, scratch->sums + i * 16, firstRow, rows, firstPanel + p + i, NULL);
    }
}
