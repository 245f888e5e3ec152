// Attention on vector lanes. Pieces of keys and values become panels of f32, so both products are panel products over up to 64 (row, head)
// pairs that share the keys and values of one key-value head.
//
// Per tile of 256 positions: scores, then per pair the maximum, exponentials and their sum, then weighted values. Tokens that a row does
// not see get score −∞ and weight zero. What a page holds beyond the last row's token may be anything; it is never a factor.

#pragma once

#include "attention_few.h"

typedef struct {
    float piece[PieceFloats];
    float q[KernelAttentionRows * KernelHeadDim];
    float scores[KernelAttentionRows * KernelAttentionTile];
    float values[KernelAttentionRows * KernelHeadDim];
    float total[KernelAttentionRows * KernelHeadDim];
    float largest[KernelAttentionRows], sum[KernelAttentionRows];
    float totalLargest[KernelAttentionRows], totalSum[KernelAttentionRows];
} AttentionScratch;
_Static_assert(sizeof(AttentionScratch) <= KernelScratchBytes, "attention fits scratch");

/// Scores of the tokens from..<end of one tile; the first is a multiple of 16.
LANES void tile_scores(const AttentionCall *c, size_t kvHead, size_t pairs, size_t from, size_t end, size_t tileStart, AttentionScratch *s) {
    for (size_t t = from; t < end; t += PieceTokens) {
        size_t panels = ((end - t < PieceTokens ? end - t : PieceTokens) + 15) / 16;
        for (size_t d = 0; d < c->headDim; d += PieceDims) {
            size_t dims = c->headDim - d < PieceDims ? c->headDim - d : PieceDims;
            expand_keys(c, kvHead, t, panels, d, dims, s->piece);
            PanelProduct product = {
                .x = s->q + d, .xStride = KernelHeadDim,
                .panels = (const char *)s->piece,
                .panelBytes = dims * 16 * 4,
                .inputs = dims,
                .sums = s->scores + (t - tileStart), .sumStride = KernelAttentionTile,
                .fresh = d == 0,
            };
            panel_product(ElementF32, &product, pairs, panels);
        }
    }
}

/// Values of those tokens, summed with their weights.
LANES void tile_values(const AttentionCall *c, size_t kvHead, size_t pairs, size_t from, size_t end, size_t tileStart, AttentionScratch *s) {
    for (size_t t = from; t < end; t += PieceTokens) {
        size_t tokens = end - t < PieceTokens ? end - t : PieceTokens;
        for (size_t d = 0; d < c->headDim; d += PieceDims) {
            size_t panels = ((c->headDim - d < PieceDims ? c->headDim - d : PieceDims) + 15) / 16;
            expand_values(c, kvHead, t, round_up(tokens, 16), d, panels, s->piece);
            PanelProduct product = {
                .x = s->scores + (t - tileStart), .xStride = KernelAttentionTile,
                .panels = (const char *)s->piece,
                .panelBytes = round_up(tokens, 16) * 16 * 4,
                .inputs = tokens,
                .sums = s->values + d, .sumStride = KernelHeadDim,
                .fresh = t == from,
            };
            panel_product(ElementF32, &product, pairs, panels);
        }
    }
}

/// Scores to weights: per pair the maximum over the tokens its row sees, exponentials, and their sum in a fixed order.
LANES void tile_softmax(const AttentionCall *c, size_t firstRow, size_t pairs, size_t begin, size_t end, size_t tileStart, AttentionScratch *s) {
    const I16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    begin -= tileStart;
    size_t to = round_up(end - tileStart, 16);
    for (size_t i = 0; i < pairs; i++) {
        size_t position = c->startPosition + firstRow + i / c->groupHeads;
        size_t low = c->window <= position ? position - c->window + 1 : 0;
        // The row sees tokens low...position; relative to the tile.
        int32_t first = low > tileStart ? (int32_t)(low - tileStart) : 0;
        int32_t last = position >= tileStart + KernelAttentionTile ? KernelAttentionTile - 1 : (int32_t)((int64_t)position - (int64_t)tileStart);
        float *scores = s->scores + i * KernelAttentionTile;
        F16 top = all16(-INFINITY);
        for (size_t t = begin; t < to; t += 16) {
            I16 index = lane + (int32_t)t;
            F16 v = load16(scores + t);
            if ((int32_t)t < first || (int32_t)t + 15 > last) {
                v = select16((index >= first) & (index <= last), v, all16(-INFINITY));
                store16(scores + t, v);
            }
            top = max16(v, top);
        }
        float largest = max_of16(top);
        s->largest[i] = largest;
        F16 sum = all16(0);
        // A row that sees nothing of this tile has weights zero, not exp(−∞ + ∞).
        F16 subtract = all16(largest == -INFINITY ? 0 : largest);
        for (size_t t = begin; t < to; t += 16) {
            F16 p = exp16(load16(scores + t) - subtract);
            store16(scores + t, p);
            sum += p;
        }
        s->sum[i] = sum16(sum);
    }
}

