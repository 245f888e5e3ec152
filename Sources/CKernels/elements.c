// Runs of elements between types, for packing, adapters and tests.

#include "convert.h"

void elements_to_f32(const void *in, TensorElement element, size_t n, float *out) {
    if (element == ElementF32)
        memcpy(out, in, n * 4);
    else if (element == ElementBF16)
        for (size_t i = 0; i < n; i++) out[i] = element_at(in, ElementBF16, i);
    else
        for (size_t i = 0; i < n; i++) out[i] = element_at(in, ElementF16, i);
}

void elements_from_f32(const float *in, TensorElement element, size_t n, void *out) {
    if (element == ElementF32) {
        memcpy(out, in, n * 4);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t h = element == ElementBF16 ? float_to_bf16(in[i]) : float_to_f16(in[i]);
        memcpy((char *)out + i * 2, &h, 2);
    }
}
