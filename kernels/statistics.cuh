// Partial statistics of a matrix [rows, C], which BatchNorm combines (batch_norm.cu): each block of a kernel that makes or
// reads the matrix leaves those of its own rows, as deviations from a number near their mean, so that nothing cancels
// however far the mean is from zero.
//
//   word 0        how many partials there are
//   from word 8   of each [8 + 3 P] float32, P being C rounded up to a multiple of 8: how many rows (and nothing in seven
//                 more); per channel the number a, sum (x - a)^2, sum (x - a), P of each
//
// Eight channels fill a sector of memory, and none is read in parts.
//
// How many rows a partial stands for is its maker's choice, so that tiles may be cut as one likes. x is the value as
// stored: what is normalised later.
#pragma once
#include "prims.cuh"

// Words of a sector.
constexpr u32 SECTOR = 8;

// Words from one of a partial's three numbers to the next.
DEVICE u32 partial_pitch(u32 channels) { return (channels + SECTOR - 1) / SECTOR * SECTOR; }

// The partial number `index`.
template <typename F>
DEVICE F* partial_of(F* statistics, u32 channels, u32 index) {
    return statistics + SECTOR + size_t(index) * (SECTOR + 3 * partial_pitch(channels));
}

// What one thread of the grid, and one of those that share a partial, have to say.
DEVICE void write_partial_count(float* statistics, u32 partials) { *reinterpret_cast<u32*>(statistics) = partials; }
DEVICE void write_partial_rows(float* partial, u32 rows) { partial[0] = float(rows); }

DEVICE void write_partial(float* partial, u32 channels, u32 channel, float near, float squares, float sum) {
    u32 pitch = partial_pitch(channels);
    partial[SECTOR + channel] = near;
    partial[SECTOR + pitch + channel] = squares;
    partial[SECTOR + 2 * pitch + channel] = sum;
}

// A value as it comes back from memory.
template <typename T>
DEVICE float as_stored(float x) {
    return to_float(from_float<T>(x));
}

// Statistics of a block's tile that its threads hold in registers: TALL x WIDE each, of which the rows `exists(i)`; in
// runs of four columns, of which `column(j)` is the first within the tile. Threads with the same columns stand below each
// other: `line` of `lines`. Threads that are not `active` hold nothing. Two passes: the mean, and deviations from it.
//
// `room` has 2 * lines * columns + columns floats, at a multiple of 16 bytes, which nobody uses before or after.
// `columns`, a multiple of four and at most as many as threads, of which the first `inside` are channels from `channel`
// on; `rows` exist in the tile. All threads take part.
template <u32 TALL, u32 WIDE, typename Exists, typename Column>
DEVICE void tile_statistics(const float (&values)[TALL][WIDE], Exists exists, Column column, bool active, u32 line,
                            u32 lines, u32 columns, float* room, u32 rows, u32 inside, u32 channel, u32 channels,
                            float* partial) {
    float *sums = room, *squares = room + lines * columns, *near = squares + lines * columns;
    auto write = [&](float* to, const float (&of)[WIDE]) {
        if (!active) return;
#pragma unroll
        for (u32 j = 0; j < WIDE; j += 4) {
            store_pack(to + line * columns + column(j), Pack<float>{{of[j], of[j + 1], of[j + 2], of[j + 3]}});
        }
    };
    auto total = [&](const float* of) {
        float sum = 0.0f;
#pragma unroll 4
        for (u32 other = 0; other < lines; other++) sum += of[other * columns + threadIdx.x];
        return sum;
    };

    float sum[WIDE] = {}, square[WIDE] = {};
#pragma unroll
    for (u32 i = 0; i < TALL; i++) {
        if (exists(i)) {
#pragma unroll
            for (u32 j = 0; j < WIDE; j++) sum[j] += values[i][j];
        }
    }
    write(sums, sum);
    sync_block();
    if (threadIdx.x < columns) near[threadIdx.x] = total(sums) / float(rows);
    sync_block();
    if (active) {
        float about[WIDE];
#pragma unroll
        for (u32 j = 0; j < WIDE; j += 4) {
            Pack<float> pack = load_pack(near + column(j));
#pragma unroll
            for (u32 at = 0; at < 4; at++) {
                about[j + at] = pack.at[at];
                sum[j + at] = 0.0f;
            }
        }
#pragma unroll
        for (u32 i = 0; i < TALL; i++) {
            if (exists(i)) {
#pragma unroll
                for (u32 j = 0; j < WIDE; j++) {
                    float deviation = values[i][j] - about[j];
                    sum[j] += deviation;
                    square[j] = fmaf(deviation, deviation, square[j]);
                }
            }
        }
    }
    // Whoever reads the sums has passed the second barrier.
    write(sums, sum);
    write(squares, square);
    sync_block();
    if (threadIdx.x < inside) {
        write_partial(partial, channels, channel + threadIdx.x, near[threadIdx.x], total(squares), total(sums));
    }
}
