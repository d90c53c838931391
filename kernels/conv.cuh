// What the convolution kernels share: the shape, and a matrix product in tiles of registers and shared memory. What its
// rows, columns and depth are, say conv_gather.cuh (forward pass and input gradient), conv_wgrad.cuh and conv_first.cu.
//
// Activations are [N, H, W, C], weights [KH, KW, C / groups, K]. A product runs over slices of its depth: while one
// slice is multiplied out of shared memory, the next is on its way into registers; two buffers take turns, so that one
// barrier per slice is enough. Every thread owns TALL x WIDE sums, in runs of four rows and four columns: two or three
// shared loads of 16 bytes (of which a warp needs at most 8 different ones: no bank conflicts) feed 16 to 64
// multiply-adds.
#pragma once
#include "finish.cuh"
#include "statistics.cuh"

// `ConvShape` of src/ops/conv2d/cuda/mod.rs. Pairs are rows, columns.
struct ConvShape {
    u32 batch, height, width, in_channels;
    u32 out_height, out_width, out_channels;
    u32 kernel[2], stride[2], padding[2], dilation[2];
    u32 groups;
};

// ---- four elements at once -----------------------------------------------------------------------------------------

template <typename T>
struct alignas(4 * sizeof(T)) Quad {
    T at[4];
};

// Four elements from `from` on as floats. Only the first `count` exist; the others are zeros and are not touched.
// `whole`: the count is 0 or at least 4 and the address a multiple of four elements, so that one access does.
template <typename T>
DEVICE Pack<float> load_four(const T* from, u32 count, bool whole) {
    Pack<float> four = {};
    if (whole) {
        if (count > 0) {
            Quad<T> quad = *reinterpret_cast<const Quad<T>*>(from);
#pragma unroll
            for (u32 lane = 0; lane < 4; lane++) four.at[lane] = to_float(quad.at[lane]);
        }
    } else {
#pragma unroll
        for (u32 lane = 0; lane < 4; lane++) {
            if (lane < count) four.at[lane] = to_float(from[lane]);
        }
    }
    return four;
}

// The counterpart.
template <typename T>
DEVICE void store_four(T* to, const Pack<float>& four, u32 count, bool whole) {
    if (whole) {
        if (count > 0) {
            Quad<T> quad;
#pragma unroll
            for (u32 lane = 0; lane < 4; lane++) quad.at[lane] = from_float<T>(four.at[lane]);
            *reinterpret_cast<Quad<T>*>(to) = quad;
        }
    } else {
#pragma unroll
        for (u32 lane = 0; lane < 4; lane++) {
            if (lane < count) to[lane] = from_float<T>(four.at[lane]);
        }
    }
}

// What is left of `extent` from `start` on.
DEVICE u32 rest(u32 extent, u32 start) { return start < extent ? extent - start : 0; }

// ---- the matrix product --------------------------------------------------------------------------------------------

// A block makes ROWS x COLUMNS sums over slices of DEPTH; a thread TALL x WIDE of them.
template <u32 ROWS_, u32 COLUMNS_, u32 DEPTH_, u32 TALL_, u32 WIDE_>
struct Tile {
    static constexpr u32 ROWS = ROWS_, COLUMNS = COLUMNS_, DEPTH = DEPTH_, TALL = TALL_, WIDE = WIDE_;
    static constexpr u32 THREADS_ACROSS = COLUMNS / WIDE;
    static constexpr u32 THREADS = ROWS / TALL * THREADS_ACROSS;
    // Row and column of the tile that sum (i, j) of a thread stands for.
    static DEVICE u32 row(u32 i) { return i / 4 * (ROWS / TALL * 4) + threadIdx.x / THREADS_ACROSS * 4 + i % 4; }
    static DEVICE u32 column(u32 j) { return j / 4 * (COLUMNS / WIDE * 4) + threadIdx.x % THREADS_ACROSS * 4 + j % 4; }
    // How many fours of a slice with `extent` rows (or columns) a thread brings.
    static constexpr u32 fours(u32 extent) { return (extent * DEPTH / 4 + THREADS - 1) / THREADS; }
};