/// total ← total merged with one more state. Merging a state without weight changes nothing.
LANES void merge_state(float *totalLargest, float *totalSum, float *total, float largest, float sum, const float *values, size_t headDim) {
    if (sum == 0) return;
    float top = *totalLargest > largest ? *totalLargest : largest;
    F16 factors = exp16((F16){*totalLargest - top, largest - top});
    float keep = factors[0], take = factors[1];
    *totalLargest = top;
    *totalSum = *totalSum * keep + sum * take;
    for (size_t d = 0; d < headDim; d += 16) store16(total + d, fma16(load16(values + d), all16(take), load16(total + d) * keep));
}

LANES void finish_state(float sum, const float *total, size_t headDim, float *y) {
    for (size_t d = 0; d < headDim; d += 16) {
        F16 v = load16(total + d) / sum;
        if (headDim - d >= 16) store16(y + d, v);
        else store_first(y + d, v, headDim - d);
    }
}

static void attention(const AttentionCall *c, size_t kvHead, size_t firstRow, size_t rows, size_t firstTile, size_t tiles,
                      float *partial, void *scratch) {
    AttentionScratch *s = scratch;
    size_t pairs = rows * c->groupHeads, stateFloats = kernel_partial_stride(c->headDim);
    int few = pairs <= FewPairs && (c->element == ElementF16 || c->element == ElementInt8);
    for (size_t i = 0; i < pairs; i++) {
        const float *q = c->queries + (firstRow + i / c->groupHeads) * c->queryStride + (kvHead * c->groupHeads + i % c->groupHeads) * c->headDim;
        for (size_t d = 0; d < c->headDim; d++) s->q[i * KernelHeadDim + d] = q[d] * c->scale;
        s->totalLargest[i] = -INFINITY;
        s->totalSum[i] = 0;
        for (size_t d = 0; d < c->headDim; d += 16) store16(s->total + i * KernelHeadDim + d, all16(0));
    }
    size_t position = c->startPosition + firstRow;  // of the first row: it sees furthest back
    size_t low = c->window <= position ? position - c->window + 1 : 0, high = position + rows;
    size_t limit = high < (firstTile + tiles) * KernelAttentionTile ? high : (firstTile + tiles) * KernelAttentionTile;
    for (size_t tile = firstTile; tile < firstTile + tiles; tile++) {
        size_t tileStart = tile * KernelAttentionTile;
        size_t begin = low > tileStart ? low : tileStart, end = high < tileStart + KernelAttentionTile ? high : tileStart + KernelAttentionTile;
        size_t from = begin & ~(size_t)15;
        if (few) few_scores(c, kvHead, pairs, from, end, s->q, s->scores + (from - tileStart));
        else tile_scores(c, kvHead, pairs, from, end, tileStart, s);
        tile_softmax(c, firstRow, pairs, from, end, tileStart, s);
        if (few) few_sums(c, kvHead, pairs, from, end, limit, s->scores + (from - tileStart), s->values);
        else tile_values(c, kvHead, pairs, from, end, tileStart, s);
        for (size_t i = 0; i < pairs; i++) {
            const float *values = s->values + i * KernelHeadDim;
            if (partial) {
                float *state = partial + ((tile - firstTile) * pairs + i) * stateFloats;
                state[0] = s->largest[i];
                state[1] = s->sum[i];
                for (size_t d = 0; d < c->headDim; d += 16) store16(state + KernelPartialHeader + d, load16(values + d));
            } else {
                merge_state(&s->totalLargest[i], &s->totalSum[i], s->total + i * KernelHeadDim, s->largest[i], s->sum[i], values, c->headDim);
            }
        }
    }
    if (partial) return;
    for (size_t i = 0; i < pairs; i++) {
        float *y = c->y + (firstRow + i / c->groupHeads) * c->yStride + (kvHead * c->groupHeads + i % c->groupHeads) * c->headDim;
        finish_state(s->totalSum[i], s->total + i * KernelHeadDim, c->headDim, y);
    }
}

static void attention_merge(const float *partial, size_t stride, size_t tiles, size_t headDim, float *y) {
    float total[KernelHeadDim] __attribute__((aligned(64)));
    float largest = -INFINITY, sum = 0;
    for (size_t d = 0; d < headDim; d += 16) store16(total + d, all16(0));
    for (size_t t = 0; t < tiles; t++, partial += stride)
        merge_state(&largest, &sum, total, partial[0], partial[1], partial + KernelPartialHeader, headDim);
    finish_state(sum, total, headDim, y);
}
