// Convolution and its data gradient on tensor cores, dense channels, any kernel, stride, padding and dilation:
//
//   fprop  y[N, OH, OW, K]  = x[N, H, W, C] * w[KH, KW, C, K] (+ bias[K])
//   dgrad  dx[N, H, W, C]   = dy[N, OH, OW, K] * w turned     (+ addend)
//
// Implicit GEMM. A row of the matrix is a pixel of the target, the reduction runs over (tap, channel of the source), a
// column is a channel of the target. What a tap reads for a row is a pixel of the source or, outside of it, zeros; the
// host lists the taps (`Tap`). With a stride the data gradient falls into classes of pixels that see the same taps, one
// per remainder of row and column (`Class`); no product with a zero between pixels is made.
//
// The weights' innermost channel is the column in fprop (read across the reduction) and the reduction in dgrad (along).
// Tiles of 128 x 64 serve large maps, 64 x 64 small ones, 128 x 32 and 128 x 16 few channels. Results go through shared
// memory in float32, so that global memory is written in whole packs, after the addend and one rounding; sums begin with
// the bias. Packs of 16 bytes ask for channel counts that are multiples of 8 (bf16) or 4 (TF32); the kernel `any` fills its
// tiles in pairs or single elements, with each tap's channels rounded up to whole packs by zeros.
//
// The forward pass also leaves BatchNorm's partial statistics of y, one for each tile of rows, if it gets a place for them:
// the values pass through a thread's registers in the columns that it writes, so a few registers more do.
// Or it does what a `Finish` says.
#include "conv_tensor.cuh"
#include "finish.cuh"
#include "statistics.cuh"

// Pixels of the target that see the same taps: row + i * target_step[0], column + j * target_step[1] of every image,
// i < rows, j < columns.
struct Class {
    u32 rows, columns, row, column;
    u32 first, count;  // taps
};

struct Convolution {
    u32 images;
    u32 source_rows, source_columns, source_channels;
    u32 target_rows, target_columns, target_channels;
    u32 source_step[2], target_step[2];
};

// What is left of `extent` from `start` on.
DEVICE u32 rest(u32 extent, u32 start) { return start < extent ? extent - start : 0; }

