// Packing of weights into panels, and unpacking of single rows (embeddings, tests). Runs once per checkpoint, so it is
// written for the quality of the result. What is tried for every group of weights is written on lanes, which add in one
// order on every processor, and the same checkpoint becomes the same bytes everywhere.
//
// int8: the code of a group is searched around its largest magnitude / 127, for the least squared error. A few steps more than the least
// that holds the largest weight often suit the other weights better: a sixth less error than taking that least (and than Q8_0 has).
// Then the row's scale is fitted to its codes and integers by least squares, Σw·v / Σv². (Rows of int4 do not gain by that.)
// int4: for each group both signs and a ladder of clipping points are tried, and the one with the least squared error wins. This is
// what keeps 4 bits with one scale per 32 weights ahead of plain max scaling (cf. the scale searches of GGUF's k-quants, and OCTAV,
// Sakr et al. 2022, on why clipping pays at 4 bits).

#include "lanes.h"
#include <float.h>
#include <math.h>

size_t packed_panel_bytes(PackedFormat format, size_t inputs) {
    size_t groups = group_count(inputs), blocks = (groups + GroupsPerBlock - 1) / GroupsPerBlock;
    switch (format) {
    case WeightF32: return inputs * 64;
    case WeightBF16: return (inputs + 1) / 2 * 64;
    case WeightInt8: return ScaleBytes + blocks * CodeBytes + groups * Int8GroupBytes;
    case WeightInt4: return ScaleBytes + blocks * CodeBytes + groups * Int4GroupBytes;
    }
    return 0;
}

/// 32 weights of one output from input `first`, zeros beyond the end. Returns the largest magnitude; what is not finite counts as zero.
LANES float load_group(const void *row, TensorElement element, size_t inputs, size_t first, float *restrict out) {
    size_t n = row == NULL ? 0 : inputs - first < KernelGroupInputs ? inputs - first : KernelGroupInputs;
    elements_to_f32((const char *)row + first * (element == ElementF32 ? 4 : 2), element, n, out);
    for (size_t i = n; i < KernelGroupInputs; i++) out[i] = 0;
    F16 largest = all16(0);
    for (size_t i = 0; i < KernelGroupInputs; i += 16) {
        F16 v = load16(out + i), magnitude = abs16(v);
        v = select16(magnitude <= FLT_MAX, v, all16(0));
        store16(out + i, v);
        largest = max16(largest, abs16(v));
    }
    return max_of16(largest);
}

