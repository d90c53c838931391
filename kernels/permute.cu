// The axes of a tensor in another order: a walk through x by strides in the order of y, of up to four axes.
//
// Memory bound. Where the innermost axis stays, a thread moves 16 bytes (or one element): both sides are coalesced. Where
// another axis of y, `inner`, is the innermost one of x, a block turns 32 x 32 elements of these two in shared memory, so
// that a warp reads neighbours and writes neighbours; a row of 33 keeps columns in different banks.
#include "prims.cuh"

constexpr u32 THREADS = 256;
constexpr u32 SIDE = 32, LINES = THREADS / SIDE;

// `Walk` of src/ops/permute/cuda.rs.
struct Walk {
    u32 count;          // threads with work, or blocks
    u32 extents[4];     // of y, in packs along the last axis, or in tiles along it and `inner`
    u32 from[4];        // elements of x from one step along an axis to the next
    u32 to[4];          // elements of y
    u32 tiles, apart;   // along `inner`, and how many steps of the other axes but the last lie between two
    u32 whole[2];       // elements along `inner` and the last axis
    u32 line, step;     // elements of x along the last axis, of y along `inner`
    u32 lanes;
};

// The place in x (by `from`) or y (by `to`) of item `index`, the last axis fastest.
DEVICE u32 place(const u32 (&extents)[4], const u32 (&strides)[4], u32 index) {
    u32 at = index % extents[3] * strides[3];
    index /= extents[3];
    at += index % extents[2] * strides[2];
    index /= extents[2];
    return at + index % extents[1] * strides[1] + index / extents[1] * strides[0];
}

KERNEL(permute_rows_f32, THREADS)(const float* x, float* y, Walk walk) {
    u32 index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= walk.count) return;
    const float* from = x + place(walk.extents, walk.from, index);
    float* to = y + size_t(index) * walk.lanes;
    if (walk.lanes == 1) *to = *from;
    else store_pack(to, load_pack(from));
}

KERNEL(permute_f32, THREADS)(const float* x, float* y, Walk walk) {
    __shared__ float tile[SIDE][SIDE + 1];
    u32 across = threadIdx.x % SIDE, down = threadIdx.x / SIDE;
    const float* from = x + place(walk.extents, walk.from, blockIdx.x);
    float* to = y + place(walk.extents, walk.to, blockIdx.x);
    // What is left of both axes from this tile on.
    u32 column = blockIdx.x % walk.extents[3], row = blockIdx.x / walk.extents[3] / walk.apart % walk.tiles;
    u32 rows = min(walk.whole[0] - row * SIDE, SIDE), columns = min(walk.whole[1] - column * SIDE, SIDE);
#pragma unroll
    for (u32 line = down; line < SIDE; line += LINES) {
        if (line < columns && across < rows) tile[line][across] = from[line * walk.line + across];
    }
    sync_block();
#pragma unroll
    for (u32 line = down; line < SIDE; line += LINES) {
        if (line < rows && across < columns) to[line * walk.step + across] = tile[across][line];
    }
}
