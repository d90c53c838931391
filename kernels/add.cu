// y = a + b, element by element, and the sum of gradients that meet.
//
// Memory bound: 16 bytes per thread and access; the elements behind the last whole pack are done one by one.
#include "prims.cuh"

template <typename T>
DEVICE void add(const T* a, const T* b, T* y, u32 count) {
    u32 thread = blockIdx.x * blockDim.x + threadIdx.x;
    u32 start = thread * LANES<T>;
    if (start + LANES<T> <= count) {
        Pack<T> left = load_pack(a + start), right = load_pack(b + start);
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane++) {
            left.at[lane] = from_float<T>(to_float(left.at[lane]) + to_float(right.at[lane]));
        }
        store_pack(y + start, left);
    } else {
#pragma unroll 1
        for (u32 index = start; index < count; index++) {
            y[index] = from_float<T>(to_float(a[index]) + to_float(b[index]));
        }
    }
}

KERNEL(add_f32, 256)(const float* a, const float* b, float* y, u32 count) { add(a, b, y, count); }
KERNEL(add_bf16, 256)(const bf16* a, const bf16* b, bf16* y, u32 count) { add(a, b, y, count); }