static float clampf(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/// Rounds to the nearest integer, for |x| < 2^22.
static float nearest(float x) { return (x + MAGIC_FLOAT) - MAGIC_FLOAT; }

/// Sixteen weights as the nearest integers of low…high.
LANES F16 quantized(const float *w, float inverse, float low, float high) {
    return (min16(max16(load16(w) * inverse, all16(low)), all16(high)) + MAGIC_FLOAT) - MAGIC_FLOAT;
}

/// Squared error of 32 weights rounded to (low…high)·step, step of either sign.
LANES float squared_error(const float *w, float step, float low, float high) {
    float inverse = 1.0f / step;
    F16 error = all16(0);
    for (size_t i = 0; i < KernelGroupInputs; i += 16) {
        F16 d = load16(w + i) - quantized(w + i, inverse, low, high) * step;
        error += d * d;
    }
    return sum16(error);
}

static void pack_int8_row(const void *row, TensorElement element, size_t inputs, size_t o, uint8_t *panel) {
    float w[KernelGroupInputs];
    float largest = 0;
    for (size_t k = 0; k < inputs; k += KernelGroupInputs) largest = fmaxf(largest, load_group(row, element, inputs, k, w));
    float scale = largest / (127.0f * 255.0f);
    double products = 0, squares = 0;
    for (size_t g = 0; g < group_count(inputs); g++) {
        float top = load_group(row, element, inputs, g * KernelGroupInputs, w);
        int code = 0;
        if (top > 0 && scale >= FLT_MIN) {  // a row of smaller weights counts as zero
            float least = INFINITY;
            int exact = (int)clampf(ceilf(top / (127.0f * scale) - 1e-4f), 1, 255);
            int low = exact > 1 ? exact - 1 : 1, high = exact < 247 ? exact + 8 : 255;
            for (int c = low; c <= high; c++) {
                float error = squared_error(w, (float)c * scale, -127, 127);
                if (error < least) least = error, code = c;
            }
        }
        panel[code_offset(g, Int8BlockBytes) + o] = (uint8_t)code;
        float inverse = code > 0 ? 1.0f / ((float)code * scale) : 0;
        uint8_t *out = panel + weight_offset(g, Int8BlockBytes, Int8GroupBytes) + o * 4;
        for (size_t i = 0; i < KernelGroupInputs; i += 16) {
            F16 q = quantized(w + i, inverse, -127, 127), value = q * (float)code;
            B16 bytes = __builtin_convertvector((I16)(q + MAGIC_FLOAT) - MAGIC_BITS - Int8Offset, B16);  // of eight bits, 128 less is 128 more
            for (size_t four = 0; four < 4; four++) memcpy(out + (i / 4 + four) * 64, (char *)&bytes + four * 4, 4);
            products += (double)sum16(load16(w + i) * value);
            squares += (double)sum16(value * value);
        }
    }
    if (squares > 0 && isfinite(products)) scale = (float)(products / squares);
    memcpy(panel + o * 4, &scale, 4);
}

static void pack_int4_row(const void *row, TensorElement element, size_t inputs, size_t o, uint8_t *panel) {
    float w[KernelGroupInputs];
    float largest = 0;
    for (size_t k = 0; k < inputs; k += KernelGroupInputs) largest = fmaxf(largest, load_group(row, element, inputs, k, w));
    float scale = largest / (7.0f * 127.0f);
    memcpy(panel + o * 4, &scale, 4);
    for (size_t g = 0; g < group_count(inputs); g++) {
        float top = load_group(row, element, inputs, g * KernelGroupInputs, w);
        float best = INFINITY, code = 0;
        if (top > 0 && scale >= FLT_MIN) {  // a row of smaller weights counts as zero
            // Steps from top/10.5 (clipping a quarter) to top/7 (clipping nothing), both signs, as codes.
            int low = (int)floorf(top / (10.5f * scale)), high = (int)ceilf(top / (7.0f * scale));
            low = low < 1 ? 1 : low;
            high = high > 127 ? 127 : high < low ? low : high;
            int stride = (high - low) / 12 + 1;
            for (int c = low; c <= high; c += stride)
                for (int sign = -1; sign <= 1; sign += 2) {
                    float error = squared_error(w, (float)(c * sign) * scale, -8, 7);
                    if (error < best) best = error, code = (float)(c * sign);
                }
            for (int around = -stride + 1; around < stride; around++) {  // then every code between the neighbours of the best
                float c = code + (float)around;
                if (fabsf(c) < 1 || fabsf(c) > 127 || (c < 0) != (code < 0)) continue;
                float error = squared_error(w, c * scale, -8, 7);
                if (error < best) best = error, code = c, around = -stride;
            }
        }
        panel[code_offset(g, Int4BlockBytes) + o] = (uint8_t)(int8_t)code;
        float inverse = code != 0 ? 1.0f / (code * scale) : 0;
        uint8_t *out = panel + weight_offset(g, Int4BlockBytes, Int4GroupBytes) + o * 4;
        float q[KernelGroupInputs];
        for (size_t i = 0; i < KernelGroupInputs; i += 16) store16(q + i, quantized(w + i, inverse, -8, 7));
        for (size_t i = 0; i < KernelGroupInputs; i++) {
            uint8_t u = (uint8_t)(q[i] + Int4Offset);
            uint8_t *line = out + i / 8 * 64 + i % 4;
            *line = i / 4 % 2 == 0 ? u : (uint8_t)(*line | u << 4);
        }
    }
}

void packed_pack_panel(PackedFormat format, size_t inputs, const void *const rows[16], const uint8_t elements[16],
                       void *panel) {
    memset(panel, 0, packed_panel_bytes(format, inputs));
    for (size_t o = 0; o < KernelPanelOutputs; o++) {
        TensorElement element = (TensorElement)elements[o];
        switch (format) {
        case WeightF32:
            for (size_t k = 0; k < inputs && rows[o]; k++) ((float *)panel)[k * 16 + o] = element_at(rows[o], element, k);
            break;
        case WeightBF16:
            for (size_t k = 0; k < inputs && rows[o]; k++)
                ((uint16_t *)panel)[k / 2 * 32 + o * 2 + k % 2] = float_to_bf16(element_at(rows[o], element, k));
            break;
        case WeightInt8: pack_int8_row(rows[o], element, inputs, o, panel); break;
        case WeightInt4: pack_int4_row(rows[o], element, inputs, o, panel); break;
        }
    }
}

/// Group g of one output of an int8 panel: its integers, and what one is worth.
static float int8_group(const uint8_t *panel, size_t o, size_t g, float q[KernelGroupInputs]) {
    float scale;
    memcpy(&scale, panel + o * 4, 4);
    const uint8_t *weights = panel + weight_offset(g, Int8BlockBytes, Int8GroupBytes) + o * 4;
    for (size_t i = 0; i < KernelGroupInputs; i++) q[i] = (float)(weights[i / 4 * 64 + i % 4] - Int8Offset);
    return (float)panel[code_offset(g, Int8BlockBytes) + o] * scale;
}

void packed_pack_residuals(size_t inputs, const void *row, TensorElement element, const void *panel, size_t o, uint8_t *residuals) {
    memset(residuals, 0, packed_residual_bytes(inputs));
    for (size_t g = 0; g < group_count(inputs); g++) {
        float w[KernelGroupInputs], q[KernelGroupInputs], step = int8_group(panel, o, g, q);
        load_group(row, element, inputs, g * KernelGroupInputs, w);
        float inverse = step > 0 ? 1.0f / step : 0;
        for (size_t i = 0, k = g * KernelGroupInputs; i < KernelGroupInputs && k < inputs; i++, k++) {
            float r = nearest(clampf((w[i] * inverse - q[i]) * ResidualSteps, -8, 7));
            residuals[k / 2] |= (uint8_t)((uint8_t)(r + Int4Offset) << k % 2 * 4);
        }
    }
}

void packed_unpack_residual_row(size_t inputs, const void *panel, size_t o, const uint8_t *residuals, float *out) {
    for (size_t g = 0; g < group_count(inputs); g++) {
        float q[KernelGroupInputs], step = int8_group(panel, o, g, q);
        for (size_t i = 0, k = g * KernelGroupInputs; i < KernelGroupInputs && k < inputs; i++, k++) {
            int sixteenths = residuals ? (residuals[k / 2] >> k % 2 * 4 & 15) - Int4Offset : 0;
            out[k] = (q[i] + (float)sixteenths * (1.0f / ResidualSteps)) * step;
        }
    }
}

void packed_unpack_row(PackedFormat format, size_t inputs, const void *panel, size_t o, float *out) {
    if (format == WeightInt8) return packed_unpack_residual_row(inputs, panel, o, NULL, out);
    const uint8_t *bytes = panel;
    float scale = 0;
    if (format == WeightInt4) memcpy(&scale, bytes + o * 4, 4);
    for (size_t k = 0; k < inputs; k++) {
        size_t g = k / KernelGroupInputs, i = k % KernelGroupInputs;
        switch (format) {
        case WeightF32: out[k] = ((const float *)panel)[k * 16 + o]; break;
        case WeightBF16: out[k] = bf16_to_float(((const uint16_t *)panel)[k / 2 * 32 + o * 2 + k % 2]); break;
        case WeightInt8: break;  // above
        case WeightInt4: {
            float step = (float)(int8_t)bytes[code_offset(g, Int4BlockBytes) + o] * scale;
            uint8_t pair = bytes[weight_offset(g, Int4BlockBytes, Int4GroupBytes) + i / 8 * 64 + o * 4 + i % 4];
            out[k] = (float)((i / 4 % 2 == 0 ? pair & 15 : pair >> 4) - Int4Offset) * step;
            break;
        }
        }
    }
}
