// The k largest values: a min-heap of the best so far, whose root is the bar that a value must clear. On real logits few do, so
// the scan is a comparison per value.

#include "layout.h"
#include <math.h>


/// Falling value, then rising index: whether `a` comes after `b` in the result.
ALWAYS_INLINE int after(float aValue, int32_t aIndex, float bValue, int32_t bIndex) {
    return aValue < bValue || (aValue == bValue && aIndex > bIndex);
}

static void sink(float *value, int32_t *index, size_t count, size_t i) {
    float v = value[i];
    int32_t n = index[i];
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && after(value[child + 1], index[child + 1], value[child], index[child])) child++;
        if (!after(value[child], index[child], v, n)) break;
        value[i] = value[child];
        index[i] = index[child];
    }
    value[i] = v;
    index[i] = n;
}

void select_top(const float *x, size_t n, size_t k, int32_t *index, float *value) {
    if (k == 0) return;
    for (size_t i = 0; i < k; i++) {
        value[i] = x[i] == x[i] ? x[i] : -INFINITY;
        index[i] = (int32_t)i;
    }
    for (size_t i = k / 2; i-- > 0;) sink(value, index, k, i);
    for (size_t i = k; i < n; i++) {
        if (!(x[i] > value[0])) continue;  // an equal value comes later, so it loses
        value[0] = x[i];
        index[0] = (int32_t)i;
        sink(value, index, k, 0);
    }
    for (size_t last = k - 1; last > 0; last--) {
        float v = value[last];
        int32_t i = index[last];
        value[last] = value[0];
        index[last] = index[0];
        value[0] = v;
        index[0] = i;
        sink(value, index, last, 0);
    }
}
