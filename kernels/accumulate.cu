// Totals of an epoch: `total += x`, float32 into f64, one thread per element.
#include "prims.cuh"

KERNEL(accumulate_f32, 256)(const float* x, double* total, u32 count) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count) total[index] += x[index];
}
