// The inner loop of everything in f32 with AVX2: panel_product.h's sums, on sixteen registers of eight lanes.
//
// A tile holds twelve sums at most: six rows of one panel, or with few rows several panels, since two fused multiply-adds per cycle of latency
// four want at least eight sums. That leaves room for one line of weights and one row's value and nothing else, so each instruction is assembly:
// the compiler's scheduler would move loads up until sums spill, which halves the speed.
//
// bf16 becomes f32 on the way to the registers. Where further tiles follow, the first one also writes the f32 lines down for them.

#pragma once

#include "lanes.h"
#include <immintrin.h>

enum {
    RowsPerTile = 6,
    /// One panel of a block of bf16 as f32.
    ExpandedFloats = 64 * 16,
};

/// What a tile reads its weights from: f32; pairs of bf16; or pairs, of which it leaves f32 in `expanded`.
enum { FloatLines, PairLines, PairLinesToExpand };

/// Some rows × panels over a block of inputs. Rows of x and of sums both lie `stride` floats apart, which is a constant of each use.
typedef struct {
    const float *x;
    const char *lines;
    size_t panelBytes;
    /// For the f32 lines of a block of bf16, [panel][64][16].
    float *expanded;
    size_t inputs;
    float *sums;
    /// Start from zero rather than from `sums`.
    int fresh;
    /// The packed lines to fetch meanwhile, `nextLines` of each panel; 0 for none.
    const char *next;
    size_t nextPanelBytes, nextLines;
} TileBlock;

// One instruction each. Being volatile, they stay in this order.
LANES __m256 tile_value(const float *base, const int offset) {
    __m256 v;
    __asm__ volatile("vbroadcastss %c2(%1), %0" : "=x"(v) : "r"(base), "i"(offset));
    return v;
}
LANES __m256 tile_line(const char *base, const int offset) {
    __m256 v;
    __asm__ volatile("vmovups %c2(%1), %0" : "=x"(v) : "r"(base), "i"(offset));
    return v;
}
LANES __m256 tile_first_of_pairs(__m256 pairs) {
    __asm__ volatile("vpslld $16, %0, %0" : "+x"(pairs));
    return pairs;
}
/// The second of each pair: a mask from memory, for want of a register.
LANES __m256 tile_second_of_pairs(__m256 pairs) {
    static const uint32_t mask[8] __attribute__((aligned(32))) = {0xFFFF0000, 0xFFFF0000, 0xFFFF0000, 0xFFFF0000,
                                                                  0xFFFF0000, 0xFFFF0000, 0xFFFF0000, 0xFFFF0000};
    __asm__ volatile("vandps %1, %0, %0" : "+x"(pairs) : "m"(mask));
    return pairs;
}
LANES __m256 tile_add(__m256 sum, __m256 weights, __m256 value) {
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(weights), "x"(value));
    return sum;
}
LANES void tile_keep(__m256 line, float *base, const int offset) {
    __asm__ volatile("vmovaps %0, %c2(%1)" : : "x"(line), "r"(base), "i"(offset));
}
/// What the statements above read and write, they do not declare.
LANES void tile_fence(void) { __asm__ volatile("" : : : "memory"); }

/// Input K of a tile, from f32 lines.
LANES void tile_step(const float *x, const char *const *lines, const int k, const int stride, const int rows, const int count,
                     __m256 sum[RowsPerTile][8]) {
    if (count == 1) {
        __m256 low = tile_line(lines[0], k * 64), high = tile_line(lines[0], k * 64 + 32);
        for (int r = 0; r < rows; r++) {
            __m256 value = tile_value(x, (r * stride + k) * 4);
            sum[r][0] = tile_add(sum[r][0], low, value);
            sum[r][1] = tile_add(sum[r][1], high, value);
        }
        return;
    }
    __m256 value[3];
    for (int r = 0; r < rows; r++) value[r] = tile_value(x, (r * stride + k) * 4);
    for (int i = 0; i < 2 * count; i++) {
        __m256 w = tile_line(lines[i / 2], k * 64 + i % 2 * 32);
        for (int r = 0; r < rows; r++) sum[r][i] = tile_add(sum[r][i], w, value[r]);
    }
}

