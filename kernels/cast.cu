// y = x in another type: float32 to bf16 (to nearest, ties to even) or back (exactly), for many tensors in one launch.
//
// A model casts all its convolution weights in every step, most of them small. So a block's y says which tensor it works
// on, and the blocks of one tensor go through it together: eight elements per thread and turn, 16 bytes on the bf16 side
// and twice 16 on the other; what is left behind the last eight is done one by one.
#include "prims.cuh"

struct Tensor {
    const void* from;
    void* to;
    u64 count;
};

constexpr u32 EACH = LANES<bf16>;

template <typename To, typename From>
DEVICE void cast(const Tensor* tensors) {
    const Tensor own = tensors[blockIdx.y];
    const From* from = static_cast<const From*>(own.from);
    To* to = static_cast<To*>(own.to);
    const u32 count = u32(own.count);
    for (u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * EACH; start < count; start += gridDim.x * blockDim.x * EACH) {
        if (start + EACH <= count) {
            From given[EACH];
#pragma unroll
            for (u32 at = 0; at < EACH; at += LANES<From>) {
                Pack<From> pack = load_pack(from + start + at);
#pragma unroll
                for (u32 lane = 0; lane < LANES<From>; lane++) given[at + lane] = pack.at[lane];
            }
#pragma unroll
            for (u32 at = 0; at < EACH; at += LANES<To>) {
                Pack<To> pack;
#pragma unroll
                for (u32 lane = 0; lane < LANES<To>; lane++) {
                    pack.at[lane] = from_float<To>(to_float(given[at + lane]));
                }
                store_pack(to + start + at, pack);
            }
        } else {
#pragma unroll 1
            for (u32 index = start; index < count; index++) to[index] = from_float<To>(to_float(from[index]));
        }
    }
}

KERNEL(cast_f32_bf16, 256)(const Tensor* tensors) { cast<bf16, float>(tensors); }
KERNEL(cast_bf16_f32, 256)(const Tensor* tensors) { cast<float, bf16>(tensors); }
