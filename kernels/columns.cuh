// A tensor [rows, C] seen as a matrix whose rows are whole packs of 16 bytes: [rows / k, columns] with columns = k * C and
// the smallest k that makes columns a multiple of the pack. Column j is channel j % C. So every number of channels moves
// by packs, and a thread stays at its channels from row to row. The last row of the matrix may be partial.
//
// A block has `width` packs of columns and `height` rows of threads; it goes over `chunk_rows` rows. Blocks in x are
// chunks of rows, in y parts of the columns.
#pragma once
#include "prims.cuh"

struct Matrix {
    u32 count;       // elements
    u32 columns;     // k * C
    u32 channels;    // C
    u32 whole_rows;  // count / columns; behind them there may be a partial row
    u32 width;       // packs per row of threads
    u32 height;      // rows of threads
    u32 chunk_rows;  // rows of the matrix per block in x
};

// Columns of a block at most: 32 packs of 8 bf16. There are as many threads.
constexpr u32 BLOCK_COLUMNS = 256;

// Elements of column `column` in the rows before `row`.
DEVICE u32 elements_before(const Matrix& m, u32 column, u32 row) {
    u32 partial = m.count - m.whole_rows * m.columns;
    u32 height = column < partial ? m.whole_rows + 1 : m.whole_rows;
    return row < height ? row : height;
}

// Where a thread works.
struct Lane {
    bool active;       // there are such columns
    u32 column;        // the first of its columns
    u32 block_column;  // the same, counted from the block's first
    u32 first;         // its first row
    u32 end;           // behind the chunk's last row
};

template <typename T>
DEVICE Lane lane_of(const Matrix& m) {
    u32 x = threadIdx.x % m.width, y = threadIdx.x / m.width;
    Lane lane;
    lane.block_column = x * LANES<T>;
    lane.column = blockIdx.y * m.width * LANES<T> + lane.block_column;
    lane.active = y < m.height && lane.column < m.columns;
    lane.first = blockIdx.x * m.chunk_rows + y;
    u32 rows = m.whole_rows + (m.count > m.whole_rows * m.columns);
    u32 end = (blockIdx.x + 1) * m.chunk_rows;
    lane.end = lane.active ? (end < rows ? end : rows) : 0;
    return lane;
}

// How many of the pack's elements at (row, column) there are: all, some in the partial row, none behind the chunk.
template <typename T>
DEVICE u32 elements_at(const Matrix& m, const Lane& lane, u32 row) {
    if (row >= lane.end) return 0;
    u32 offset = row * m.columns + lane.column;
    if (offset + LANES<T> <= m.count) return LANES<T>;
    return offset < m.count ? m.count - offset : 0;
}

// The first `elements` of a pack, zeros behind them. Nothing is read if there are none.
template <typename T>
DEVICE Pack<T> load_elements(const T* from, u32 elements) {
    Pack<T> pack = {};
    if (elements == LANES<T>) return load_pack(from);
#pragma unroll
    for (u32 lane = 0; lane < LANES<T>; lane++) {
        if (lane < elements) pack.at[lane] = from[lane];
    }
    return pack;
}

template <typename T>
DEVICE void store_elements(T* to, const Pack<T>& pack, u32 elements) {
    if (elements == LANES<T>) return store_pack(to, pack);
#pragma unroll
    for (u32 lane = 0; lane < LANES<T>; lane++) {
        if (lane < elements) to[lane] = pack.at[lane];
    }
}

// Rows of a thread's tile; two tiles are on their way at once.
template <typename T>
constexpr u32 TILE_ROWS = sizeof(T) / 2;

// Packs of one column in ROWS rows of threads.
template <typename T, u32 ROWS>
struct Tile {
    Pack<T> at[ROWS];
};

// Rows `first`, `first + height` and so on; zeros where there is nothing.
template <u32 ROWS, typename T>
DEVICE Tile<T, ROWS> load_tile(const T* from, const Matrix& m, const Lane& lane, u32 first) {
    Tile<T, ROWS> tile;
#pragma unroll
    for (u32 u = 0; u < ROWS; u++) {
        u32 row = first + u * m.height;
        tile.at[u] = load_elements(from + (row * m.columns + lane.column), elements_at<T>(m, lane, row));
    }
    return tile;
}