/// Inputs 2·pair and the next of a tile, from bf16 lines.
LANES void tile_pair(const float *x, const char *const *lines, float *expanded, const int source, const int pair, const int stride, const int rows,
                     const int count, __m256 sum[RowsPerTile][8]) {
    for (int second = 0; second < 2; second++) {
        if (count == 1) {
            __m256 low = tile_line(lines[0], pair * 64), high = tile_line(lines[0], pair * 64 + 32);
            low = second ? tile_second_of_pairs(low) : tile_first_of_pairs(low);
            high = second ? tile_second_of_pairs(high) : tile_first_of_pairs(high);
            if (source == PairLinesToExpand) tile_keep(low, expanded, pair * 128 + second * 64), tile_keep(high, expanded, pair * 128 + second * 64 + 32);
            for (int r = 0; r < rows; r++) {
                __m256 value = tile_value(x, (r * stride + 2 * pair + second) * 4);
                sum[r][0] = tile_add(sum[r][0], low, value);
                sum[r][1] = tile_add(sum[r][1], high, value);
            }
            continue;
        }
        __m256 value[3];
        for (int r = 0; r < rows; r++) value[r] = tile_value(x, (r * stride + 2 * pair + second) * 4);
        for (int i = 0; i < 2 * count; i++) {
            __m256 w = tile_line(lines[i / 2], pair * 64 + i % 2 * 32);
            w = second ? tile_second_of_pairs(w) : tile_first_of_pairs(w);
            for (int r = 0; r < rows; r++) sum[r][i] = tile_add(sum[r][i], w, value[r]);
        }
    }
}

/// One tile of rows × `count` panels. Per four inputs it fetches `ahead` of the next lines: of each of its panels, or, where it has but one, one
/// each of so many of four panels. Streams side by side keep the processor's own prefetching busy, one after another does not.
LANES void tile(const TileBlock *b, size_t row, size_t panel, const char *next, const int source, const int stride, const int rows, const int count,
                const int ahead) {
    const size_t nextPanelBytes = b->nextPanelBytes;
    const float *x = b->x + row * stride;
    const char *lines[4];
    float *sums = b->sums + row * stride + panel * 16, *expanded = b->expanded + panel * ExpandedFloats;
    __m256 sum[RowsPerTile][8];
    for (int p = 0; p < count; p++) lines[p] = b->lines + (panel + p) * b->panelBytes;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2 * count; i++) sum[r][i] = b->fresh ? _mm256_setzero_ps() : _mm256_loadu_ps(sums + r * stride + i * 8);
    tile_fence();
    size_t left = b->inputs;
    // With two at a time the other two panels follow.
    size_t onwards = 2 * nextPanelBytes;
#pragma clang loop unroll(disable)
    for (; left >= 4; left -= 4) {
        if (count == 1) {
            for (int i = 0; i < ahead; i++) _mm_prefetch(next + i * nextPanelBytes, _MM_HINT_T0);
            next += ahead == 2 ? onwards : 64;
            onwards = 64 - onwards;
        } else {
            for (int p = 0; p < count; p++)
                for (int i = 0; i < ahead; i++) _mm_prefetch(next + p * nextPanelBytes + i * 64, _MM_HINT_T0);
            next += ahead * 64;
        }
        if (source != FloatLines) {
            tile_pair(x, lines, expanded, source, 0, stride, rows, count, sum);
            tile_pair(x, lines, expanded, source, 1, stride, rows, count, sum);
            expanded += 64;
        } else {
            tile_step(x, lines, 0, stride, rows, count, sum);
            tile_step(x, lines, 1, stride, rows, count, sum);
            tile_step(x, lines, 2, stride, rows, count, sum);
            tile_step(x, lines, 3, stride, rows, count, sum);
        }
        x += 4;
        for (int p = 0; p < count; p++) lines[p] += source != FloatLines ? 128 : 256;
    }
    if (source != FloatLines) {
        for (size_t k = 0; k < left; k++)
            for (int i = 0; i < 2 * count; i++) {
                __m256 w = tile_line(lines[i / 2] + k / 2 * 64, i % 2 * 32);
                w = k % 2 ? tile_second_of_pairs(w) : tile_first_of_pairs(w);
                if (source == PairLinesToExpand) tile_keep(w, expanded + k * 16 + i * 8, 0);
                for (int r = 0; r < rows; r++) sum[r][i] = tile_add(sum[r][i], w, _mm256_broadcast_ss(x + r * stride + k));
            }
    } else {
#pragma clang loop unroll(disable)
        for (; left > 0; left--) {
            tile_step(x, lines, 0, stride, rows, count, sum);
            x += 1;
            for (int p = 0; p < count; p++) lines[p] += 64;
        }
    }
    tile_fence();
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < 2 * count; i++) _mm256_storeu_ps(sums + r * stride + i * 8, sum[r][i]);
}

