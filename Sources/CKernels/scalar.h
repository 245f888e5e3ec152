// The functions of the scalar table, and the arithmetic that all tables must agree on.

#pragma once

#include "convert.h"
#include <float.h>
#include <math.h>

/// The scale under which a group's integers q come closest to its activations x, Σx·q / Σq², given both sums; `step`, from which q was made,
/// where every q is zero. Cut to 22 significant bits so that 1.5 · scale is exact (ActivationGroup.offset). What is not a number stays none.
ALWAYS_INLINE float activation_scale(float step, float products, float squares) {
    return bits_to_float(float_to_bits(squares > 0 ? products / squares : step) & ~3u);
}

void scalar_linear_f32(const LinearCall *, size_t, size_t, size_t, size_t, void *);
void scalar_linear_bf16(const LinearCall *, size_t, size_t, size_t, size_t, void *);
void scalar_linear_int8(const LinearCall *, size_t, size_t, size_t, size_t, void *);
void scalar_linear_int4(const LinearCall *, size_t, size_t, size_t, size_t, void *);
void scalar_round_row(const float *x, size_t columns, size_t padded, uint16_t *out);
void scalar_quantize_row(const float *x, size_t columns, int32_t weightOffset, ActivationBlock *out, size_t stride);
void scalar_attention(const AttentionCall *, size_t, size_t, size_t, size_t, size_t, float *, void *);
void scalar_attention_merge(const float *partial, size_t stride, size_t tiles, size_t headDim, float *y);
