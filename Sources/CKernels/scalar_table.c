// The rest of the scalar reference: LoRA, norms, activations, rotary embedding, logits.

#include "peaks.h"
#include "scalar.h"
#include "tables.h"

static void lora_shrink(const float *x, size_t xStride, size_t rows, size_t inputs, const void *a, TensorElement element,
                        size_t firstRank, size_t ranks, float scale, float *t, size_t tStride) {
    for (size_t r = 0; r < rows; r++)
        for (size_t j = firstRank; j < firstRank + ranks; j++) {
            float sum = 0;
            for (size_t k = 0; k < inputs; k++) sum += x[r * xStride + k] * element_at(a, element, j * inputs + k);
            t[r * tStride + j] = sum * scale;
        }
}

static void lora_expand(const float *t, size_t tStride, size_t rows, size_t rank, const void *b, TensorElement element,
                        size_t outputs, size_t firstColumn, size_t columns, float *y, size_t yStride) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = firstColumn; c < firstColumn + columns; c++) {
            float sum = 0;
            for (size_t j = 0; j < rank; j++) sum += t[r * tStride + j] * element_at(b, element, j * outputs + c);
            y[r * yStride + c] += sum;
        }
}

static void rms_norm(const float *x, size_t columns, const float *weight, float epsilon, float *y) {
    float sum = 0;
    for (size_t i = 0; i < columns; i++) sum += x[i] * x[i];
    float factor = 1.0f / sqrtf(sum / (float)columns + epsilon);
    for (size_t i = 0; i < columns; i++) y[i] = x[i] * factor * weight[i];
}

static void add(const float *x, size_t columns, float *y) {
    for (size_t i = 0; i < columns; i++) y[i] += x[i];
}

static void silu_multiply(const float *gate, const float *up, size_t columns, float *y) {
    for (size_t i = 0; i < columns; i++) y[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void rope(float *x, size_t heads, size_t headDim, const float *cosines, const float *sines) {
    size_t half = headDim / 2;
    for (size_t h = 0; h < heads; h++, x += headDim)
        for (size_t i = 0; i < half; i++) {
            float low = x[i], high = x[half + i];
            x[i] = low * cosines[i] - high * sines[i];
            x[half + i] = high * cosines[i] + low * sines[i];
        }
}

static size_t argmax(const float *x, size_t n) {
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best] || (x[best] != x[best] && x[i] == x[i])) best = i;
    return best;
}

static float log_sum_exp(const float *x, size_t n) {
    float largest = x[argmax(x, n)];
    if (!(fabsf(largest) <= 3.4e38f)) return largest;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += expf(x[i] - largest);
    return largest + (float)log(sum);
}

const KernelTable kernel_table_scalar = {
    .name = "scalar",
    .bf16Rows = 0,
    .linearF32 = scalar_linear_f32,
    .linearBF16 = scalar_linear_bf16,
    .linearInt8 = scalar_linear_int8,
    .linearInt4 = scalar_linear_int4,
    .roundRow = scalar_round_row,
    .quantizeRow = scalar_quantize_row,
    .loraShrink = lora_shrink,
    .loraExpand = lora_expand,
    .rmsNorm = rms_norm,
    .add = add,
    .siluMultiply = silu_multiply,
    .rope = rope,
    .attention = scalar_attention,
    .attentionMerge = scalar_attention_merge,
    .argmax = argmax,
    .logSumExp = log_sum_exp,
    .peakF32 = peak_f32_portable,
    .peakBF16 = peak_f32_portable,
    .peakInt8 = peak_integers_portable,
    .peakInt4 = peak_integers_portable,
    .measureRead = measure_read_portable,
};
