// Cross-entropy with label smoothing and the gradient of its mean over the batch: logits [rows, classes] float32.
//
// One warp per row. With targets t = on [c = label] + off, `losses[row] = -sum_c t_c ln p_c` in f64 (kernels/loss.cu
// adds them up) and `d_logits = (p - t) / rows`.
#include "rows.cuh"

KERNEL(cross_entropy_f32, ROW_THREADS)
(const float* logits, const u32* labels, float* d_logits, double* losses, u32 rows, u32 classes, double on,
 double off) {
    u32 row = warp_index();
    if (row >= rows) return;
    logits += row * classes, d_logits += row * classes;
    u32 label = labels[row];
    Softmax softmax = row_softmax(logits, classes, 1);
    float share = 1 / float(rows);
    double loss = 0;
    for (u32 c = lane_index(); c < classes; c += WARP) {
        double target = c == label ? on + off : off;
        // No target, no loss: not even where a logit is minus infinity.
        if (target > 0) loss += target * softmax.surprise(logits[c]);
        d_logits[c] = (softmax.probability(logits[c]) - float(target)) * share;
    }
    loss = warp_sum(loss);
    if (lane_index() == 0) losses[row] = loss;
}