template <typename T, u32 BM, u32 BN, bool DGRAD, bool PACKED>
DEVICE void convolve(const T* source, const T* weight, const float* bias, const T* addend, T* target,
                     float* statistics, const Finish<T>& finish, const Class* classes, const Tap* taps, const Convolution& shape) {
    constexpr u32 L = LANES<T>, WM = Tiling<BM, BN>::WM, WN = Tiling<BM, BN>::WN;
    constexpr u32 ROWS = BM / 32;             // rows of the left tile that one thread fills
    constexpr u32 COLUMN_PACKS = BN / L;      // packs in a row of the right tile, where it lies across
    constexpr u32 STAGE = (BM + BN) * ROW_PACKS;
    constexpr u32 STAGED = BN + 8;            // floats in a row of results: the shift keeps their banks apart
    constexpr u32 BYTES = STAGES * STAGE * 16 > BM * STAGED * 4 ? STAGES * STAGE * 16 : BM * STAGED * 4;
    __shared__ alignas(128) u8 memory[BYTES];
    __shared__ u32 pixels[BM];  // of the target
    Pack<T>* stages = reinterpret_cast<Pack<T>*>(memory);

    const u32 thread = threadIdx.x, lane = thread % WARP, warp = thread / WARP;
    const u32 source_channels = shape.source_channels, target_channels = shape.target_channels;
    const bool even = (source_channels | target_channels) % 2 == 0;
    const Class own = classes[blockIdx.y];
    const u32 area = own.rows * own.columns, count = shape.images * area;
    const u32 tiles = (target_channels + BN - 1) / BN;
    const u32 first_row = blockIdx.x / tiles * BM, first_column = blockIdx.x % tiles * BN;
    if (first_row >= count) return;  // This class has fewer pixels than the largest.

    // This thread fills pack `pack` of the rows thread / 4 + 32 i, whose taps start from these pixels of the source.
    const u32 pack = thread % ROW_PACKS;
    u32 start_row[ROWS], start_column[ROWS], start_pixel[ROWS];
#pragma unroll
    for (u32 i = 0; i < ROWS; i++) {
        u32 row = thread / ROW_PACKS + 32 * i, pixel = first_row + row;
        u32 image = pixel / area, y = pixel % area / own.columns, x = pixel % own.columns;
        bool inside = pixel < count;
        // Far outside, and so for every tap.
        start_row[i] = inside ? y * shape.source_step[0] : 0x80000000u;
        start_column[i] = x * shape.source_step[1];
        start_pixel[i] = (image * shape.source_rows + start_row[i]) * shape.source_columns + start_column[i];
        if (pack == 0) {
            if constexpr (DGRAD) {
                u32 target_row = image * shape.target_rows + own.row + y * shape.target_step[0];
                u32 target_column = own.column + x * shape.target_step[1];
                pixel = target_row * shape.target_columns + target_column;
            }
            pixels[row] = inside ? pixel : NOWHERE;
        }
    }

    // Where in the reduction this thread's pack is.
    const u32 channels = whole_packs<PACKED, T>(source_channels), depth = own.count * channels;
    const u32 steps = (depth + DEPTH<T> - 1) / DEPTH<T>;
    u32 channel = pack * L, number = 0;
    Tap tap = {0, 0, 0, 0};
    auto find_tap = [&]() {
        while (channel >= channels) {
            channel -= channels;
            number++;
        }
        if (number < own.count) tap = taps[own.first + number];
    };
    find_tap();

    auto fill_stage = [&](u32 step) {
        Pack<T>* left = stages + step % STAGES * STAGE;
        Pack<T>* right = left + BM * ROW_PACKS;
        const bool some = number < own.count;
        const u32 lanes = some ? in_pack<PACKED, T>(source_channels - channel) : 0;
#pragma unroll
        for (u32 i = 0; i < ROWS; i++) {
            bool inside = start_row[i] + tap.row < shape.source_rows && start_column[i] + tap.column < shape.source_columns;
            u32 offset = (start_pixel[i] + tap.offset) * source_channels + channel;
            Pack<T>* to = left + place_along(thread / ROW_PACKS + 32 * i, pack);
            fill<PACKED>(to, source, offset, inside ? lanes : 0, even);
        }
        if constexpr (DGRAD) {
            // w[tap][column][channel]
#pragma unroll
            for (u32 i = 0; i < (BN + 31) / 32; i++) {
                u32 row = thread / ROW_PACKS + 32 * i, column = first_column + row;
                if (BN % 32 == 0 || row < BN) {
                    u32 offset = (tap.weight * target_channels + column) * source_channels + channel;
                    u32 wanted = column < target_channels ? lanes : 0;
                    fill<PACKED>(right + place_along(row, pack), weight, offset, wanted, even);
                }
            }
        } else {
            // w[tap, channel][column]
            constexpr u32 PASS = THREADS / COLUMN_PACKS;
            u32 column = first_column + thread % COLUMN_PACKS * L;
#pragma unroll
            for (u32 i = 0; i < (DEPTH<T> + PASS - 1) / PASS; i++) {
                u32 row = thread / COLUMN_PACKS + PASS * i, at = step * DEPTH<T> + row;
                if (DEPTH<T> % PASS == 0 || row < DEPTH<T>) {
                    bool inside = at < depth && column < target_channels;
                    if constexpr (!PACKED) {
                        inside = inside && at % channels < source_channels;
                        at = at / channels * source_channels + at % channels;
                    }
                    u32 wanted = inside ? in_pack<PACKED, T>(target_channels - column) : 0;
                    Pack<T>* to = right + place_across<T, COLUMN_PACKS>(row, thread % COLUMN_PACKS);
                    fill<PACKED>(to, weight, at * target_channels + column, wanted, even);
                }
            }
        }
        channel += DEPTH<T>;
        find_tap();
    };

    const u32 warp_row = warp / Tiling<BM, BN>::ACROSS * WM, warp_column = warp % Tiling<BM, BN>::ACROSS * WN;
    float sums[WM / 16][WN / 8][4] = {};
    if (!DGRAD && bias) {
#pragma unroll
        for (u32 j = 0; j < WN / 8; j++) {
#pragma unroll
            for (u32 at = 0; at < 2; at++) {
                u32 column = first_column + warp_column + 8 * j + lane % 4 * 2 + at;
                float start = column < target_channels ? bias[column] : 0.0f;
#pragma unroll
                for (u32 i = 0; i < WM / 16; i++) sums[i][j][at] = sums[i][j][at + 2] = start;
            }
        }
    }
    // Stages are filled AHEAD of the one that is multiplied.
    constexpr u32 AHEAD = STAGES - 1;
    for (u32 turn = 0; turn < steps + AHEAD; turn++) {
        // The stage of turn - AHEAD has arrived, for all threads, and nobody reads the one that is filled next.
        if (turn >= AHEAD) {
            copy_async_wait<AHEAD - 1>();
            sync_block();
        }
        if (turn < steps) fill_stage(turn);
        copy_async_commit();
        if (turn < AHEAD) continue;
        const Pack<T>* left = stages + (turn - AHEAD) % STAGES * STAGE;
        const Pack<T>* right = left + BM * ROW_PACKS;
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            u32 a[WM / 16][4], b[WN / 16][4];
#pragma unroll
            for (u32 i = 0; i < WM / 16; i++) left_along(a[i], left, warp_row + 16 * i, half, lane);
#pragma unroll
            for (u32 j = 0; j < WN / 16; j++) {
                if constexpr (DGRAD) {
                    right_along(b[j], right, warp_column + 16 * j, half, lane);
                } else {
                    right_across<COLUMN_PACKS>(b[j], right, warp_column + 16 * j, half, lane);
                }
            }
            multiply<T>(sums, a, b);
        }
    }

    // All that was filled has been waited for and read.
    sync_block();
    float* staged = reinterpret_cast<float*>(memory);  // [BM][STAGED]
