// The lower median of x [outer, axis, inner] along the axis, float32: y [outer, inner].
//
// A block per column. Floats become integers of the same order, and the median is found from its highest bit down: a bit is
// set if no more elements than are to come before the median lie below what that makes. 32 passes over the column, which
// the caches hold; nothing is sorted or kept, and counts have no order.
#include "prims.cuh"

constexpr u32 MOST_WARPS = 8;

// Integers in the order of floats, with what is not a number behind all: that key has every bit, so no pass changes it, and
// its value is not a number.
constexpr u32 LOST = 0xffffffffu;

DEVICE u32 key_of(float x) {
    u32 bits = __float_as_uint(x);
    return x != x ? LOST : bits ^ (bits >> 31 ? 0xffffffffu : 0x80000000u);
}
DEVICE float value_of(u32 key) { return __uint_as_float(key ^ (key >> 31 ? 0x80000000u : 0xffffffffu)); }

KERNEL(median_f32, MOST_WARPS * WARP)(const float* x, float* y, u32 axis, u32 inner) {
    // By turns: of the room of the pass before threads may still read.
    __shared__ u32 rooms[2][MOST_WARPS];
    const float* column = x + blockIdx.x / inner * axis * inner + blockIdx.x % inner;
    u32 rank = (axis - 1) / 2, median = 0;
    // The first pass finds out whether something is lost, the others the bits.
    for (u32 pass = 0; pass <= 32; pass++) {
        u32 candidate = pass == 0 ? LOST : median | 0x80000000u >> (pass - 1);
        u32 before = 0;
#pragma unroll 1
        for (u32 row = threadIdx.x; row < axis; row += blockDim.x) before += key_of(column[row * inner]) < candidate;
        before = warp_sum(before);
        u32* room = rooms[pass % 2];
        if (threadIdx.x % WARP == WARP - 1) room[threadIdx.x / WARP] = before;
        sync_block();
        before = 0;
#pragma unroll 1
        for (u32 warp = 0; warp < blockDim.x / WARP; warp++) before += room[warp];
        if (pass == 0 ? before < axis : before <= rank) median = candidate;
    }
    if (threadIdx.x == 0) y[blockIdx.x] = value_of(median);
}
