// The divergence of a student from a mentor at a temperature, and its gradient: logits [rows, classes] float32.
//
// One warp per row. `losses[row] = KL(softmax(z_m / T) || softmax(z_S / T))` in f64 (kernels/loss.cu adds them up) and
// `d_logits = slope (softmax(z_S / T) - softmax(z_m / T))`. `scale` is 1 / T, `slope` is T / rows.
#include "rows.cuh"

KERNEL(kl_divergence_f32, ROW_THREADS)
(const float* student, const float* mentor, float* d_logits, double* losses, u32 rows, u32 classes, float scale,
 float slope) {
    u32 row = warp_index();
    if (row >= rows) return;
    student += row * classes, mentor += row * classes, d_logits += row * classes;
    Softmax by_student = row_softmax(student, classes, scale), by_mentor = row_softmax(mentor, classes, scale);
    double loss = row_divergence<false>(student, by_student, mentor, by_mentor, classes, slope, d_logits);
    if (lane_index() == 0) losses[row] = loss;
}
