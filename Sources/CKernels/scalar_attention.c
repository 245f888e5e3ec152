// The reference attention: per (row, head), tile by tile, plain loops. The order of operations is the one that all
// tables keep: each softmax tile of 256 absolute positions gives a maximum, a sum and weighted values, and tiles are merged in
// order (FlashAttention, Dao et al. 2022, §3.1, with fixed tiles), so that cutting a context over threads changes nothing.

#include "scalar.h"

/// Element `index` of the panels of one head's keys or values; `scale` is its place among the scales that int8 panels have before them.
static float kv_at(const AttentionCall *c, const char *base, size_t index, size_t scale) {
    if (c->element != ElementInt8) return element_at(base, c->element, index);
    const int8_t *panels = (const int8_t *)base + kv_scale_bytes(c->blockTokens, c->headDim);
    return (float)panels[index] * element_at(base, ElementBF16, scale);
}

/// One tile of one (row, head) into a state { maximum, sum, …, values }.
static void tile_state(const AttentionCall *c, size_t kvHead, size_t row, size_t head, size_t tile, float *state) {
    const float *q = c->queries + row * c->queryStride + (kvHead * c->groupHeads + head) * c->headDim;
    size_t position = c->startPosition + row;
    size_t low = c->window <= position ? position - c->window + 1 : 0, high = position + 1;
    size_t begin = tile * KernelAttentionTile, end = begin + KernelAttentionTile;
    begin = begin < low ? low : begin;
    end = end > high ? high : end;

    float scores[KernelAttentionTile], largest = -INFINITY, sum = 0;
    float *values = state + KernelPartialHeader;
    for (size_t d = 0; d < c->headDim; d++) values[d] = 0;
    for (size_t t = begin; t < end; t++) {
        const char *page = (const char *)c->pages[t / c->blockTokens] + c->layerOffset + kvHead * c->headBytes;
        float score = 0;
        for (size_t d = 0; d < c->headDim; d++)
            score += q[d] * c->scale
                     * kv_at(c, page, key_index(c->element, c->headDim, t % c->blockTokens, d), kv_scale_index(c->blockTokens, t % c->blockTokens, d));
        scores[t - begin] = score;
        largest = fmaxf(largest, score);
    }
    for (size_t t = begin; t < end; t++) {
        const char *page = (const char *)c->pages[t / c->blockTokens] + c->layerOffset + kvHead * c->headBytes;
        float p = expf(scores[t - begin] - largest);
        sum += p;
        for (size_t d = 0; d < c->headDim; d++)
            values[d] += p
                         * kv_at(c, page + c->valueOffset, value_index(c->element, c->blockTokens, t % c->blockTokens, d),
                                 kv_scale_index(c->blockTokens, t % c->blockTokens, d));
    }
    state[0] = largest;
    state[1] = sum;
}

void scalar_attention_merge(const float *partial, size_t stride, size_t tiles, size_t headDim, float *y) {
    float largest = -INFINITY, sum = 0;
    float values[KernelHeadDim] = {0};
    for (size_t i = 0; i < tiles; i++, partial += stride) {
        if (partial[1] == 0) continue;  // nothing of this tile is visible to the row
        float newLargest = fmaxf(largest, partial[0]);
        float keep = expf(largest - newLargest), take = expf(partial[0] - newLargest);
        sum = sum * keep + partial[1] * take;
        for (size_t d = 0; d < headDim; d++) values[d] = values[d] * keep + partial[KernelPartialHeader + d] * take;
        largest = newLargest;
    }
    for (size_t d = 0; d < headDim; d++) y[d] = values[d] / sum;
}

void scalar_attention(const AttentionCall *c, size_t kvHead, size_t firstRow, size_t rows, size_t firstTile,
                      size_t tiles, float *partial, void *scratch) {
    size_t stride = kernel_partial_stride(c->headDim);
    float *total = scratch, *next = total + stride;
    for (size_t r = firstRow; r < firstRow + rows; r++)
        for (size_t h = 0; h < c->groupHeads; h++) {
            if (partial) {
                for (size_t t = 0; t < tiles; t++)
                    tile_state(c, kvHead, r, h, firstTile + t, partial + ((t * rows + r - firstRow) * c->groupHeads + h) * stride);
                continue;
            }
            // Two states at a time: the running total, unnormalised, and the next tile.
            total[0] = -INFINITY;
            total[1] = 0;
            for (size_t d = 0; d < c->headDim; d++) total[KernelPartialHeader + d] = 0;
            for (size_t t = 0; t < tiles; t++) {
                tile_state(c, kvHead, r, h, firstTile + t, next);
                if (next[1] == 0) continue;
                float largest = fmaxf(total[0], next[0]);
                float keep = expf(total[0] - largest), take = expf(next[0] - largest);
                total[0] = largest;
                total[1] = total[1] * keep + next[1] * take;
                for (size_t d = KernelPartialHeader; d < KernelPartialHeader + c->headDim; d++)
                    total[d] = total[d] * keep + next[d] * take;
            }
            float *y = c->y + r * c->yStride + (kvHead * c->groupHeads + h) * c->headDim;
            for (size_t d = 0; d < c->headDim; d++) y[d] = total[KernelPartialHeader + d] / total[1];
        }
}
