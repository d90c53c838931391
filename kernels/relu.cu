// y = max(0, x), element by element, and its gradient dx = (upstream where y > 0, else 0) [+ addend].
//
// Memory bound: the forward pass reads and writes every element once, the gradient reads two (with an addend three) and
// writes one: the least there is. 16 bytes per thread and access; what stands behind the last whole pack is done one by
// one. Outputs may be where inputs are: a thread reads its elements before it writes them.
#include "prims.cuh"

// Not-a-number stays so.
DEVICE float relu(float x) { return x <= 0.0f ? 0.0f : x; }

template <typename T>
DEVICE void forward(const T* x, T* y, u32 count) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<T>;
    if (start + LANES<T> <= count) {
        Pack<T> pack = load_pack(x + start);
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane++) pack.at[lane] = from_float<T>(relu(to_float(pack.at[lane])));
        store_pack(y + start, pack);
    } else {
#pragma unroll 1
        for (u32 index = start; index < count; index++) y[index] = from_float<T>(relu(to_float(x[index])));
    }
}

DEVICE float passed(float upstream, float y) { return y > 0.0f ? upstream : 0.0f; }

// `addend` is null or as long as the others.
template <typename T>
DEVICE void gradient(const T* upstream, const T* y, const T* addend, T* dx, u32 count) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<T>;
    if (start + LANES<T> <= count) {
        Pack<T> pack = load_pack(upstream + start), output = load_pack(y + start), added = {};
        if (addend != nullptr) added = load_pack(addend + start);
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane++) {
            float sum = passed(to_float(pack.at[lane]), to_float(output.at[lane])) + to_float(added.at[lane]);
            pack.at[lane] = from_float<T>(sum);
        }
        store_pack(dx + start, pack);
    } else {
#pragma unroll 1
        for (u32 index = start; index < count; index++) {
            float sum = passed(to_float(upstream[index]), to_float(y[index]));
            if (addend != nullptr) sum += to_float(addend[index]);
            dx[index] = from_float<T>(sum);
        }
    }
}

KERNEL(relu_f32, 256)(const float* x, float* y, u32 count) { forward(x, y, count); }
KERNEL(relu_bf16, 256)(const bf16* x, bf16* y, u32 count) { forward(x, y, count); }
KERNEL(relu_gradient_f32, 256)(const float* upstream, const float* y, const float* addend, float* dx, u32 count) {
    gradient(upstream, y, addend, dx, count);
}
KERNEL(relu_gradient_bf16, 256)(const bf16* upstream, const bf16* y, const bf16* addend, bf16* dx, u32 count) {
    gradient(upstream, y, addend, dx, count);
}