// Calls `use(tile, first)` for all tiles of a thread, the next one on its way meanwhile. `tile` is the first, and
// `load(first)` loads another.
template <u32 ROWS, typename Tile, typename Load, typename Use>
DEVICE void for_each_tile(const Matrix& m, const Lane& lane, Tile tile, Load load, Use use) {
    for (u32 first = lane.first;;) {
        u32 following = first + ROWS * m.height;
        Tile next = load(following);
        use(tile, first);
        if (following >= lane.end) break;
        first = following;
        tile = next;
    }
}

// A table of the block's columns in shared memory, read for a thread's pack.
template <typename T>
DEVICE void read_table(float (&values)[LANES<T>], const float* table, const Lane& lane) {
#pragma unroll
    for (u32 start = 0; start < LANES<T>; start += 4) {
        Pack<float> pack = load_pack(table + lane.block_column + start);
#pragma unroll
        for (u32 index = 0; index < 4; index++) values[start + index] = pack.at[index];
    }
}

// Room for what the threads of a block add up per column.
template <typename T>
constexpr u32 BLOCK_ROOM = BLOCK_COLUMNS * LANES<T>;

template <typename T>
DEVICE void write_room(float* room, const Matrix& m, const Lane& lane, const float (&values)[LANES<T>]) {
    if (threadIdx.x >= m.width * m.height) return;
#pragma unroll
    for (u32 start = 0; start < LANES<T>; start += 4) {
        store_pack(room + threadIdx.x * LANES<T> + start,
                   Pack<float>{{values[start], values[start + 1], values[start + 2], values[start + 3]}});
    }
}

// The sum of column `block_column` over the rows of threads, in their order.
template <typename T>
DEVICE float sum_room(const float* room, const Matrix& m, u32 block_column) {
    float sum = 0.0f;
#pragma unroll 1
    for (u32 y = 0; y < m.height; y++) sum += room[y * m.width * LANES<T> + block_column];
    return sum;
}

// ---- what is left of the chunks: [chunks, parts, columns], combined per channel --------------------------------------

// A block combines CHANNELS channels; PARTNERS threads share one channel, each with every PARTNERS-th chunk.
constexpr u32 CHANNELS = 8;
constexpr u32 PARTNERS = 32;

// Calls `use(values, column, chunk)` for what the chunks left about a channel's columns and is this thread's own; several
// on their way at once. For chunks behind the last the values are zero.
template <u32 PARTS, typename Use>
DEVICE void for_each_chunk(const float* partials, const Matrix& m, u32 chunks, u32 channel, Use use) {
    constexpr u32 BATCH = 4;
#pragma unroll 1
    for (u32 column = channel; column < m.columns; column += m.channels) {
#pragma unroll 1
        for (u32 first = threadIdx.x / CHANNELS; first < chunks; first += BATCH * PARTNERS) {
            float values[BATCH][PARTS] = {};
#pragma unroll
            for (u32 u = 0; u < BATCH; u++) {
                u32 chunk = first + u * PARTNERS;
                if (chunk < chunks) {
#pragma unroll
                    for (u32 part = 0; part < PARTS; part++) {
                        values[u][part] = partials[(chunk * PARTS + part) * m.columns + column];
                    }
                }
            }
#pragma unroll
            for (u32 u = 0; u < BATCH; u++) use(values[u], column, first + u * PARTNERS);
        }
    }
}

// The sum over a channel's partners in their order, the same for each of them. All threads of the block take part.
DEVICE float sum_partners(float (&room)[PARTNERS * CHANNELS], float value) {
    room[threadIdx.x] = value;
    sync_block();
    float sum = 0.0f;
    for (u32 partner = 0; partner < PARTNERS; partner++) sum += room[partner * CHANNELS + threadIdx.x % CHANNELS];
    return sum;
}