/// So many rows against all panels, as many of them at a time as fill the sums.
LANES void tile_panels(const TileBlock *b, size_t row, size_t panels, size_t nextLine, const int source, const int stride, const int rows,
                       const int ahead) {
    const size_t most = rows == 1 ? 4 : rows <= 3 ? 2 : 1;
    const char *next = b->next + nextLine * 64;
    // From one panel to the next: other lines of all four, or the lines of its own.
    const size_t nextStride = most == 1 && ahead > 1 ? ahead * 4 * 64 : b->nextPanelBytes;
    size_t p = 0;
    for (; p + most <= panels; p += most) tile(b, row, p, next + p * nextStride, source, stride, rows, most, ahead);
    for (; p < panels; p++) tile(b, row, p, next, source, stride, rows, 1, 0);
}

/// The same for a number of rows that is not a constant.
LANES void tile_of(const TileBlock *b, size_t row, size_t rows, size_t panels, size_t nextLine, const int source, const int stride, const int ahead) {
    switch (rows) {
    case 6: tile_panels(b, row, panels, nextLine, source, stride, 6, ahead); break;
    case 5: tile_panels(b, row, panels, nextLine, source, stride, 5, ahead); break;
    case 4: tile_panels(b, row, panels, nextLine, source, stride, 4, ahead); break;
    case 3: tile_panels(b, row, panels, nextLine, source, stride, 3, ahead); break;
    case 2: tile_panels(b, row, panels, nextLine, source, stride, 2, ahead); break;
    default: tile_panels(b, row, panels, nextLine, source, stride, 1, ahead); break;
    }
}

/// One tile that fetches its share of what is left to fetch: 16 lines of each panel for each one per four inputs. Returns what is left then.
LANES size_t tile_fetching(const TileBlock *b, size_t row, size_t rows, size_t panels, size_t left, size_t tilesLeft, const int source,
                           const int stride) {
    size_t line = b->nextLines - left;
    if (left == 0) tile_of(b, row, rows, panels, 0, source, stride, 0);
    else if (left <= 16 * tilesLeft) tile_of(b, row, rows, panels, line, source, stride, 1), left -= left < 16 ? left : 16;
    else if (left <= 32 * tilesLeft || source != FloatLines) tile_of(b, row, rows, panels, line, source, stride, 2), left -= left < 32 ? left : 32;
    else tile_of(b, row, rows, panels, line, source, stride, 4), left = 0;
    return left;
}

/// All rows against f32 lines, in tiles as even as can be; `row` first ones are done, and `left` lines remain to fetch.
LANES void tile_rows(const TileBlock *b, size_t row, size_t rows, size_t panels, size_t left, const int stride) {
    for (size_t tiles = (rows - row + RowsPerTile - 1) / RowsPerTile; tiles > 0; tiles--) {
        size_t n = (rows - row + tiles - 1) / tiles;
        left = tile_fetching(b, row, n, panels, left, tiles, FloatLines, stride);
        row += n;
    }
}

/// All rows against pairs of bf16.
LANES void tile_rows_bf16(const TileBlock *b, size_t rows, size_t panels, const int stride) {
    size_t tiles = (rows + RowsPerTile - 1) / RowsPerTile, n = (rows + tiles - 1) / tiles;
    if (tiles == 1) {
        tile_fetching(b, 0, rows, panels, b->nextLines, 1, PairLines, stride);
        return;
    }
    size_t left = tile_fetching(b, 0, n, panels, b->nextLines, tiles, PairLinesToExpand, stride);
    TileBlock rest = *b;
    rest.lines = (const char *)b->expanded;
    rest.panelBytes = ExpandedFloats * 4;
    tile_rows(&rest, n, rows, panels, left, stride);
}
