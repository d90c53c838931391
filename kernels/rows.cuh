// What losses do with rows of logits `[rows, classes]`: one warp per row, lane l takes classes l, l + 32, ...
//
// A row of 10 to 1000 classes is 40 bytes to 4 KB: neighbouring lanes read neighbouring classes, and what is read a
// second time comes from the L1 cache. Only this warp touches the row, so no barrier is needed.
#pragma once

#include "prims.cuh"

// Warps, and so rows, of a block: few, so that a small batch still occupies many multiprocessors.
constexpr u32 ROW_WARPS = 4;
constexpr u32 ROW_THREADS = ROW_WARPS * WARP;

DEVICE u32 lane_index() { return threadIdx.x % WARP; }
DEVICE u32 warp_index() { return blockIdx.x * ROW_WARPS + threadIdx.x / WARP; }

// The largest element of a row; what is not a number is passed over.
DEVICE float row_most(const float* row, u32 classes) {
    float most = -__int_as_float(0x7f800000);  // infinity
    for (u32 c = lane_index(); c < classes; c += WARP) most = fmaxf(most, row[c]);
    return warp_max(most);
}

// softmax(z / T) of a row z. The largest element is subtracted first, so nothing overflows (Goodfellow et al., "Deep
// Learning", section 4.1).
struct Softmax {
    float most;       // the largest element
    float scale;      // 1 / T
    float inverse;    // 1 / sum exp((z - most) / T)
    float logarithm;  // ln sum exp((z - most) / T)

    DEVICE float probability(float z) const { return expf((z - most) * scale) * inverse; }
    // -ln p, finite where p is zero. Both terms are zero or positive: nothing cancels.
    DEVICE float surprise(float z) const { return (most - z) * scale + logarithm; }
};

DEVICE Softmax row_softmax(const float* row, u32 classes, float most, float scale) {
    float sum = 0;
    for (u32 c = lane_index(); c < classes; c += WARP) sum += expf((row[c] - most) * scale);
    sum = warp_sum(sum);
    return {most, scale, 1 / sum, logf(sum)};
}
DEVICE Softmax row_softmax(const float* row, u32 classes, float scale) {
    return row_softmax(row, classes, row_most(row, classes), scale);
}

// The divergence KL(p_m || p_S) of a student's softmax from a mentor's, in all lanes. On the way `slope (p_S - p_m)` is
// written to the row `gradient`, or added to it.
template <bool ADD>
DEVICE double row_divergence(const float* student, const Softmax& by_student, const float* mentor,
                             const Softmax& by_mentor, u32 classes, float slope, float* gradient) {
    double sum = 0;
    for (u32 c = lane_index(); c < classes; c += WARP) {
        float p = by_mentor.probability(mentor[c]);
        sum += p * (by_student.surprise(student[c]) - by_mentor.surprise(mentor[c]));
        float change = slope * (by_student.probability(student[c]) - p);
        gradient[c] = ADD ? gradient[c] + change : change;
    }
    return warp_sum(sum);
}

// The sum of `count` numbers by one warp, in all lanes.
DEVICE double column_sum(const double* numbers, u32 count) {
    double sum = 0;
    for (u32 index = lane_index(); index < count; index += WARP) sum += numbers[index];
    return warp_sum(sum);
}
