// The reference linear layers: what every other table is tested against, and what runs where no table fits.
//
// int8 and int4 do the same arithmetic as the vector tables (integer dot products per group, one f32 product with the
// activation's scale, one sum with the weight's code, the output's scale last).

#include "scalar.h"

static float finish(const LinearCall *c, float sum, size_t row, size_t output) {
    if (c->bias) sum += c->bias[output];
    if (c->accumulate) sum += c->y[row * c->yStride + output];
    return sum;
}

/// Input k of a row of f32.
static float value_at(const LinearCall *c, size_t row, size_t k) {
    return ((const float *)row_block(c, row, k / (KernelRowBlockBytes / 4)))[k % (KernelRowBlockBytes / 4)];
}

#define FOR_EACH_ROW_AND_PANEL(format)                                                             \
    (void)scratch;                                                                                 \
    size_t panelBytes = packed_panel_bytes(format, c->inputs);                                     \
    for (size_t p = firstPanel; p < firstPanel + panels; p++)                                      \
        for (size_t r = firstRow; r < firstRow + rows; r++)

static void store(const LinearCall *c, const float sums[16], size_t row, size_t panel) {
    for (size_t o = 0; o < 16 && panel * 16 + o < c->outputs; o++)
        c->y[row * c->yStride + panel * 16 + o] = finish(c, sums[o], row, panel * 16 + o);
}

void scalar_linear_f32(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    FOR_EACH_ROW_AND_PANEL(WeightF32) {
        const float *w = (const float *)((const char *)c->weights + p * panelBytes);
        float sums[16] = {0};
        for (size_t k = 0; k < c->inputs; k++)
            for (size_t o = 0; o < 16; o++) sums[o] += value_at(c, r, k) * w[k * 16 + o];
        store(c, sums, r, p);
    }
}

void scalar_linear_bf16(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    FOR_EACH_ROW_AND_PANEL(WeightBF16) {
        const uint16_t *w = (const uint16_t *)((const char *)c->weights + p * panelBytes);
        float sums[16] = {0};
        for (size_t k = 0; k < c->inputs; k++)
            for (size_t o = 0; o < 16; o++) sums[o] += value_at(c, r, k) * bf16_to_float(w[k / 2 * 32 + o * 2 + k % 2]);
        store(c, sums, r, p);
    }
}

static void add_group(const int32_t dot[16], ActivationGroup group, const float code[16], float sums[16]) {
    for (size_t o = 0; o < 16; o++)
        sums[o] += (float)(dot[o] + group.start - MAGIC_BITS) * group.scale * code[o];
}

void scalar_linear_int8(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    FOR_EACH_ROW_AND_PANEL(WeightInt8) {
        const uint8_t *panel = (const uint8_t *)c->weights + p * panelBytes;
        float sums[16] = {0};
        for (size_t g = 0; g < group_count(c->inputs); g++) {
            const ActivationBlock *block = activation_block(c, r, g / GroupsPerBlock);
            const int8_t *x = block->values + g % GroupsPerBlock * KernelGroupInputs;
            const uint8_t *w = panel + weight_offset(g, Int8BlockBytes, Int8GroupBytes);
            int32_t dot[16] = {0};
            float code[16];
            for (size_t i = 0; i < KernelGroupInputs; i++)
                for (size_t o = 0; o < 16; o++) dot[o] += w[i / 4 * 64 + o * 4 + i % 4] * x[i];
            for (size_t o = 0; o < 16; o++) code[o] = panel[code_offset(g, Int8BlockBytes) + o];
            add_group(dot, block->groups[g % GroupsPerBlock], code, sums);
        }
        for (size_t o = 0; o < 16; o++) sums[o] *= ((const float *)panel)[o];
        store(c, sums, r, p);
    }
}

void scalar_linear_int4(const LinearCall *c, size_t firstRow, size_t rows, size_t firstPanel, size_t panels, void *scratch) {
    FOR_EACH_ROW_AND_PANEL(WeightInt4) {
        const uint8_t *panel = (const uint8_t *)c->weights + p * panelBytes;
        float sums[16] = {0};
        for (size_t g = 0; g < group_count(c->inputs); g++) {
            const ActivationBlock *block = activation_block(c, r, g / GroupsPerBlock);
            const int8_t *x = block->values + g % GroupsPerBlock * KernelGroupInputs;
            const uint8_t *w = panel + weight_offset(g, Int4BlockBytes, Int4GroupBytes);
            int32_t dot[16] = {0};
            float code[16];
            for (size_t i = 0; i < KernelGroupInputs; i++)
                for (size_t o = 0; o < 16; o++)
                    dot[o] += (w[i / 8 * 64 + o * 4 + i % 4] >> (i / 4 % 2 * 4) & 15) * x[i];
            for (size_t o = 0; o < 16; o++) code[o] = (int8_t)panel[code_offset(g, Int4BlockBytes) + o];
            add_group(dot, block->groups[g % GroupsPerBlock], code, sums);
        }
        for (size_t o = 0; o < 16; o++) sums[o] *= ((const float *)panel)[o];
        store(c, sums, r, p);
    }
}

void scalar_round_row(const float *x, size_t columns, size_t padded, uint16_t *out) {
    for (size_t i = 0; i < padded; i++) out[i] = i < columns ? float_to_bf16(x[i]) : 0;
}

void scalar_quantize_row(const float *x, size_t columns, int32_t weightOffset, ActivationBlock *out, size_t stride) {
    for (size_t g = 0; g < group_count(columns); g++) {
        size_t first = g * KernelGroupInputs, n = columns - first < KernelGroupInputs ? columns - first : KernelGroupInputs;
        float largest = 0;
        for (size_t i = 0; i < n; i++) {
            float magnitude = fabsf(x[first + i]);
            largest = magnitude > largest || magnitude != magnitude ? magnitude : largest;
        }
        float step = largest * (1.0f / 127.0f), inverse = step >= FLT_MIN ? 1.0f / step : 0;
        ActivationBlock *block = &out[g / GroupsPerBlock * stride];
        int8_t *q = block->values + g % GroupsPerBlock * KernelGroupInputs;
        int32_t sum = 0, squares = 0;
        float products = 0;
        for (size_t i = 0; i < KernelGroupInputs; i++) {
            float value = i < n ? x[first + i] : 0, v = value * inverse;
            int32_t integer = v > -128 && v < 128 ? (int32_t)nearbyintf(v) : 0;
            integer = integer > 127 ? 127 : integer < -127 ? -127 : integer;
            q[i] = (int8_t)integer;
            sum += integer;
            squares += integer * integer;
            products += value * (float)integer;
        }
        float scale = activation_scale(step, products, (float)squares);
        block->groups[g % GroupsPerBlock] = (ActivationGroup){MAGIC_BITS - weightOffset * sum, scale, -MAGIC_FLOAT * scale};
    }
}
