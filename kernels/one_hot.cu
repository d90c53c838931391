// Labels as rows of a matrix: y[b, c] is 1 where c is labels[b], else 0. labels [B], y [B, C].
//
// One thread per element; memory bound by what is written.
#include "prims.cuh"

KERNEL(one_hot_f32, 256)(const u32* labels, float* y, u32 classes, u32 count) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count) y[index] = labels[index / classes] == index % classes ? 1.0f : 0.0f;
}
