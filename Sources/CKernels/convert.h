// Conversions between the float types of tensors, one value at a time. Rounding is to nearest, ties to even.

#pragma once

#include "layout.h"
#include <string.h>

ALWAYS_INLINE float bits_to_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, 4);
    return f;
}
ALWAYS_INLINE uint32_t float_to_bits(float f) {
    uint32_t bits;
    memcpy(&bits, &f, 4);
    return bits;
}
ALWAYS_INLINE float bf16_to_float(uint16_t b) { return bits_to_float((uint32_t)b << 16); }
ALWAYS_INLINE uint16_t float_to_bf16(float f) {
    uint32_t bits = float_to_bits(f);
    if ((bits & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(bits >> 16 | 0x40);  // a NaN stays one, quiet
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
ALWAYS_INLINE float f16_to_float(uint16_t h) {
    // The exponent is moved by multiplying with 2^112, which normalises subnormals too; infinities and NaNs are mended.
    uint32_t magnitude = (uint32_t)(h & 0x7FFF) << 13;
    float scaled = bits_to_float(magnitude) * 0x1p112f;
    uint32_t bits = magnitude >= 0x0F800000 ? magnitude | 0x7F800000 : float_to_bits(scaled);
    return bits_to_float(bits | (uint32_t)(h & 0x8000) << 16);
}
ALWAYS_INLINE uint16_t float_to_f16(float f) {
    uint32_t bits = float_to_bits(f), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000) return (uint16_t)(sign | 0x7E00);
    if (magnitude >= 0x477FF000) return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000)  // subnormal: adding 0.5 leaves the value in units of 2^-24 in the low bits
        return (uint16_t)(sign | (float_to_bits(bits_to_float(magnitude) + 0.5f) - 0x3F000000));
    return (uint16_t)(sign | (magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13);
}

/// Element i of a tensor that may be unaligned.
ALWAYS_INLINE float element_at(const void *p, TensorElement element, size_t i) {
    if (element == ElementF32) {
        float f;
        memcpy(&f, (const char *)p + i * 4, 4);
        return f;
    }
    uint16_t h;
    memcpy(&h, (const char *)p + i * 2, 2);
    return element == ElementBF16 ? bf16_to_float(h) : f16_to_float(h);
}
