// The ladder of the optimizer: stochastic gradient descent with momentum and weight decay, float32, up to the kernel
// that ships, `sgd_f32` in sgd.cu.
//
//   g = gradient + weight_decay * w;  v = momentum * v + g;  w = w - rate * v
//
// What ships also watches for numbers that are not finite.
#include "prims.cuh"

// ---- 1: a launch for every parameter, a thread for every element ---------------------------------------------------

KERNEL(sgd_1_each, 256)(float* weight, float* velocity, const float* gradient, const float* rate, u32 count,
                        float weight_decay, float momentum) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    float g = fmaf(weight_decay, weight[index], gradient[index]), v = fmaf(momentum, velocity[index], g);
    weight[index] = fmaf(-*rate, v, weight[index]);
    velocity[index] = v;
}