#pragma unroll
    for (u32 i = 0; i < WM / 16; i++) {
#pragma unroll
        for (u32 j = 0; j < WN / 8; j++) {
            u32 row = warp_row + 16 * i + lane / 4, column = warp_column + 8 * j + lane % 4 * 2;
            *reinterpret_cast<float2*>(staged + row * STAGED + column) = make_float2(sums[i][j][0], sums[i][j][1]);
            *reinterpret_cast<float2*>(staged + (row + 8) * STAGED + column) = make_float2(sums[i][j][2], sums[i][j][3]);
        }
    }
    sync_block();
    constexpr u32 WIDTH = PACKED ? L : 1;  // elements that a thread writes at once
    constexpr u32 ACROSS = BN / WIDTH, LINES = THREADS / ACROSS;
    const u32 at = thread % ACROSS * WIDTH, line = thread / ACROSS, column = first_column + at;
    // A layer that is trained has statistics, a frozen one is finished.
    const bool counted = !DGRAD && statistics && !finish.given();
    // A number near the mean of each column: that of the first rows. Where these are the t-th part of the tile, it is at
    // most sqrt(t) standard deviations from the tile's mean, t being 16 or less.
    constexpr u32 NEAR_ROWS = 8;
    __shared__ alignas(16) float near[BN];
    float about[WIDTH] = {}, deviations[WIDTH] = {}, squares[WIDTH] = {};
    if (counted) {
        if (thread < BN) {
            u32 rows = min(count - first_row, NEAR_ROWS);
            float sum = 0.0f;
#pragma unroll
            for (u32 row = 0; row < NEAR_ROWS; row++) {
                if (row < rows) sum += as_stored<T>(staged[row * STAGED + thread]);
            }
            near[thread] = sum / float(rows);
        }
        sync_block();
#pragma unroll
        for (u32 l = 0; l < WIDTH; l++) about[l] = near[at + l];
    }
    FinishTable<WIDTH> table;
    if (!DGRAD && finish.given()) table = finish_table<WIDTH>(finish, column, rest(target_channels, column));
