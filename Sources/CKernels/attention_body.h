// Attention on vector lanes. Keys and values are panels, so both products are panel products over up to 64 (row, head) pairs that share
// the keys and values of one key-value head.
//
// Per tile of 256 positions: scores, then per pair the maximum, exponentials and their sum, then weighted values. Tokens that a row does
// not see get score −∞ and weight zero. What a page holds beyond the last row's token may be anything; it is never a factor, except that
// the second of a pair of bf16 values meets weight zero, and is zero until it is written (kv_store).

#pragma once

#include "panel_product.h"

typedef struct {
    float q[KernelAttentionRows * KernelHeadDim];
    float scores[KernelAttentionRows * KernelAttentionTile];
    float values[KernelAttentionRows * KernelHeadDim];
    float total[KernelAttentionRows * KernelHeadDim];
    float largest[KernelAttentionRows], sum[KernelAttentionRows];
    float totalLargest[KernelAttentionRows], totalSum[KernelAttentionRows];
} AttentionScratch;
_Static_assert(sizeof(AttentionScratch) <= KernelScratchBytes, "attention fits scratch");

/// Both products of one tile over the tokens begin..<end, page by page.
LANES void tile_scores(const AttentionCall *c, size_t kvHead, size_t pairs, size_t begin, size_t end, size_t tileStart, AttentionScratch *s) {
    size_t elementBytes = c->element == ElementF32 ? 4 : 2;
    for (size_t t = begin & ~(size_t)15; t < end;) {
        size_t inPage = t % c->blockTokens, stop = t - inPage + c->blockTokens;
        stop = stop < end ? stop : end;
        const char *page = (const char *)c->pages[t / c->blockTokens] + c->layerOffset + kvHead * c->headBytes;
        PanelProduct product = {
            .x = s->q, .xStride = KernelHeadDim,
            .panels = page + inPage * c->headDim * elementBytes,
            .panelBytes = 16 * c->headDim * elementBytes,
            .inputs = c->headDim,
            .sums = s->scores + (t - tileStart), .sumStride = KernelAttentionTile,
            .fresh = 1,
        };
        panel_product(c->element, &product, pairs, (stop - t + 15) / 16);
        t = stop;
    }
}

LANES void tile_values(const AttentionCall *c, size_t kvHead, size_t pairs, size_t begin, size_t end, size_t tileStart, AttentionScratch *s) {
    size_t elementBytes = c->element == ElementF32 ? 4 : 2;
    int fresh = 1;
    for (size_t t = begin & ~(size_t)15; t < end; fresh = 0) {
        size_t inPage = t % c->blockTokens, stop = t - inPage + c->blockTokens;
        stop = stop < end ? stop : end;
        const char *page = (const char *)c->pages[t / c->blockTokens] + c->layerOffset + kvHead * c->headBytes + c->valueOffset;
        PanelProduct product = {
            .x = s->scores + (t - tileStart), .xStride = KernelAttentionTile,
            .panels = page + inPage * 16 * elementBytes,
            .panelBytes = 16 * c->blockTokens * elementBytes,
            .inputs = stop - t,
            .sums = s->values, .sumStride = KernelHeadDim,
            .fresh = fresh,
        };
        panel_product(c->element, &product, pairs, (c->headDim + 15) / 16);
        t = stop;
    }
}

/// Scores to weights: per pair the maximum over the tokens its row sees, exponentials, and their sum in a fixed order.
LANES void tile_softmax(const AttentionCall *c, size_t firstRow, size_t pairs, size_t begin, size_t end, size_t tileStart, AttentionScratch *s) {
    const I16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    size_t from = (begin & ~(size_t)15) - tileStart, to = round_up(end - tileStart, 16);
    for (size_t i = 0; i < pairs; i++) {
        size_t position = c->startPosition + firstRow + i / c->groupHeads;
        size_t low = c->window <= position ? position - c->window + 1 : 0;
        // The row sees tokens low...position; relative to the tile.
        int32_t first = low > tileStart ? (int32_t)(low - tileStart) : 0;
        int32_t last = position >= tileStart + KernelAttentionTile ? KernelAttentionTile - 1 : (int32_t)((int64_t)position - (int64_t)tileStart);
        float *scores = s->scores + i * KernelAttentionTile;
        F16 top = all16(-INFINITY);
        for (size_t t = from; t < to; t += 16) {
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
        for (size_t t = from; t < to; t += 16) {
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
    for (size_t i = 0; i < pairs; i++) {
        const float *q = c->queries + (firstRow + i / c->groupHeads) * c->queryStride + (kvHead * c->groupHeads + i % c->groupHeads) * c->headDim;
        for (size_t d = 0; d < c->headDim; d++) s->q[i * KernelHeadDim + d] = q[d] * c->scale;
        s->totalLargest[i] = -INFINITY;
        s->totalSum[i] = 0;
        for (size_t d = 0; d < c->headDim; d += 16) store16(s->total + i * KernelHeadDim + d, all16(0));
    }
    size_t position = c->startPosition + firstRow;  // of the first row: it sees furthest back
    size_t low = c->window <= position ? position - c->window + 1 : 0, high = position + rows;
    for (size_t tile = firstTile; tile < firstTile + tiles; tile++) {
        size_t tileStart = tile * KernelAttentionTile;
        size_t begin = low > tileStart ? low : tileStart, end = high < tileStart + KernelAttentionTile ? high : tileStart + KernelAttentionTile;
        tile_scores(c, kvHead, pairs, begin, end, tileStart, s);
        tile_softmax(c, firstRow, pairs, begin, end, tileStart, s);
        tile_values(c, kvHead, pairs, begin, end, tileStart, s);
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
