// Both products of attention for at most six (row, head) pairs: decoding. Keys and values are read once, so they go from memory to
// registers and are widened there; a piece in f32 (attention_piece.h) would cost as much again as the products.
//
// A tile's keys are followed by its values, and those by the next tile's keys, in pages that lie anywhere. So each loop asks, one line for
// each that it uses, for what comes next (into the second-level cache: it is up to 32 KiB until its turn).
//
// The operations and their order per pair are those of the pieces, so a row's bits do not tell which way it went.

#pragma once

#include "attention_piece.h"
#include "panel_product.h"

enum {
    FewPairs = RowsInFlight,
    /// Panels that one pair has in flight.
    FewPanels = 4,
};

/// Panels whose sums stay in registers: with few pairs more than one even where registers are few, or each addition would wait for the one before.
LANES size_t few_panels(const int pairs) { return PANELS_IN_FLIGHT > 1 ? PANELS_IN_FLIGHT : pairs == 1 ? 4 : pairs <= 3 ? 2 : 1; }

LANES size_t few_element_bytes(TensorElement element) { return element == ElementInt8 ? 1 : 2; }
LANES void prefetch_next(const char *p) { __builtin_prefetch(p, 0, 2); }

/// Scores of `count` times 16 tokens from `token`, for `pairs` rows of q.
LANES void few_keys(const AttentionCall *c, const TensorElement element, size_t kvHead, size_t token, const float *q, float *scores,
                    const int pairs, const int count) {
    const size_t lineBytes = 16 * few_element_bytes(element);
    const char *keys[FewPanels], *line[FewPanels], *next[FewPanels];
    F16 sum[FewPairs][FewPanels], scale[FewPanels];
    for (int p = 0; p < count; p++) {
        size_t inPage = (token + p * 16) % c->blockTokens;
        keys[p] = head_of(c, kvHead, token + p * 16);
        line[p] = keys[p] + inPage / 16 * c->headDim * lineBytes;
        if (element == ElementInt8) line[p] += kv_scale_bytes(c->blockTokens, c->headDim);
        next[p] = keys[p] + c->valueOffset + inPage * lineBytes;
        for (int r = 0; r < pairs; r++) sum[r][p] = all16(0);
    }
    for (size_t first = 0; first < c->headDim; first += 16) {
        size_t end = c->headDim - first < 16 ? c->headDim : first + 16;
        if (element == ElementInt8 && first % KVScaleDims == 0)
            for (int p = 0; p < count; p++)
                scale[p] = load_element(keys[p], ElementBF16, kv_scale_index(c->blockTokens, (token + p * 16) % c->blockTokens, first));
        for (size_t d = first; d < end; d += 4) {  // a head's size is a multiple of 4
            for (int p = 0; p < count; p++)
                for (size_t b = 0; b < 4 * lineBytes; b += 64) prefetch_next(next[p] + (d - first) * lineBytes + b);
            for (size_t i = d; i < d + 4; i++) {
                F16 k[FewPanels];
                for (int p = 0; p < count; p++)
                    k[p] = element == ElementInt8 ? from_int8((const int8_t *)line[p] + i * lineBytes) * scale[p] : load_element(line[p], element, i * 16);
                for (int r = 0; r < pairs; r++) {
                    F16 x = all16(q[r * KernelHeadDim + i]);
                    for (int p = 0; p < count; p++) sum[r][p] = fma16(x, k[p], sum[r][p]);
                }
            }
        }
        for (int p = 0; p < count; p++) next[p] += c->blockTokens * lineBytes;
    }
    for (int r = 0; r < pairs; r++)
        for (int p = 0; p < count; p++) store16(scores + r * KernelAttentionTile + p * 16, sum[r][p]);
}

