// The inner loops of Berth, behind one table of function pointers that is chosen once at start.
//
// Every function works on a piece of a parallel section: the Swift side (BerthKernels) owns threads, buffers and
// scheduling, and calls in here with a range of rows, panels, heads or columns. Nothing here allocates, locks or keeps
// state. Pointers are valid for the call only.
//
// **Batch invariance.** A row's result is the same, bit for bit, whatever other rows are in the call and however the
// section was cut. So each (row, output) pair has one sequence of operations along the inputs, the same in every
// blocking; partial sums that leave registers are stored and loaded exactly. Two tables may differ in the last bits.
//
// Weights are packed in *panels* of 16 outputs (layout.h). Lengths are in elements unless a name says bytes.

#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /// Outputs of one packed panel.
    KernelPanelOutputs = 16,
    /// Inputs that share one scale in the int8 and int4 formats.
    KernelGroupInputs = 32,
    /// Inputs of one block of those formats: what is adjacent in memory, of weights and of quantised activations.
    KernelBlockInputs = 128,
    /// Bytes of one row that are adjacent in prepared rows of f32 or bf16; then come those of the next row.
    KernelRowBlockBytes = 256,
    /// Rows that one call of a linear kernel may be given: bounds its scratch.
    KernelLinearRows = 512,
    /// Bytes of scratch that every worker owns and passes to kernels that ask for it. 64-byte aligned.
    KernelScratchBytes = 512 << 10,
    /// Tokens of one softmax tile. Tiles start at multiples of this in absolute positions.
    KernelAttentionTile = 256,
    /// (query row, head) pairs that one call of an attention kernel may be given.
    KernelAttentionRows = 64,
    /// Largest size of one attention head.
    KernelHeadDim = 256,
    /// Tables that a processor can have.
    KernelMostTables = 8,
};

/// Packed weight formats.
typedef enum { WeightF32 = 0, WeightBF16 = 1, WeightInt8 = 2, WeightInt4 = 3 } PackedFormat;

/// Element types of unpacked tensors, and of keys and values. int8, with scales of its own (layout.h), is for keys and values only.
typedef enum { ElementF32 = 0, ElementF16 = 1, ElementBF16 = 2, ElementInt8 = 3 } TensorElement;

/// What the int8 and int4 kernels need of 32 inputs of one activation row, beside the 8-bit values q (x ≈ q · scale).
typedef struct {
    /// Where the integer accumulator starts: the bits of 1.5·2^23 as a float, less (weight offset) · Σq. Once the dot
    /// product is added, the accumulator's bits read as a float are exactly 1.5·2^23 + Σ(weight)·q.
    int32_t start;
    float scale;
    /// −1.5·2^23 · scale, exact because a scale has at most 22 significant bits.
    float offset;
} ActivationGroup;

/// One row's values of a block of inputs for the int8 and int4 kernels. Rows of the same block follow each other, then comes the next block:
/// block b of row r is at [b · rows + r]. So a tile of rows walks through memory in one stream. Three lines of 64 bytes.
typedef struct {
    int8_t values[KernelBlockInputs];
    ActivationGroup groups[KernelBlockInputs / KernelGroupInputs];
    uint8_t padding[16];
} ActivationBlock;

/// A linear layer y = x·Wᵀ (+ bias) (+ y) over prepared rows.
typedef struct {
    /// Rows as the format wants them, in blocks of inputs: block b of row r is at [b · xRows + r]. int8 and int4 read ActivationBlocks, f32 and bf16
    /// blocks of KernelRowBlockBytes, of f32 or of bf16 (pairs).
    const void *x;
    size_t xRows;
    size_t inputs;
    const void *weights;
    size_t outputs;
    float *y;
    size_t yStride;
    /// [outputs], or null.
    const float *bias;
    int accumulate;
} LinearCall;

typedef void (*LinearKernel)(const LinearCall *call, size_t firstRow, size_t rows, size_t firstPanel, size_t panels,
                             void *scratch);

/// Scaled dot-product attention of one sequence over its pages of keys and values.
typedef struct {
    /// Row r, query head h: queries + r · queryStride + h · headDim.
    const float *queries;
    size_t queryStride;
    float *y;
    size_t yStride;
    void *const *pages;
    size_t blockTokens;
    /// Byte offset of (layer, key-value head 0) in a page, and from one head to the next, and from its keys to its values.
    size_t layerOffset, headBytes, valueOffset;
    size_t headDim;
    /// Query heads per key-value head.
    size_t groupHeads;
    /// Absolute position of row 0.
    size_t startPosition;
    /// Token j is visible to row i iff j <= i and i − j < window.
    size_t window;
    float scale;
    TensorElement element;
} AttentionCall;

/// State of an online softmax over some tiles, per (row, head): maximum, sum, pad, pad … then headDim weighted values.
/// `partialStride` floats each.
enum { KernelPartialHeader = 16 };