// A slice in shared memory. Four more columns than needed: so four depths of 16 rows, as `store_turned` writes them,
// fall into different banks, and rows stay multiples of 16 bytes.
template <class TILE>
struct alignas(16) Slice {
    float a[TILE::DEPTH][TILE::ROWS + 4];
    float b[TILE::DEPTH][TILE::COLUMNS + 4];
};

// The place of a thread's four number `index` in a slice of EXTENT rows whose depth is innermost in memory: neighbours
// in pairs along the depth (32 bytes of float32, a whole sector), then along the rows.
template <class TILE, u32 EXTENT>
struct Turned {
    u32 row, depth;
    bool exists;
    DEVICE explicit Turned(u32 index) {
        u32 four = threadIdx.x + index * TILE::THREADS;
        row = four / 2 % EXTENT;
        depth = (four / (2 * EXTENT) * 2 + four % 2) * 4;
        exists = TILE::THREADS * TILE::fours(EXTENT) == EXTENT * TILE::DEPTH / 4 || depth < TILE::DEPTH;
    }
};

// The same where the rows are innermost in memory.
template <class TILE, u32 EXTENT>
struct Straight {
    u32 row, depth;
    bool exists;
    DEVICE explicit Straight(u32 index) {
        u32 four = threadIdx.x + index * TILE::THREADS;
        row = four % (EXTENT / 4) * 4;
        depth = four / (EXTENT / 4);
        exists = TILE::THREADS * TILE::fours(EXTENT) == EXTENT * TILE::DEPTH / 4 || depth < TILE::DEPTH;
    }
};

template <u32 WIDTH>
DEVICE void store_turned(float (*slice)[WIDTH], u32 row, u32 depth, const Pack<float>& four) {
#pragma unroll
    for (u32 lane = 0; lane < 4; lane++) slice[depth + lane][row] = four.at[lane];
}

// sum += a^T b over one slice.
template <class TILE>
DEVICE void multiply(const Slice<TILE>& slice, float (&sum)[TILE::TALL][TILE::WIDE]) {
#pragma unroll
    for (u32 depth = 0; depth < TILE::DEPTH; depth++) {
        Pack<float> a[TILE::TALL / 4], b[TILE::WIDE / 4];
#pragma unroll
        for (u32 i = 0; i < TILE::TALL; i += 4) a[i / 4] = load_pack(&slice.a[depth][TILE::row(i)]);
#pragma unroll
        for (u32 j = 0; j < TILE::WIDE; j += 4) b[j / 4] = load_pack(&slice.b[depth][TILE::column(j)]);
#pragma unroll
        for (u32 i = 0; i < TILE::TALL; i++) {
#pragma unroll
            for (u32 j = 0; j < TILE::WIDE; j++) sum[i][j] = fmaf(a[i / 4].at[i % 4], b[j / 4].at[j % 4], sum[i][j]);
        }
    }
}

// sum = a^T b over all slices that `loader` brings: it loads the slice it stands at into registers, stores it into
// shared memory, and moves on; `more` says whether it stands at one.
template <class TILE, class LOADER>
DEVICE void multiply_all(LOADER& loader, float (&sum)[TILE::TALL][TILE::WIDE], Slice<TILE> (&slices)[2]) {
#pragma unroll
    for (u32 i = 0; i < TILE::TALL; i++) {
#pragma unroll
        for (u32 j = 0; j < TILE::WIDE; j++) sum[i][j] = 0.0f;
    }
    bool more = loader.more();
    if (more) {
        loader.load();
        loader.store(slices[0]);
    }
    sync_block();
    u32 buffer = 0;
    while (more) {
        loader.next();
        more = loader.more();
        if (more) loader.load();
        multiply<TILE>(slices[buffer], sum);
        buffer ^= 1;
        if (more) loader.store(slices[buffer]);
        sync_block();
    }
}

