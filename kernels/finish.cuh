// What a forward convolution may do to its results before it stores them: BatchNorm with running statistics, the addition
// of a residual, ReLU. So a frozen network takes one pass over memory for all of these.
//
//   y = act((value - mean) * gamma / sqrt(variance + epsilon) + beta [+ residual])
#pragma once
#include "prims.cuh"

// All are null where nothing is to be done; `residual`, of the shape of y, may be null alone.
template <typename T>
struct Finish {
    const float *gamma, *beta, *mean, *variance;  // [channels]
    const T* residual;
    float epsilon;
    u32 relu;

    DEVICE bool given() const { return gamma != nullptr; }
};

// The parameters of a kernel that make one, and one that does nothing.
#define FINISH_PARAMETERS(T)                                                                                           \
    const float *gamma, const float *beta, const float *mean, const float *variance, const T *residual, float epsilon, \
        u32 relu
#define FINISH(T)                                                                                                      \
    Finish<T> { gamma, beta, mean, variance, residual, epsilon, relu }
#define NO_FINISH(T)                                                                                                   \
    Finish<T> {}

// Per channel of WIDTH neighbours.
template <u32 WIDTH>
struct FinishTable {
    float center[WIDTH], scale[WIDTH], shift[WIDTH];
};

// For the `count` channels from `channel` on; nothing is read of others.
template <u32 WIDTH, typename T>
DEVICE FinishTable<WIDTH> finish_table(const Finish<T>& finish, u32 channel, u32 count) {
    FinishTable<WIDTH> table = {};
#pragma unroll
    for (u32 l = 0; l < WIDTH; l++) {
        if (l < count) {
            table.center[l] = finish.mean[channel + l];
            table.scale[l] = finish.gamma[channel + l] * (1.0f / sqrtf(finish.variance[channel + l] + finish.epsilon));
            table.shift[l] = finish.beta[channel + l];
        }
    }
    return table;
}

template <u32 WIDTH>
DEVICE float finished(const FinishTable<WIDTH>& table, u32 l, float value, float residual, u32 relu) {
    value = fmaf(value - table.center[l], table.scale[l], table.shift[l]) + residual;
    return relu != 0 && value <= 0.0f ? 0.0f : value;
}