typedef struct {
    const char *name;

    /// 1 if `linearBF16` wants rows rounded to bf16, 0 if it wants them as f32.
    int bf16Rows;
    LinearKernel linearF32, linearBF16, linearInt8, linearInt4;

    /// Rounds up to a block's values to bf16, to nearest even; pads with zeros to `padded`.
    void (*roundRow)(const float *x, size_t columns, size_t padded, uint16_t *out);
    /// Quantises a row in groups of 32 inputs; pads the last group with zeros. Its blocks go to out[0], out[stride] … `weightOffset` is 128
    /// (int8) or 8 (int4).
    void (*quantizeRow)(const float *x, size_t columns, int32_t weightOffset, ActivationBlock *out, size_t stride);

    /// t[row][j] = scale · Σ x[row]·a[j], for ranks firstRank..<firstRank+ranks of a [rank][inputs].
    void (*loraShrink)(const float *x, size_t xStride, size_t rows, size_t inputs, const void *a, TensorElement element,
                       size_t firstRank, size_t ranks, float scale, float *t, size_t tStride);
    /// y[row][c] += Σ t[row][j]·b[j][c], for columns of b [rank][outputs].
    void (*loraExpand)(const float *t, size_t tStride, size_t rows, size_t rank, const void *b, TensorElement element,
                       size_t outputs, size_t firstColumn, size_t columns, float *y, size_t yStride);

    void (*rmsNorm)(const float *x, size_t columns, const float *weight, float epsilon, float *y);
    void (*add)(const float *x, size_t columns, float *y);
    void (*siluMultiply)(const float *gate, const float *up, size_t columns, float *y);
    void (*rope)(float *x, size_t heads, size_t headDim, const float *cosines, const float *sines);

    /// Attention of rows firstRow..<firstRow+rows and the query heads of one key-value head, over tiles
    /// firstTile..<firstTile+tiles in order. With `partial` null writes y; else writes one state per tile, row and head:
    /// partial[((tile − firstTile) · rows + (row − firstRow)) · groupHeads + head].
    void (*attention)(const AttentionCall *call, size_t kvHead, size_t firstRow, size_t rows, size_t firstTile,
                      size_t tiles, float *partial, void *scratch);
    /// Merges `tiles` states of one (row, head), `stride` floats apart, in order, and writes its headDim outputs.
    void (*attentionMerge)(const float *partial, size_t stride, size_t tiles, size_t headDim, float *y);

    size_t (*argmax)(const float *x, size_t n);
    float (*logSumExp)(const float *x, size_t n);

    // For measuring (berth-bench). The peaks are of the instructions that the linear kernels of a format are made of, independent and in registers:
    // so many iterations, returning the operations done, of which a multiply-add is two.
    double (*peakF32)(size_t iterations), (*peakBF16)(size_t iterations), (*peakInt8)(size_t iterations), (*peakInt4)(size_t iterations);
    /// Reads `bytes` bytes (multiple of 4096, 64-byte aligned) as fast as it can; returns a checksum.
    uint64_t (*measureRead)(const void *memory, size_t bytes);
} KernelTable;

/// Floats of one state of an online softmax.
static inline size_t kernel_partial_stride(size_t headDim) { return KernelPartialHeader + ((headDim + 15) & ~(size_t)15); }

/// The table of a name ("scalar", "avx2", "avxvnni", "avx512", "avx512vnni", "avx512bf16", "neon", "neondot", or "best"), or null if
/// this processor or operating system lacks what it needs, or there is no such name. Tables live for ever.
const KernelTable *kernel_table(const char *name);
/// The names of all tables that run here, best last, into `names`, which has room for KernelMostTables; returns how many.
size_t kernel_tables(const char **names);
/// Tables for tests only: kernels of other processors whose one special instruction this one computes in another way. Returns how many.
size_t kernel_tables_for_tests(const KernelTable **found);

/// Tells the processor that this is a spin loop.
static inline void kernel_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// MARK: packed weights (layout.h says how)

size_t packed_panel_bytes(PackedFormat format, size_t inputs);
/// Packs up to 16 rows of weights into one panel. rows[i] is null for an output beyond the matrix. Rows may be unaligned.
void packed_pack_panel(PackedFormat format, size_t inputs, const void *const rows[16], const uint8_t elements[16],
                       void *panel);
/// Unpacks one output's weights to f32: the value that the kernels multiply with.
void packed_unpack_row(PackedFormat format, size_t inputs, const void *panel, size_t output, float *out);

/// Bytes of the residuals of one row.
static inline size_t packed_residual_bytes(size_t inputs) { return (inputs + 1) / 2; }
/// Writes what rounding to int8 left of one row: `panel` was packed from it, as `output`.
void packed_pack_residuals(size_t inputs, const void *row, TensorElement element, const void *panel, size_t output, uint8_t *residuals);
/// Unpacks one output of an int8 panel together with its residuals; null is none.
void packed_unpack_residual_row(size_t inputs, const void *panel, size_t output, const uint8_t *residuals, float *out);

// MARK: keys and values in pages

/// Bytes of keys and of values of one layer and head in a page.
size_t kv_key_bytes(TensorElement element, size_t blockTokens, size_t headDim);
size_t kv_value_bytes(TensorElement element, size_t blockTokens, size_t headDim);
/// Writes tokens firstToken..<firstToken+tokens of a block, of one head, in ascending order. k and v point to headDim floats,
/// `stride` floats from one token to the next. What is stored of a token depends on that token alone.
void kv_store(TensorElement element, size_t blockTokens, size_t headDim, void *keys, void *values, size_t firstToken,
              size_t tokens, const float *k, size_t kStride, const float *v, size_t vStride);

// MARK: elements

void elements_to_f32(const void *in, TensorElement element, size_t n, float *out);
void elements_from_f32(const float *in, TensorElement element, size_t n, void *out);

// MARK: logits

/// The k largest of n values, falling, ties by rising index, into index and value; needs room for k. k <= n.
/// NaN counts as smaller than everything.
void select_top(const float *x, size_t n, size_t k, int32_t *index, float *value);

#ifdef __cplusplus
}
#endif
