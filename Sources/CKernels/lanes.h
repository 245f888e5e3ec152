// Sixteen f32 lanes, in the compiler's vector extension: one register of AVX-512, two of AVX2, four of NEON.
//
// The float kernels are written on these once (the *_body.h files) and compiled once per instruction set: a table_*.c file
// sets the target attribute for all functions, then includes the bodies. Everything here is inlined into them.

#pragma once

#include "scalar.h"

typedef float F16 __attribute__((vector_size(64), aligned(64)));
typedef int32_t I16 __attribute__((vector_size(64), aligned(64)));
typedef uint32_t U16 __attribute__((vector_size(64), aligned(64)));
typedef uint16_t H16 __attribute__((vector_size(32), aligned(32)));
typedef int8_t B16 __attribute__((vector_size(16), aligned(16)));

#define LANES ALWAYS_INLINE

LANES F16 load16(const float *p) {
    F16 v;
    memcpy(&v, p, 64);
    return v;
}
LANES void store16(float *p, F16 v) { memcpy(p, &v, 64); }
LANES F16 all16(float x) { return (F16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
LANES F16 fma16(F16 a, F16 b, F16 c) { return __builtin_elementwise_fma(a, b, c); }
/// The larger of each pair; b where a is not a number.
LANES F16 max16(F16 a, F16 b) { return (F16)(((U16)a & (U16)(a > b)) | ((U16)b & ~(U16)(a > b))); }
LANES F16 min16(F16 a, F16 b) { return (F16)(((U16)a & (U16)(a < b)) | ((U16)b & ~(U16)(a < b))); }
LANES F16 select16(I16 mask, F16 a, F16 b) { return (F16)(((U16)a & (U16)mask) | ((U16)b & ~(U16)mask)); }
LANES F16 abs16(F16 a) { return (F16)((U16)a & 0x7FFFFFFF); }

/// The first n <= 16 values, `rest` beyond. All sixteen are the rule, and must not become a call of memcpy.
LANES F16 load_first(const float *p, size_t n, float rest) {
    if (n == 16) return load16(p);
    F16 v = all16(rest);
    memcpy(&v, p, n * 4);
    return v;
}
LANES void store_first(float *p, F16 v, size_t n) {
    if (n == 16) store16(p, v);
    else memcpy(p, &v, n * 4);
}

LANES F16 from_bf16(H16 h) { return (F16)(__builtin_convertvector(h, U16) << 16); }
/// Sixteen halves to floats, by the instruction that all our targets have (F16C, AVX-512, NEON).
LANES F16 from_f16(H16 h) {
    typedef _Float16 Halves __attribute__((vector_size(32), aligned(32)));
    return __builtin_convertvector((Halves)h, F16);
}
LANES F16 load_element(const void *base, TensorElement element, size_t index) {
    if (element == ElementF32) return load16((const float *)base + index);
    H16 h;
    memcpy(&h, (const uint16_t *)base + index, 32);
    return element == ElementF16 ? from_f16(h) : from_bf16(h);
}
LANES F16 load_element_first(const void *base, TensorElement element, size_t index, size_t n) {
    if (n == 16) return load_element(base, element, index);
    if (element == ElementF32) return load_first((const float *)base + index, n, 0);
    H16 h = {0};
    memcpy(&h, (const uint16_t *)base + index, n * 2);
    return element == ElementF16 ? from_f16(h) : from_bf16(h);
}

typedef float F8 __attribute__((vector_size(32)));
typedef float F4 __attribute__((vector_size(16)));
typedef uint32_t U8 __attribute__((vector_size(32)));
typedef uint32_t U4 __attribute__((vector_size(16)));

/// Sum of the lanes, always as halves, quarters, eighths, pairs.
LANES float sum16(F16 v) {
    F8 a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
    F4 b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    return (b[0] + b[2]) + (b[1] + b[3]);
}
/// The sums of four vectors, each in sum16's order: a reduction of four costs little more than one of one.
LANES F4 sums16(const F16 v[4]) {
    F4 quarters[4];
    for (int i = 0; i < 4; i++) {
        F8 a = __builtin_shufflevector(v[i], v[i], 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(v[i], v[i], 8, 9, 10, 11, 12, 13, 14, 15);
        quarters[i] = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    }
    F4 low = __builtin_shufflevector(quarters[0], quarters[1], 0, 1, 4, 5) + __builtin_shufflevector(quarters[0], quarters[1], 2, 3, 6, 7);
    F4 high = __builtin_shufflevector(quarters[2], quarters[3], 0, 1, 4, 5) + __builtin_shufflevector(quarters[2], quarters[3], 2, 3, 6, 7);
    return __builtin_shufflevector(low, high, 0, 2, 4, 6) + __builtin_shufflevector(low, high, 1, 3, 5, 7);
}
/// The largest lane, of lanes that are numbers.
LANES float max_of16(F16 v) {
    v = max16(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
    v = max16(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11));
    v = max16(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
    v = max16(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14));
    return v[0];
}

/// exp, to about 1 ulp; 0 below −87.3 (where results would be subnormal), ∞ above 88.7; exactly 1 at 0. NaN stays NaN.
/// 2^n · p(r) with r = x − n·log 2 in two parts, p the degree-6 minimax polynomial of Cephes (expf).
LANES F16 exp16(F16 x) {
    F16 shifted = fma16(x, all16(1.44269504088896341f), all16(MAGIC_FLOAT));
    F16 n = shifted - MAGIC_FLOAT;
    F16 r = fma16(n, all16(-0.693359375f), x);
    r = fma16(n, all16(2.12194440e-4f), r);
    F16 p = all16(1.9875691500e-4f);
    p = fma16(p, r, all16(1.3981999507e-3f));
    p = fma16(p, r, all16(8.3334519073e-3f));
    p = fma16(p, r, all16(4.1665795894e-2f));
    p = fma16(p, r, all16(1.6666665459e-1f));
    p = fma16(p, r, all16(5.0000001201e-1f));
    p = fma16(p, r * r, r) + 1.0f;
    // n is −126…128; the scale is applied in two factors so that 2^128 is not needed.
    I16 exponent = (I16)shifted - (I16)all16(MAGIC_FLOAT);
    I16 half = exponent >> 1;
    F16 y = p * (F16)((half + 127) << 23) * (F16)((exponent - half + 127) << 23);
    y = select16(x < -87.3f, all16(0), y);
    y = select16(x > 88.72f, all16(INFINITY), y);
    return select16(x != x, x, y);
}
