// Writing keys and values into a block's panels. One head, ascending tokens.

#include "convert.h"
#include <math.h>

static size_t element_bytes(TensorElement element) { return element == ElementF32 ? 4 : element == ElementInt8 ? 1 : 2; }

static size_t scale_bytes(TensorElement element, size_t blockTokens, size_t headDim) {
    return element == ElementInt8 ? kv_scale_bytes(blockTokens, headDim) : 0;
}

size_t kv_key_bytes(TensorElement element, size_t blockTokens, size_t headDim) {
    return scale_bytes(element, blockTokens, headDim) + blockTokens * headDim * element_bytes(element);
}

size_t kv_value_bytes(TensorElement element, size_t blockTokens, size_t headDim) {
    return scale_bytes(element, blockTokens, headDim) + blockTokens * round_up(headDim, 16) * element_bytes(element);
}

/// f16 ends at 65504, and a token that a row does not see is multiplied by zero: it must be finite.
static uint16_t finite_f16(float f) { return float_to_f16(f > 65504.0f ? 65504.0f : f < -65504.0f ? -65504.0f : f); }

/// The scale of n values: their largest magnitude / 127 as bf16, rounded up so that no value is cut off. A NaN makes it NaN, so that
/// what was no number does not come back as one. Infinities count as the largest finite value.
static uint16_t scale_of(const float *x, size_t n) {
    float largest = 0;
    for (size_t i = 0; i < n; i++) {
        float magnitude = fabsf(x[i]);
        if (magnitude != magnitude) return 0x7FC0;
        largest = magnitude > largest ? magnitude : largest;
    }
    float scale = (largest < 0x1p127f ? largest : 0x1p127f) * (1.0f / 127.0f);
    // Below the normal numbers a reciprocal may overflow: such values are zero.
    return scale < 0x1p-126f ? 0 : (uint16_t)((float_to_bits(scale) + 0xFFFF) >> 16);
}

/// One token's keys or values as int8: their scales to the block's, q for every dimension.
static void quantize_token(const float *x, size_t headDim, size_t blockTokens, size_t token, uint16_t *scales, int8_t *q) {
    for (size_t first = 0; first < headDim; first += KVScaleDims) {
        size_t n = headDim - first < KVScaleDims ? headDim - first : KVScaleDims;
        uint16_t scale = scale_of(x + first, n);
        float factor = bf16_to_float(scale), inverse = factor > 0 ? 1.0f / factor : 0;
        scales[kv_scale_index(blockTokens, token, first)] = scale;
        for (size_t d = first; d < first + n; d++) {
            float v = x[d] * inverse;
            v = v > 127 ? 127 : v > -127 ? v : -127;
            // Adding 1.5·2^23 rounds to the nearest integer, ties to even, and leaves it in the low bits.
            q[d] = (int8_t)(float_to_bits(v + MAGIC_FLOAT) - MAGIC_BITS);
        }
    }
}

void kv_store(TensorElement element, size_t blockTokens, size_t headDim, void *keys, void *values, size_t firstToken,
              size_t tokens, const float *k, size_t kStride, const float *v, size_t vStride) {
    size_t padded = round_up(headDim, 16), scales = scale_bytes(element, blockTokens, headDim);
    for (size_t i = 0; i < tokens; i++, k += kStride, v += vStride) {
        size_t t = firstToken + i;
        switch (element) {
        case ElementF32:
            for (size_t d = 0; d < headDim; d++) ((float *)keys)[key_index(element, headDim, t, d)] = k[d];
            for (size_t d = 0; d < padded; d++) ((float *)values)[value_index(element, blockTokens, t, d)] = d < headDim ? v[d] : 0;
            break;
        case ElementF16:
            for (size_t d = 0; d < headDim; d++) ((uint16_t *)keys)[key_index(element, headDim, t, d)] = finite_f16(k[d]);
            for (size_t d = 0; d < padded; d++)
                ((uint16_t *)values)[value_index(element, blockTokens, t, d)] = d < headDim ? finite_f16(v[d]) : 0;
            break;
        case ElementBF16:
            for (size_t d = 0; d < headDim; d++) ((uint16_t *)keys)[key_index(element, headDim, t, d)] = float_to_bf16(k[d]);
            for (size_t d = 0; d < padded; d++)
                ((uint16_t *)values)[value_index(element, blockTokens, t, d)] = d < headDim ? float_to_bf16(v[d]) : 0;
            break;
        case ElementInt8: {
            int8_t q[KernelHeadDim], *keyPanels = (int8_t *)keys + scales, *valuePanels = (int8_t *)values + scales;
            quantize_token(k, headDim, blockTokens, t, keys, q);
            for (size_t d = 0; d < headDim; d++) keyPanels[key_index(element, headDim, t, d)] = q[d];
            quantize_token(v, headDim, blockTokens, t, values, q);
            for (size_t d = 0; d < padded; d++) valuePanels[value_index(element, blockTokens, t, d)] = d < headDim ? q[d] : 0;
            break;
        }
        }
    }
}
