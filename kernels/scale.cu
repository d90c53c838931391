// y = factor * x, element by element, where the factor is a constant or a float32 in memory; and constants themselves.
//
// Memory bound: every element is read and written once, a constant only written. 16 bytes per thread and access; what
// stands behind the last whole pack is done one by one. y may be x.
#include "prims.cuh"

template <typename T>
DEVICE void scale(const T* x, T* y, float factor, u32 count) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<T>;
    if (start + LANES<T> <= count) {
        Pack<T> pack = load_pack(x + start);
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane++) pack.at[lane] = from_float<T>(factor * to_float(pack.at[lane]));
        store_pack(y + start, pack);
    } else {
#pragma unroll 1
        for (u32 index = start; index < count; index++) y[index] = from_float<T>(factor * to_float(x[index]));
    }
}

KERNEL(scale_f32, 256)(const float* x, float* y, float factor, u32 count) { scale(x, y, factor, count); }
KERNEL(scale_bf16, 256)(const bf16* x, bf16* y, float factor, u32 count) { scale(x, y, factor, count); }
KERNEL(scale_by_f32, 256)(const float* x, const float* factor, float* y, u32 count) { scale(x, y, *factor, count); }
KERNEL(scale_by_bf16, 256)(const bf16* x, const float* factor, bf16* y, u32 count) { scale(x, y, *factor, count); }

KERNEL(fill_f32, 256)(float* y, float value, u32 count) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<float>;
    if (start + LANES<float> <= count) {
        store_pack(y + start, Pack<float>{{value, value, value, value}});
    } else {
#pragma unroll 1
        for (u32 index = start; index < count; index++) y[index] = value;
    }
}
