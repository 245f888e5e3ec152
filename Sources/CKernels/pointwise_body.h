// Norms, sums, gates, rotations, rounding and quantising of rows, and scans of logits, on vector lanes.

#pragma once

#include "lanes.h"

static void rms_norm(const float *x, size_t columns, const float *weight, float epsilon, float *y) {
    F16 sum[4] = {all16(0), all16(0), all16(0), all16(0)};
    size_t i = 0;
    for (; i + 64 <= columns; i += 64)
        for (int j = 0; j < 4; j++) {
            F16 v = load16(x + i + j * 16);
            sum[j] = fma16(v, v, sum[j]);
        }
    for (; i < columns; i += 16) {
        F16 v = load_first(x + i, columns - i < 16 ? columns - i : 16, 0);
        sum[0] = fma16(v, v, sum[0]);
    }
    float total = sum16((sum[0] + sum[1]) + (sum[2] + sum[3]));
    float factor = 1.0f / sqrtf(total / (float)columns + epsilon);
    for (i = 0; i + 16 <= columns; i += 16) store16(y + i, load16(x + i) * factor * load16(weight + i));
    for (; i < columns; i++) y[i] = x[i] * factor * weight[i];
}

static void add(const float *x, size_t columns, float *y) {
    size_t i = 0;
    for (; i + 16 <= columns; i += 16) store16(y + i, load16(y + i) + load16(x + i));
    for (; i < columns; i++) y[i] += x[i];
}

static void silu_multiply(const float *gate, const float *up, size_t columns, float *y) {
    for (size_t i = 0; i < columns; i += 16) {
        size_t n = columns - i < 16 ? columns - i : 16;
        F16 g = load_first(gate + i, n, 0), u = load_first(up + i, n, 0);
        store_first(y + i, g / (1.0f + exp16(-g)) * u, n);
    }
}

static void rope(float *x, size_t heads, size_t headDim, const float *cosines, const float *sines) {
    size_t half = headDim / 2;
    for (size_t h = 0; h < heads; h++, x += headDim)
        for (size_t i = 0; i < half; i += 16) {
            size_t n = half - i < 16 ? half - i : 16;
            F16 low = load_first(x + i, n, 0), high = load_first(x + half + i, n, 0);
            F16 c = load_first(cosines + i, n, 0), s = load_first(sines + i, n, 0);
            store_first(x + i, low * c - high * s, n);
            store_first(x + half + i, high * c + low * s, n);
        }
}

static void round_row(const float *x, size_t columns, size_t padded, uint16_t *out) {
    size_t i = 0;
    for (; i + 16 <= columns; i += 16) {
        U16 bits = (U16)load16(x + i);
        U16 rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
        U16 nan = (U16)((bits & 0x7FFFFFFF) > 0x7F800000);
        H16 h = __builtin_convertvector((rounded & ~nan) | ((bits >> 16 | 0x40) & nan), H16);
        memcpy(out + i, &h, 32);
    }
    for (; i < padded; i++) out[i] = i < columns ? float_to_bf16(x[i]) : 0;
}

/// The largest lane of each of four vectors of magnitudes, as bits.
LANES U4 largest_magnitudes(const U16 v[4]) {
    U4 quarters[4];
    for (int i = 0; i < 4; i++) {
        U8 a = __builtin_elementwise_max(
            __builtin_shufflevector(v[i], v[i], 0, 1, 2, 3, 4, 5, 6, 7), __builtin_shufflevector(v[i], v[i], 8, 9, 10, 11, 12, 13, 14, 15));
        quarters[i] = __builtin_elementwise_max(__builtin_shufflevector(a, a, 0, 1, 2, 3), __builtin_shufflevector(a, a, 4, 5, 6, 7));
    }
    U4 low = __builtin_elementwise_max(
        __builtin_shufflevector(quarters[0], quarters[1], 0, 1, 4, 5), __builtin_shufflevector(quarters[0], quarters[1], 2, 3, 6, 7));
    U4 high = __builtin_elementwise_max(
        __builtin_shufflevector(quarters[2], quarters[3], 0, 1, 4, 5), __builtin_shufflevector(quarters[2], quarters[3], 2, 3, 6, 7));
    return __builtin_elementwise_max(__builtin_shufflevector(low, high, 0, 2, 4, 6), __builtin_shufflevector(low, high, 1, 3, 5, 7));
}