#pragma unroll 4
    for (u32 turn = 0; turn < BM / LINES; turn++) {  // as many turns for every thread
        const u32 row = turn * LINES + line;
        if (pixels[row] != NOWHERE && column < target_channels) {
            u32 offset = pixels[row] * target_channels + column;
            float values[WIDTH];
#pragma unroll
            for (u32 l = 0; l < WIDTH; l++) values[l] = staged[row * STAGED + at + l];
            if constexpr (PACKED) {
                Pack<T> result;
                if (DGRAD && addend) {
                    result = load_pack(addend + offset);
#pragma unroll
                    for (u32 l = 0; l < WIDTH; l++) values[l] += to_float(result.at[l]);
                }
                if (!DGRAD && finish.given()) {
                    result = {};
                    if (finish.residual) result = load_pack(finish.residual + offset);
#pragma unroll
                    for (u32 l = 0; l < WIDTH; l++) {
                        values[l] = finished(table, l, values[l], to_float(result.at[l]), finish.relu);
                    }
                }
#pragma unroll
                for (u32 l = 0; l < WIDTH; l++) result.at[l] = from_float<T>(values[l]);
                store_pack(target + offset, result);
            } else {
                if (DGRAD && addend) values[0] += to_float(addend[offset]);
                if (!DGRAD && finish.given()) {
                    float residual = finish.residual ? to_float(finish.residual[offset]) : 0.0f;
                    values[0] = finished(table, 0, values[0], residual, finish.relu);
                }
                target[offset] = from_float<T>(values[0]);
            }
            if (counted) {
#pragma unroll
                for (u32 l = 0; l < WIDTH; l++) {
                    float deviation = as_stored<T>(values[l]) - about[l];
                    deviations[l] += deviation;
                    squares[l] = fmaf(deviation, deviation, squares[l]);
                }
            }
        }
    }
    if (DGRAD) return;
    sync_warp();  // Lanes without a column meet the others again.
    if (!counted) return;

    sync_block();  // The results have been read: their place takes the sums [2][LINES][BN].
#pragma unroll
    for (u32 l = 0; l < WIDTH; l++) {
        staged[line * BN + at + l] = squares[l];
        staged[(LINES + line) * BN + at + l] = deviations[l];
    }
    sync_block();
    float* partial = partial_of(statistics, target_channels, first_row / BM);
    if (thread == 0 && first_column == 0) {
        write_partial_rows(partial, min(count - first_row, BM));
        if (first_row == 0) write_partial_count(statistics, gridDim.x / tiles);
    }
    if (thread < BN && first_column + thread < target_channels) {
        float square = 0.0f, deviation = 0.0f;
#pragma unroll 4
        for (u32 other = 0; other < LINES; other++) {
            square += staged[other * BN + thread];
            deviation += staged[(LINES + other) * BN + thread];
        }
        write_partial(partial, target_channels, first_column + thread, near[thread], square, deviation);
    }
}

#define CONVOLUTIONS(SUFFIX, T, BM, BN, PACKED)                                                                        \
    KERNEL(conv_tensor_fprop_##SUFFIX, THREADS)                                                                        \
    (const T* x, const T* weight, const float* bias, T* y, float* statistics, FINISH_PARAMETERS(T),                    \
     const Class* classes, const Tap* taps, Convolution shape) {                                                       \
        convolve<T, BM, BN, false, PACKED>(x, weight, bias, nullptr, y, statistics, FINISH(T), classes, taps, shape);  \
    }                                                                                                                  \
    KERNEL(conv_tensor_dgrad_##SUFFIX, THREADS)                                                                        \
    (const T* dy, const T* weight, const T* addend, T* dx, const Class* classes, const Tap* taps,                      \
     Convolution shape) {                                                                                              \
        convolve<T, BM, BN, true, PACKED>(dy, weight, nullptr, addend, dx, nullptr, NO_FINISH(T), classes, taps, shape);\
    }

CONVOLUTIONS(128x64_bf16, bf16, 128, 64, true)
CONVOLUTIONS(64x64_bf16, bf16, 64, 64, true)
CONVOLUTIONS(128x32_bf16, bf16, 128, 32, true)
CONVOLUTIONS(128x16_bf16, bf16, 128, 16, true)
CONVOLUTIONS(any_bf16, bf16, 64, 64, false)

// TF32: float32 in memory.
CONVOLUTIONS(128x64_tf32, float, 128, 64, true)
CONVOLUTIONS(64x64_tf32, float, 64, 64, true)
CONVOLUTIONS(128x32_tf32, float, 128, 32, true)
