// Rows of a table [N, D] by their numbers, indices [I]: reading them and writing them back.
//
//   gather    y[i] = table[indices[i]]                          (zeros where that is no row)
//   scatter   table[indices[i]] = rows[i], the last i of each row
//
// Memory bound, and coalesced along rows.
#include "prims.cuh"

constexpr u32 THREADS = 256;
constexpr u32 COLUMNS = 128;  // of a block of scatter, a thread each

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