/// activation_scale of four groups.
LANES F4 activation_scales(F4 step, F4 products, F4 squares) {
    U4 best = (U4)(products / squares), any = (U4)(squares > 0);
    return (F4)(((best & any) | ((U4)step & ~any)) & ~3u);
}

/// One block of four groups, `n` of whose 128 inputs there are.
LANES void quantize_block(const float *x, size_t n, int32_t weightOffset, ActivationBlock *block) {
    F16 low[4], high[4], products[4], squares[4], sums[4];
    U16 tops[4];
    for (size_t g = 0; g < 4; g++) {
        size_t first = g * KernelGroupInputs, count = n <= first ? 0 : n - first;
        low[g] = load_first(x + first, count < 16 ? count : 16, 0);
        high[g] = count > 16 ? load_first(x + first + 16, count - 16 < 16 ? count - 16 : 16, 0) : all16(0);
        // As unsigned integers, magnitudes order like floats and NaN is above all: it must reach the scale.
        tops[g] = __builtin_elementwise_max((U16)low[g] & 0x7FFFFFFF, (U16)high[g] & 0x7FFFFFFF);
    }
    F4 step = (F4)largest_magnitudes(tops) * (1.0f / 127.0f);
    F4 inverse = (F4)((U4)(1.0f / step) & (U4)(step >= FLT_MIN));
    for (size_t g = 0; g < 4; g++) {
        // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low bits.
        F16 floor = all16(-127), ceiling = all16(127);
        F16 ql = max16(floor, min16(low[g] * inverse[g], ceiling)) + MAGIC_FLOAT;
        F16 qh = max16(floor, min16(high[g] * inverse[g], ceiling)) + MAGIC_FLOAT;
        B16 bytes = __builtin_convertvector((I16)ql - MAGIC_BITS, B16);
        memcpy(block->values + g * KernelGroupInputs, &bytes, 16);
        bytes = __builtin_convertvector((I16)qh - MAGIC_BITS, B16);
        memcpy(block->values + g * KernelGroupInputs + 16, &bytes, 16);
        ql -= MAGIC_FLOAT;
        qh -= MAGIC_FLOAT;
        sums[g] = ql + qh;
        squares[g] = fma16(qh, qh, ql * ql);
        products[g] = fma16(high[g], qh, low[g] * ql);
    }
    F4 sum = sums16(sums), scale = activation_scales(step, sums16(products), sums16(squares));
    for (size_t g = 0; g < 4; g++)
        block->groups[g] = (ActivationGroup){MAGIC_BITS - weightOffset * (int32_t)sum[g], scale[g], -MAGIC_FLOAT * scale[g]};
}

static void quantize_row(const float *x, size_t columns, int32_t weightOffset, ActivationBlock *out, size_t stride) {
    for (; columns >= KernelBlockInputs; columns -= KernelBlockInputs, x += KernelBlockInputs, out += stride)
        quantize_block(x, KernelBlockInputs, weightOffset, out);
    if (columns > 0) quantize_block(x, columns, weightOffset, out);
}

static size_t argmax(const float *x, size_t n) {
    F16 top = all16(-INFINITY);
    size_t i = 0;
    for (; i + 16 <= n; i += 16) top = max16(load16(x + i), top);
    float largest = max_of16(top);
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    if (largest == -INFINITY) {  // nothing above: the first that is a number, else the first
        for (i = 0; i < n; i++)
            if (x[i] == x[i]) return i;
        return 0;
    }
    for (i = 0; i + 16 <= n; i += 16)
        if (__builtin_reduce_or((I16)(load16(x + i) == largest))) break;
    while (x[i] != largest) i++;
    return i;
}

static float log_sum_exp(const float *x, size_t n) {
    float largest = x[argmax(x, n)];
    if (!(fabsf(largest) <= 3.4e38f)) return largest;
    F16 sum = all16(0);
    for (size_t i = 0; i < n; i += 16) {
        F16 v = n - i >= 16 ? load16(x + i) : load_first(x + i, n - i, -INFINITY);
        sum += exp16(v - largest);
    }
    return largest + (float)log((double)sum16(sum));
}
