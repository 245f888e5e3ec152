// How weights, keys and values lie in memory. Everything that reads or writes packed data takes its offsets from here.
//
// A matrix [outputs, inputs] is cut into panels of 16 outputs; panels follow each other, each a multiple of 64 bytes.
// The last panel is padded with zero outputs.
//
//   f32   [inputs][16]
//   bf16  [inputs/2][16][2]             inputs padded to even with zeros: a 64-byte line is one step of vdpbf16ps, and two
//                                       f32 steps by shift and mask
//   int8  f32 scale[16], then blocks of 128 inputs: { u8 code[4][16]; u8 weight[4][32/4][16][4] }
//   int4  f32 scale[16], then blocks of 128 inputs: { s8 code[4][16]; u8 weights[4][32/8][16][4] }
//
// int8: weight = (u − 128) · code · scale, one code per output and group of 32 inputs. Eight-bit codes under one f32 scale per output
// cost 1.031 bytes per weight; the weights are quantised against the rounded scale, so the codes' own rounding costs
// under half a percent of a step. Weights are stored unsigned so that the signed operand of vpdpbusd is the activation, which can then be
// broadcast; u = 0 is not used (some tables form the signed weight and negate it).
// int4: weight = (u − 8) · code · scale, codes signed so that the larger tail of a group may lie at −8. The low nibbles of
// a 64-byte line are four inputs of 16 outputs, the high nibbles the next four.
//
// A table of embeddings whose matrix is int8 has, beside the panels that the head reads when it is tied, the *residuals* of its rows, so that
// a row that is looked up has four bits more:
//
//   residuals  u8 nibbles[outputs][(inputs + 1)/2]      row-major; input 2i in the low nibble of byte i, 2i + 1 in the high one
//
// weight = (u − 128 + (nibble − 8)/16) · code · scale. The residual is the nearest of −8…7 sixteenths of the int8 step.
//
// A page holds, per layer and key-value head, keys then values of `blockTokens` tokens. Both are panels, of the same two float
// formats or of f16 or int8 in the order of f32: keys are one panel per 16 tokens (outputs = tokens, inputs = head dimension), values
// one panel per 16 dimensions (outputs = dimensions, inputs = tokens). Attention expands them, piece by piece, to panels of f32
// and runs the linear layers' inner loop on those.
//
// int8 keys and values: value = q · scale, one bf16 scale per token and 32 dimensions of the head, so that an outlying dimension
// (keys have some, always the same ones) coarsens its neighbours only. The panels of q are preceded by
// bf16 scale[dimensions/32][blockTokens].

#pragma once

#include "CKernels.h"

enum {
    GroupsPerBlock = KernelBlockInputs / KernelGroupInputs,
    ScaleBytes = KernelPanelOutputs * 4,
    CodeBytes = GroupsPerBlock * KernelPanelOutputs,
    Int8GroupBytes = KernelGroupInputs * KernelPanelOutputs,
    Int8BlockBytes = CodeBytes + GroupsPerBlock * Int8GroupBytes,
    Int4GroupBytes = Int8GroupBytes / 2,
    Int4BlockBytes = CodeBytes + GroupsPerBlock * Int4GroupBytes,
    /// Dimensions of a head that share the scale of one token's int8 keys or values.
    KVScaleDims = 32,
    Int8Offset = 128,
    /// Of 4-bit weights and of residuals.
    Int4Offset = 8,
    /// Steps of a residual in one of the int8 weight that it refines.
    ResidualSteps = 16,
};

/// 1.5 · 2^23: a float whose last bit is worth one, with room for ±2^22.
#define MAGIC_FLOAT 12582912.0f
#define MAGIC_BITS 0x4B400000

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE size_t round_up(size_t n, size_t multiple) { return (n + multiple - 1) / multiple * multiple; }
ALWAYS_INLINE size_t group_count(size_t inputs) { return (inputs + KernelGroupInputs - 1) / KernelGroupInputs; }

/// Offsets in a panel of int8 or int4, given a format's block and group sizes.
ALWAYS_INLINE size_t code_offset(size_t group, size_t blockBytes) {
    return ScaleBytes + group / GroupsPerBlock * blockBytes + group % GroupsPerBlock * KernelPanelOutputs;
}
ALWAYS_INLINE size_t weight_offset(size_t group, size_t blockBytes, size_t groupBytes) {
    return ScaleBytes + group / GroupsPerBlock * blockBytes + CodeBytes + group % GroupsPerBlock * groupBytes;
}

/// Block b of a row of prepared activations, quantised or not.
ALWAYS_INLINE const ActivationBlock *activation_block(const LinearCall *c, size_t row, size_t block) {
    return (const ActivationBlock *)c->x + block * c->xRows + row;
}
ALWAYS_INLINE const char *row_block(const LinearCall *c, size_t row, size_t block) {
    return (const char *)c->x + (block * c->xRows + row) * KernelRowBlockBytes;
}

/// Bytes of the scales before int8 panels, and the scale of (token, dimension) among them.
ALWAYS_INLINE size_t kv_scale_bytes(size_t blockTokens, size_t headDim) {
    return round_up((headDim + KVScaleDims - 1) / KVScaleDims * blockTokens * 2, 64);
}
ALWAYS_INLINE size_t kv_scale_index(size_t blockTokens, size_t token, size_t d) { return d / KVScaleDims * blockTokens + token; }

/// Offset of (token, dimension) in the panels of keys, and in those of values, of a head; in elements.
ALWAYS_INLINE size_t key_index(TensorElement element, size_t headDim, size_t token, size_t d) {
    size_t tile = token / 16 * 16 * headDim;
    return element == ElementBF16 ? tile + d / 2 * 32 + token % 16 * 2 + d % 2 : tile + d * 16 + token % 16;
}
ALWAYS_INLINE size_t value_index(TensorElement element, size_t blockTokens, size_t token, size_t d) {
    size_t panel = d / 16 * 16 * blockTokens;
    return element == ElementBF16 ? panel + token / 2 * 32 + d % 16 * 2 + token % 2 : panel + token * 16 + d % 16;
}
