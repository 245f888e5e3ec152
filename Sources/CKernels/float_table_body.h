// Everything that is written on vector lanes, as one family: included by a file that has set the target, and defined PANEL_TILES if the inner
// loop of panel products is to be that of tile_avx2.h.

#pragma once

#include "attention_body.h"
#if defined(PANEL_TILES)
#include "linear_avx2_body.h"
#else
#include "linear_float_body.h"
#endif
#include "lora_body.h"
#include "pointwise_body.h"

static void fill_float_kernels(KernelTable *table) {
    table->linearF32 = linear_f32;
    table->linearBF16 = linear_bf16;
    table->roundRow = round_row;
    table->quantizeRow = quantize_row;
    table->loraShrink = lora_shrink;
    table->loraExpand = lora_expand;
    table->rmsNorm = rms_norm;
    table->add = add;
    table->siluMultiply = silu_multiply;
    table->rope = rope;
    table->attention = attention;
    table->attentionMerge = attention_merge;
    table->argmax = argmax;
    table->logSumExp = log_sum_exp;
}
