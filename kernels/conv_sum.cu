// Adds up the partial weight gradients that the chunks of a batch left: element by element, in the order of the chunks,
// so that the sum is the same in every run.
//
//   partials [chunks, length] -> dw[weights], d_bias[length - weights]
//
// One thread per element; neighbours read neighbours. Memory bound: 4 bytes per addition, each read once. Eight chunks
// are on their way at a time.
#include "prims.cuh"

KERNEL(conv_sum_f32, 256)(const float* partials, float* dw, float* d_bias, u32 weights, u32 length, u32 chunks) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= length) return;
    float sum = 0.0f;
#pragma unroll 8
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += partials[size_t(chunk) * length + index];
    if (index < weights) {
        dw[index] = sum;
    } else {
        d_bias[index - weights] = sum;
    }
}
