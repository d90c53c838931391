// Rows of a table [N, D] by their numbers, indices [I]: reading them, the table's gradient, and writing them back.
//
//   gather    y[i] = table[indices[i]]                          (zeros where that is no row)
//   gradient  d_table[n] = sum over i with indices[i] = n of upstream[i], in the order of i
//   scatter   table[indices[i]] = rows[i], the last i of each row
//
// Memory bound, and coalesced along rows. The gradient looks at all indices once per row of the table, each thread of a
// block at one of them at a time; the hits are bits in shared memory: for tables of some thousand rows.
#include "prims.cuh"

constexpr u32 THREADS = 256;
constexpr u32 COLUMNS = 128;  // of a block of the gradient and of scatter, a thread each

KERNEL(gather_rows_f32, THREADS)
(const float* table, const u32* indices, float* y, u32 rows, u32 packs, u32 lanes, u32 count) {
    u32 index = blockIdx.x * THREADS + threadIdx.x;
    if (index >= count) return;
    u32 row = indices[index / packs];
    size_t from = (size_t(row) * packs + index % packs) * lanes, to = size_t(index) * lanes;
    if (lanes == 1) {
        y[to] = row < rows ? table[from] : 0.0f;
    } else {
        Pack<float> pack = {};
        if (row < rows) pack = load_pack(table + from);
        store_pack(y + to, pack);
    }
}

// Grid: rows of the table, blocks of columns.
KERNEL(gather_rows_gradient_f32, COLUMNS)
(const float* upstream, const u32* indices, float* d_table, u32 width, u32 count) {
    __shared__ u32 hits[COLUMNS / WARP];
    u32 column = blockIdx.y * COLUMNS + threadIdx.x, lane = threadIdx.x % WARP;
    float sum = 0.0f;
    for (u32 first = 0; first < count; first += COLUMNS) {
        u32 at = first + threadIdx.x;
        bool hit = at < count && indices[at] == blockIdx.x;
        // One bit per lane: their sum is all of them.
        u32 mask = warp_sum(hit ? 1u << lane : 0u);
        if (lane == WARP - 1) hits[threadIdx.x / WARP] = mask;
        sync_block();
#pragma unroll 1
        for (u32 warp = 0; warp < COLUMNS / WARP; warp++) {
            for (u32 left = hits[warp]; left != 0; left &= left - 1) {
                u32 hit_at = first + warp * WARP + (__ffs(int(left)) - 1);
                if (column < width) sum += upstream[size_t(hit_at) * width + column];
            }
        }
        sync_block();
    }
    if (column < width) d_table[size_t(blockIdx.x) * width + column] = sum;
}

// Grid: indices, blocks of columns.
KERNEL(scatter_rows_f32, COLUMNS)
(const u32* indices, const float* rows, float* table, u32 width, u32 count, u32 table_rows) {
    u32 column = blockIdx.y * COLUMNS + threadIdx.x, row = indices[blockIdx.x];
    if (row >= table_rows || column >= width) return;
    for (u32 later = blockIdx.x + 1; later < count; later++) {
        if (indices[later] == row) return;
    }
    table[size_t(row) * width + column] = rows[size_t(blockIdx.x) * width + column];
}
