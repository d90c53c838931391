// The lower median of x [outer, axis, inner] along the axis, float32: y [outer, inner].
//
// A block per column. Floats become integers of the same order, and the median is found from its highest bit down: a bit is
// set if no more elements than are to come before the median lie below what that makes. 32 passes over the column, which
// the caches hold; nothing is sorted or kept, and counts have no order.
#include "prims.cuh"

constexpr u32 MOST_WARPS = 8;

// Integers in the order of floats.
DEVICE u32 key_of(float x) {
    u32 bits = __float_as_uint(x);
    return bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}
DEVICE float value_of(u32 key) { return __uint_as_float(key ^ (key >> 31 ? 0x80000000u : 0xffffffffu)); }

// How many elements of a column satisfy `condition`, the same for all threads. `room` is another than in the call before,
// of which threads may still read.
template <typename Condition>
DEVICE u32 count_of(const float* column, u32 axis, u32 inner, u32 (&room)[MOST_WARPS], Condition condition) {
    u32 own = 0;
#pragma unroll 4
    for (u32 row = threadIdx.x; row < axis; row += blockDim.x) own += condition(column[row * inner]);
    own = warp_sum(own);
    if (threadIdx.x % WARP == 0) room[threadIdx.x / WARP] = own;
    sync_block();
    u32 all = 0;
    for (u32 warp = 0; warp < blockDim.x / WARP; warp++) all += room[warp];
    return all;
}

KERNEL(median_f32, MOST_WARPS * WARP)(const float* x, float* y, u32 axis, u32 inner) {
    __shared__ u32 rooms[2][MOST_WARPS];
    const float* column = x + blockIdx.x / inner * axis * inner + blockIdx.x % inner;
    u32 lost = count_of(column, axis, inner, rooms[0], [](float x) { return x != x; });
    u32 rank = (axis - 1) / 2, median = 0;
    for (u32 bit = 0x80000000u, pass = 1; bit != 0; bit >>= 1, pass ^= 1) {
        u32 candidate = median | bit;
        u32 before = count_of(column, axis, inner, rooms[pass], [=](float x) { return key_of(x) < candidate; });
        if (before <= rank) median = candidate;
    }
    if (threadIdx.x == 0) y[blockIdx.x] = lost > 0 ? __int_as_float(0x7fffffff) : value_of(median);
}
