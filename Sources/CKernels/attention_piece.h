// Cached keys and values as panels of f32: what attention multiplies with.
//
// A *piece* is 64 tokens × 64 dimensions, 16 KiB: four panels, which the inner loop takes in one go, in half of a small first-level
// cache. It is expanded once, whatever the format, however small the pages are that it comes from, and then used by all rows and
// heads that share it. For one row that costs less than waiting for memory; for many it is little beside the products.

#pragma once

#include "lanes.h"

enum { PieceTokens = 64, PieceDims = 64, PieceFloats = PieceTokens * PieceDims };

LANES F16 from_int8(const int8_t *p) {
    B16 b;
    memcpy(&b, p, 16);
    return __builtin_convertvector(b, F16);
}

/// Two lines of 16 of a panel of bf16 pairs.
LANES void expand_pair(const uint16_t *p, float *out) {
    U16 pair;
    memcpy(&pair, p, 64);
    store16(out, (F16)(pair << 16));
    store16(out + 16, (F16)(pair & 0xFFFF0000));
}

/// Keys or values of the head in the page of `token`.
LANES const char *head_of(const AttentionCall *c, size_t kvHead, size_t token) {
    return (const char *)c->pages[token / c->blockTokens] + c->layerOffset + kvHead * c->headBytes;
}

/// Keys of `panels` times 16 tokens from `token`, dimensions firstDim..<firstDim + dims: out[panel][dimension][16].
LANES void expand_keys_of(const AttentionCall *c, const TensorElement element, size_t kvHead, size_t token, size_t panels, size_t firstDim,
                          size_t dims, float *out) {
    for (size_t p = 0; p < panels; p++, token += 16, out += dims * 16) {
        const char *keys = head_of(c, kvHead, token);
        size_t inPage = token % c->blockTokens, index = (inPage * c->headDim) + firstDim * 16;
        if (element == ElementInt8) {
            const int8_t *panel = (const int8_t *)keys + kv_scale_bytes(c->blockTokens, c->headDim) + index;
            for (size_t d = 0; d < dims; d += KVScaleDims) {
                size_t n = dims - d < KVScaleDims ? dims - d : KVScaleDims;
                F16 scale = load_element(keys, ElementBF16, kv_scale_index(c->blockTokens, inPage, firstDim + d));
                for (size_t i = d; i < d + n; i++) store16(out + i * 16, from_int8(panel + i * 16) * scale);
            }
        } else if (element == ElementBF16) {
            for (size_t d = 0; d < dims; d += 2) expand_pair((const uint16_t *)keys + index + d * 16, out + d * 16);
        } else {
            for (size_t d = 0; d < dims; d++) store16(out + d * 16, load_element(keys, element, index + d * 16));
        }
    }
}

/// Values of `tokens` (a multiple of 16) tokens from `token`, in `panels` times 16 dimensions from firstDim: out[panel][token][16].
LANES void expand_values_of(const AttentionCall *c, const TensorElement element, size_t kvHead, size_t token, size_t tokens, size_t firstDim,
                            size_t panels, float *out) {
    for (size_t t = 0; t < tokens; t += 16) {
        const char *values = head_of(c, kvHead, token + t) + c->valueOffset;
        size_t inPage = (token + t) % c->blockTokens;
        for (size_t p = 0; p < panels; p++) {
            size_t d = firstDim + p * 16, index = d * c->blockTokens + inPage * 16;
            float *lines = out + (p * tokens + t) * 16;
            if (element == ElementInt8) {
                const int8_t *panel = (const int8_t *)values + kv_scale_bytes(c->blockTokens, c->headDim) + index;
                float scales[16] __attribute__((aligned(64)));
                store16(scales, load_element(values, ElementBF16, kv_scale_index(c->blockTokens, inPage, d)));
                for (size_t i = 0; i < 16; i++) store16(lines + i * 16, from_int8(panel + i * 16) * all16(scales[i]));
            } else if (element == ElementBF16) {
                for (size_t i = 0; i < 16; i += 2) expand_pair((const uint16_t *)values + index + i * 16, lines + i * 16);
            } else {
                for (size_t i = 0; i < 16; i++) store16(lines + i * 16, load_element(values, element, index + i * 16));
            }
        }
    }
}

static __attribute__((noinline)) void expand_keys(const AttentionCall *c, size_t kvHead, size_t token, size_t panels, size_t firstDim, size_t dims,
                                                  float *out) {
    switch (c->element) {
    case ElementF32: expand_keys_of(c, ElementF32, kvHead, token, panels, firstDim, dims, out); break;
    case ElementF16: expand_keys_of(c, ElementF16, kvHead, token, panels, firstDim, dims, out); break;
    case ElementBF16: expand_keys_of(c, ElementBF16, kvHead, token, panels, firstDim, dims, out); break;
    case ElementInt8: expand_keys_of(c, ElementInt8, kvHead, token, panels, firstDim, dims, out); break;
    }
}

static __attribute__((noinline)) void expand_values(const AttentionCall *c, size_t kvHead, size_t token, size_t tokens, size_t firstDim,
                                                    size_t panels, float *out) {
    switch (c->element) {
    case ElementF32: expand_values_of(c, ElementF32, kvHead, token, tokens, firstDim, panels, out); break;
    case ElementF16: expand_values_of(c, ElementF16, kvHead, token, tokens, firstDim, panels, out); break;
    case ElementBF16: expand_values_of(c, ElementBF16, kvHead, token, tokens, firstDim, panels, out); break;
    case ElementInt8: expand_values_of(c, ElementInt8, kvHead, token, tokens, firstDim, panels, out); break;
    }
}