// result = sum + bias (per channel) + addend (of the result's shape), both of which may be null. `loader` knows where
// the tile lies: rows are pixels, which it finds a place in the result, columns are channels of a group. `finish` comes
// last, in the place of an addend. `sum` becomes what is stored.
template <class TILE, class LOADER, typename T>
DEVICE void store_tile(const LOADER& loader, float (&sum)[TILE::TALL][TILE::WIDE], const float* bias, const T* addend,
                       const Finish<T>& finish, T* result) {
#pragma unroll
    for (u32 j = 0; j < TILE::WIDE; j += 4) {
        u32 column = loader.first_column + TILE::column(j), count = rest(loader.width, column);
        u32 channel = loader.group * loader.width + column;
        Pack<float> start = {};
        if (bias) start = load_four(bias + channel, count, loader.whole_width);
        FinishTable<4> table;
        if (finish.given()) table = finish_table<4>(finish, channel, count);
#pragma unroll
        for (u32 i = 0; i < TILE::TALL; i++) {
            u32 pixel = blockIdx.x * TILE::ROWS + TILE::row(i);
            if (pixel < loader.pixels) {
                u32 place = loader.place(pixel) * loader.width_pitch + channel;
                if (addend) start = load_four(addend + place, count, loader.whole_width);
                Pack<float> four, residual = {};
                if (finish.residual) residual = load_four(finish.residual + place, count, loader.whole_width);
#pragma unroll
                for (u32 lane = 0; lane < 4; lane++) {
                    float value = sum[i][j + lane] + start.at[lane];
                    if (finish.given()) value = finished(table, lane, value, residual.at[lane], finish.relu);
                    four.at[lane] = value;
                    sum[i][j + lane] = as_stored<T>(four.at[lane]);
                }
                store_four(result + place, four, count, loader.whole_width);
            }
        }
    }
}

// BatchNorm's partial statistics of a tile of the forward pass that has been stored. The slices, which nobody reads any
// more, are the room.
template <class TILE, class LOADER>
DEVICE void store_statistics(const LOADER& loader, const float (&sum)[TILE::TALL][TILE::WIDE], Slice<TILE> (&slices)[2],
                             float* statistics) {
    constexpr u32 LINES = TILE::THREADS / TILE::THREADS_ACROSS;
    static_assert((2 * LINES + 1) * TILE::COLUMNS * sizeof(float) <= sizeof(slices), "room for the sums");
    static_assert(TILE::COLUMNS <= TILE::THREADS, "a thread for every column");
    u32 first = blockIdx.x * TILE::ROWS, rows = min(loader.pixels - first, TILE::ROWS);
    u32 channels = loader.width_pitch, channel = loader.group * loader.width + loader.first_column;
    float* partial = partial_of(statistics, channels, blockIdx.x);
    if (threadIdx.x == 0 && blockIdx.y == 0) {
        write_partial_rows(partial, rows);
        if (blockIdx.x == 0) write_partial_count(statistics, gridDim.x);
    }
    tile_statistics(
        sum, [&](u32 i) { return TILE::row(i) < rows; }, [](u32 j) { return TILE::column(j); }, true,
        threadIdx.x / TILE::THREADS_ACROSS, LINES, TILE::COLUMNS, &slices[0].a[0][0], rows,
        min(rest(loader.width, loader.first_column), TILE::COLUMNS), channel, channels, partial);
}

// ---- walking over output pixels ------------------------------------------------------------------------------------

// Pixel `index` of all images of height x width: it stands at (n, y, x).
struct Walk {
    u32 index, n, y, x;
    Walk() = default;
    DEVICE Walk(u32 index, u32 height, u32 width)
        : index(index), n(index / (height * width)), y(index / width % height), x(index % width) {}
    // On by `step` pixels, without a division.
    DEVICE void advance(const Walk& step, u32 height, u32 width) {
        index += step.index;
        x += step.x;
        y += step.y;
        n += step.n;
        if (x >= width) {
            x -= width;
            y += 1;
        }
        if (y >= height) {
            y -= height;
            n += 1;
        }
    }
};
