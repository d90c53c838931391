// Softmax and log-softmax at a temperature over the last dimension, forward and backward: [rows, classes] float32.
//
// One warp per row. `scale` is 1 / T.
//   softmax:     p = exp(z / T) / sum exp(z / T)       dz = p (dp - sum dp p) / T
//   log-softmax: l = z / T - ln sum exp(z / T)         dz = (dl - exp(l) sum dl) / T
#include "rows.cuh"

KERNEL(softmax_f32, ROW_THREADS)(const float* logits, float* y, u32 rows, u32 classes, float scale) {
    u32 row = warp_index();
    if (row >= rows) return;
    logits += row * classes, y += row * classes;
    Softmax softmax = row_softmax(logits, classes, scale);
    for (u32 c = lane_index(); c < classes; c += WARP) y[c] = softmax.probability(logits[c]);
}

KERNEL(log_softmax_f32, ROW_THREADS)(const float* logits, float* y, u32 rows, u32 classes, float scale) {
    u32 row = warp_index();
    if (row >= rows) return;
    logits += row * classes, y += row * classes;
    Softmax softmax = row_softmax(logits, classes, scale);
    for (u32 c = lane_index(); c < classes; c += WARP) y[c] = -softmax.surprise(logits[c]);
}

KERNEL(softmax_backward_f32, ROW_THREADS)
(const float* y, const float* upstream, float* d_logits, u32 rows, u32 classes, float scale) {
    u32 row = warp_index();
    if (row >= rows) return;
    y += row * classes, upstream += row * classes, d_logits += row * classes;
    float sum = 0;
    for (u32 c = lane_index(); c < classes; c += WARP) sum += y[c] * upstream[c];
    sum = warp_sum(sum);
    for (u32 c = lane_index(); c < classes; c += WARP) d_logits[c] = y[c] * (upstream[c] - sum) * scale;
}

KERNEL(log_softmax_backward_f32, ROW_THREADS)
(const float* y, const float* upstream, float* d_logits, u32 rows, u32 classes, float scale) {
    u32 row = warp_index();
    if (row >= rows) return;
    y += row * classes, upstream += row * classes, d_logits += row * classes;
    float sum = 0;
    for (u32 c = lane_index(); c < classes; c += WARP) sum += upstream[c];
    sum = warp_sum(sum);
    for (u32 c = lane_index(); c < classes; c += WARP) d_logits[c] = (upstream[c] - expf(y[c]) * sum) * scale;
}
