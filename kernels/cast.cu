// y = x in another type: float32 to bf16 (to nearest, ties to even) or back (exactly), for many tensors in one launch.
//
// A model casts all its convolution weights in every step, most of them small. So a block's y says which tensor it works
// on, and the blocks of one tensor go through it together: four elements per thread and turn, 16 bytes on the float32
// side and 8 on the other, so that what neighbours move touches on both; what is left behind the last four is done one by
// one.
#include "prims.cuh"

struct Tensor {
    const void* from;
    void* to;
    u64 count;
};

constexpr u32 EACH = LANES<float>;

template <typename To, typename From>
DEVICE void cast(const Tensor* tensors) {
    const u32 count = u32(tensors[blockIdx.y].count);
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * EACH;
    if (start >= count) return;
    const From* from = static_cast<const From*>(tensors[blockIdx.y].from);
    To* to = static_cast<To*>(tensors[blockIdx.y].to);
    for (; start < count; start += gridDim.x * blockDim.x * EACH) {
        if (start + EACH <= count) {
            Pack<From, EACH> given = load_pack<EACH>(from + start);
            Pack<To, EACH> made;
#pragma unroll
            for (u32 lane = 0; lane < EACH; lane++) made.at[lane] = from_float<To>(to_float(given.at[lane]));
            store_pack(to + start, made);
        } else {
#pragma unroll 1
            for (u32 index = start; index < count; index++) to[index] = from_float<To>(to_float(from[index]));
        }
    }
}

KERNEL(cast_f32_bf16, 256)(const Tensor* tensors) { cast<bf16, float>(tensors); }
KERNEL(cast_bf16_f32, 256)(const Tensor* tensors) { cast<float, bf16>(tensors); }
