// Writing keys and values into a block's panels. One head, ascending tokens.

#include "convert.h"

size_t kv_key_bytes(TensorElement element, size_t blockTokens, size_t headDim) {
    return blockTokens * headDim * (element == ElementF32 ? 4 : 2);
}

size_t kv_value_bytes(TensorElement element, size_t blockTokens, size_t headDim) {
    return blockTokens * round_up(headDim, 16) * (element == ElementF32 ? 4 : 2);
}

/// f16 ends at 65504, and a token that a row does not see is multiplied by zero: it must be finite.
static uint16_t finite_f16(float f) { return float_to_f16(f > 65504.0f ? 65504.0f : f < -65504.0f ? -65504.0f : f); }

void kv_store(TensorElement element, size_t blockTokens, size_t headDim, void *keys, void *values, size_t firstToken,
              size_t tokens, const float *k, size_t kStride, const float *v, size_t vStride) {
    size_t padded = round_up(headDim, 16);
    for (size_t i = 0; i < tokens; i++, k += kStride, v += vStride) {
        size_t t = firstToken + i;
        if (element == ElementF32) {
            for (size_t d = 0; d < headDim; d++) ((float *)keys)[key_index(ElementF32, headDim, t, d)] = k[d];
            for (size_t d = 0; d < padded; d++)
                ((float *)values)[value_index(ElementF32, blockTokens, t, d)] = d < headDim ? v[d] : 0;
            continue;
        }
        if (element == ElementF16) {
            for (size_t d = 0; d < headDim; d++) ((uint16_t *)keys)[key_index(ElementF16, headDim, t, d)] = finite_f16(k[d]);
            for (size_t d = 0; d < padded; d++)
                ((uint16_t *)values)[value_index(ElementF16, blockTokens, t, d)] = d < headDim ? finite_f16(v[d]) : 0;
            continue;
        }
        for (size_t d = 0; d < headDim; d++)
            ((uint16_t *)keys)[key_index(ElementBF16, headDim, t, d)] = float_to_bf16(k[d]);
        for (size_t d = 0; d < padded; d++) {
            uint16_t *pair = (uint16_t *)values + value_index(ElementBF16, blockTokens, t & ~(size_t)1, d);
            pair[t % 2] = d < headDim ? float_to_bf16(v[d]) : 0;
            if (t % 2 == 0) pair[1] = 0;  // its partner is read with weight zero until it is written: it must be finite
        }
    }
}