/// Weighted values of the tokens `token`..<`end` (the first a multiple of 16) in `count` times 16 dimensions from `dim`. `limit`: the first
/// token whose keys will not be wanted.
LANES void few_values(const AttentionCall *c, const TensorElement element, size_t kvHead, size_t token, size_t end, size_t limit,
                      const float *weights, size_t dim, float *sums, const int pairs, const int count) {
    const size_t lineBytes = count * 16 * few_element_bytes(element);
    F16 sum[FewPairs][FewPanels];
    for (int r = 0; r < pairs; r++)
        for (int p = 0; p < count; p++) sum[r][p] = all16(0);
    for (; token < end; token += 16, weights += 16) {
        const char *values = head_of(c, kvHead, token) + c->valueOffset;
        size_t inPage = token % c->blockTokens, n = end - token < 16 ? end - token : 16;
        size_t index = dim * c->blockTokens + inPage * 16;
        float scales[FewPanels][16] __attribute__((aligned(64)));
        if (element == ElementInt8) {
            index += kv_scale_bytes(c->blockTokens, c->headDim);
            for (int p = 0; p < count; p++)
                store16(scales[p], load_element(values, ElementBF16, kv_scale_index(c->blockTokens, inPage, dim + p * 16)));
        }
        size_t nextToken = token + KernelAttentionTile < limit ? token + KernelAttentionTile : token;
        const char *next = head_of(c, kvHead, nextToken) + (nextToken % c->blockTokens * c->headDim + dim * 16) * few_element_bytes(element);
        for (size_t t = 0; t < n; t++, next += lineBytes) {
            F16 v[FewPanels];
            for (size_t b = 0; b < lineBytes; b += 64) prefetch_next(next + b);
            for (int p = 0; p < count; p++) {
                size_t line = index + p * 16 * c->blockTokens + t * 16;
                v[p] = element == ElementInt8 ? from_int8((const int8_t *)values + line) * all16(scales[p][t]) : load_element(values, element, line);
            }
            for (int r = 0; r < pairs; r++) {
                F16 x = all16(weights[r * KernelAttentionTile + t]);
                for (int p = 0; p < count; p++) sum[r][p] = fma16(x, v[p], sum[r][p]);
            }
        }
    }
    for (int r = 0; r < pairs; r++)
        for (int p = 0; p < count; p++) store16(sums + r * KernelHeadDim + p * 16, sum[r][p]);
}

LANES void few_scores_of(const AttentionCall *c, const TensorElement element, size_t kvHead, const int pairs, size_t token, size_t end,
                         const float *q, float *scores) {
    const size_t most = few_panels(pairs);
    for (; token + most * 16 < end + 16; token += most * 16, scores += most * 16) few_keys(c, element, kvHead, token, q, scores, pairs, most);
    for (; token < end; token += 16, scores += 16) few_keys(c, element, kvHead, token, q, scores, pairs, 1);
}

LANES void few_values_of(const AttentionCall *c, const TensorElement element, size_t kvHead, const int pairs, size_t token, size_t end,
                         size_t limit, const float *weights, float *sums) {
    const size_t most = few_panels(pairs);
    size_t d = 0;
    for (; d + most * 16 <= c->headDim; d += most * 16) few_values(c, element, kvHead, token, end, limit, weights, d, sums + d, pairs, most);
    for (; d < c->headDim; d += 16) few_values(c, element, kvHead, token, end, limit, weights, d, sums + d, pairs, 1);
}

#define FOR_FEW_PAIRS(CALL)                                     \
    switch (pairs) {                                            \
    case 1: CALL(1); break;                                     \
    case 2: CALL(2); break;                                     \
    case 3: CALL(3); break;                                     \
    case 4: CALL(4); break;                                     \
    case 5: CALL(5); break;                                     \
    case 6: CALL(6); break;                                     \
    default: break;                                             \
    }

/// Scores of the tokens token..<end, for at most six pairs. f16 and int8 only.
static __attribute__((noinline)) void few_scores(const AttentionCall *c, size_t kvHead, size_t pairs, size_t token, size_t end, const float *q,
                                                 float *scores) {
#define F16_SCORES(N) few_scores_of(c, ElementF16, kvHead, N, token, end, q, scores)
#define INT8_SCORES(N) few_scores_of(c, ElementInt8, kvHead, N, token, end, q, scores)
    if (c->element == ElementF16) FOR_FEW_PAIRS(F16_SCORES)
    else FOR_FEW_PAIRS(INT8_SCORES)
}

static __attribute__((noinline)) void few_sums(const AttentionCall *c, size_t kvHead, size_t pairs, size_t token, size_t end,
                                               size_t limit, const float *weights, float *sums) {
#define F16_VALUES(N) few_values_of(c, ElementF16, kvHead, N, token, end, limit, weights, sums)
#define INT8_VALUES(N) few_values_of(c, ElementInt8, kvHead, N, token, end, limit, weights, sums)
    if (c->element == ElementF16) FOR_FEW_PAIRS(F16_VALUES)
    else FOR_FEW_PAIRS(INT8_VALUES)
}
