// A loss from its parts: `loss = factor * sum of parts`, one f64 part for each row of the batch.
//
// One warp: every lane adds up each 32nd part, then the lanes' sums meet in a fixed order.
#include "rows.cuh"

KERNEL(loss_f32, WARP)(const double* parts, float* loss, u32 count, double factor) {
    double sum = column_sum(parts, count);
    if (lane_index() == 0) *loss = float(factor * sum);
}
