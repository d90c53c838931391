// The weight gradient of a dense convolution on tensor cores:
//
//   dw[KH, KW, C, K] = sum over pixels of x[N, H, W, C], shifted by the tap, times dy[N, OH, OW, K]; always float32
//   db[K]            = sum over pixels of dy, where there is a bias
//
// A matrix product whose rows are (tap, channel of x), whose columns are the channels of dy, and whose reduction runs
// over the N * OH * OW pixels of dy. Both operands have the reduction outermost in memory and lie across it in shared
// memory. The reduction is long and the result small, so pixels are cut into chunks, by shape alone; a block makes one
// tile of one chunk and writes it to a partial gradient of that chunk; `conv_sum_f32` adds those in their order. Nothing
// is added atomically. A bias is one more row of the matrix: the sum of dy times one, for which `one` points to a pack of
// one and zeros.
//
// Tiles and the kernel `any` are as in conv_tensor.cu.
#include "conv_tensor.cuh"

struct Correlation {
    u32 source_rows, source_columns, source_channels;  // of x
    u32 rows, columns, channels;                       // of dy
    u32 step[2];
    u32 pixels, chunk;     // of dy; of one chunk
    u32 taps, bias;        // filter taps; 1 if there is a bias, else 0
    u32 len;               // elements of a partial gradient
    u32 ahead[3];          // images, rows and columns that DEPTH pixels of dy make
};

template <typename T, u32 BM, u32 BN, bool PACKED>
DEVICE void correlate(const T* x, const T* dy, float* partials, const Tap* taps, const T* one,
                      const Correlation& shape) {
    constexpr u32 L = LANES<T>, WM = Tiling<BM, BN>::WM, WN = Tiling<BM, BN>::WN;
    constexpr u32 LEFT_PACKS = BM / L, RIGHT_PACKS = BN / L;  // in a row of the tiles
    constexpr u32 LEFT_PASS = THREADS / LEFT_PACKS, RIGHT_PASS = THREADS / RIGHT_PACKS;
    constexpr u32 LEFT_ROWS = DEPTH<T> / LEFT_PASS, RIGHT_ROWS = (DEPTH<T> + RIGHT_PASS - 1) / RIGHT_PASS;
    constexpr u32 STAGE = (BM + BN) * ROW_PACKS;
    __shared__ alignas(128) Pack<T> stages[STAGES * STAGE];

    const u32 thread = threadIdx.x, lane = thread % WARP, warp = thread / WARP;
    const u32 source_channels = shape.source_channels, channels = shape.channels;
    const bool even = (source_channels | channels) % 2 == 0;
    const u32 tiles = (channels + BN - 1) / BN;
    const u32 first_row = blockIdx.x / tiles * BM, first_column = blockIdx.x % tiles * BN;
    const u32 first_pixel = blockIdx.y * shape.chunk, end = min(first_pixel + shape.chunk, shape.pixels);
    const u32 steps = (end - first_pixel + DEPTH<T> - 1) / DEPTH<T>;

    // This thread fills one pack of the left tile's rows, thread / LEFT_PACKS and every LEFT_PASS-th after it: always the
    // same tap and channels, of pixels of which each is DEPTH behind the one in the stage before.
    const u32 row_channels = whole_packs<PACKED, T>(source_channels);
    const u32 place = first_row + thread % LEFT_PACKS * L, channel = place % row_channels;
    Tap tap = {0, 0, 0, 0};
    u32 lanes = 0;
    if (place / row_channels < shape.taps) {
        tap = taps[place / row_channels];
        lanes = in_pack<PACKED, T>(source_channels - channel);
    }
    const bool bias = shape.bias && place == shape.taps * row_channels;
    u32 image[LEFT_ROWS], row[LEFT_ROWS], column[LEFT_ROWS];
#pragma unroll
    for (u32 i = 0; i < LEFT_ROWS; i++) {
        u32 pixel = first_pixel + thread / LEFT_PACKS + LEFT_PASS * i, area = shape.rows * shape.columns;
        image[i] = pixel / area;
        row[i] = pixel % area / shape.columns;
        column[i] = pixel % shape.columns;
    }

    auto fill_stage = [&](u32 step) {
        Pack<T>* left = stages + step % STAGES * STAGE;
        Pack<T>* right = left + BM * ROW_PACKS;
        const u32 stage_pixel = first_pixel + step * DEPTH<T>;
#pragma unroll
        for (u32 i = 0; i < LEFT_ROWS; i++) {
            u32 at = thread / LEFT_PACKS + LEFT_PASS * i;
            u32 y = row[i] * shape.step[0] + tap.row, z = column[i] * shape.step[1] + tap.column;
            bool some = stage_pixel + at < end, inside = y < shape.source_rows && z < shape.source_columns;
            u32 offset = ((image[i] * shape.source_rows + y) * shape.source_columns + z) * source_channels + channel;
            u32 wanted = bias ? 2 : inside ? lanes : 0;
            Pack<T>* to = left + place_across<T, LEFT_PACKS>(at, thread % LEFT_PACKS);
            fill<PACKED>(to, bias ? one : x, bias ? 0 : offset, some ? wanted : 0, even);
            // DEPTH pixels on: at most one carry from columns to rows and from rows to images.
            column[i] += shape.ahead[2];
            row[i] += shape.ahead[1];
            image[i] += shape.ahead[0];
            if (column[i] >= shape.columns) {
                column[i] -= shape.columns;
                row[i]++;
            }
            if (row[i] >= shape.rows) {
                row[i] -= shape.rows;
                image[i]++;
            }
        }
        u32 own = first_column + thread % RIGHT_PACKS * L;
#pragma unroll
        for (u32 i = 0; i < RIGHT_ROWS; i++) {
            u32 at = thread / RIGHT_PACKS + RIGHT_PASS * i;
            if (DEPTH<T> % RIGHT_PASS == 0 || at < DEPTH<T>) {
                bool inside = stage_pixel + at < end && own < channels;
                Pack<T>* to = right + place_across<T, RIGHT_PACKS>(at, thread % RIGHT_PACKS);
                fill<PACKED>(to, dy, (stage_pixel + at) * channels + own, inside ? in_pack<PACKED, T>(channels - own) : 0, even);
            }
        }
    };

    const u32 warp_row = warp / Tiling<BM, BN>::ACROSS * WM, warp_column = warp % Tiling<BM, BN>::ACROSS * WN;
    float sums[WM / 16][WN / 8][4] = {};
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
            for (u32 i = 0; i < WM / 16; i++) left_across<LEFT_PACKS>(a[i], left, warp_row + 16 * i, half, lane);
#pragma unroll
            for (u32 j = 0; j < WN / 16; j++) right_across<RIGHT_PACKS>(b[j], right, warp_column + 16 * j, half, lane);
            multiply<T>(sums, a, b);
        }
    }

    // Four lanes write 32 bytes of a row at once: a whole sector.
    float* to = partials + size_t(blockIdx.y) * shape.len;
    const u32 rows = shape.taps * source_channels + shape.bias;
#pragma unroll
    for (u32 i = 0; i < WM / 8; i++) {
        u32 at = first_row + warp_row + 8 * i + lane / 4;
        if constexpr (!PACKED) {
            // Rows that only fill a pack go nowhere.
            at = at % row_channels < source_channels ? at / row_channels * source_channels + at % row_channels : NOWHERE;
        }
        if (at >= rows) continue;
#pragma unroll
        for (u32 j = 0; j < WN / 8; j++) {
            u32 own = first_column + warp_column + 8 * j + lane % 4 * 2;
            float first = sums[i / 2][j][i % 2 * 2], second = sums[i / 2][j][i % 2 * 2 + 1];
            if constexpr (PACKED) {
                if (own < channels) *reinterpret_cast<float2*>(to + at * channels + own) = make_float2(first, second);
            } else {
                if (own < channels) to[at * channels + own] = first;
                if (own + 1 < channels) to[at * channels + own + 1] = second;
            }
        }
    }
}

#define CORRELATION(SUFFIX, T, BM, BN, PACKED)                                            \
    KERNEL(conv_tensor_wgrad_##SUFFIX, THREADS)                                           \
    (const T* x, const T* dy, float* partials, const Tap* taps, const T* one, Correlation shape) { \
        correlate<T, BM, BN, PACKED>(x, dy, partials, taps, one, shape);                  \
    }

CORRELATION(128x64_bf16, bf16, 128, 64, true)
CORRELATION(64x64_bf16, bf16, 64, 64, true)
CORRELATION(128x32_bf16, bf16, 128, 32, true)
CORRELATION(128x16_bf16, bf16, 128, 16, true)
CORRELATION(any_bf16, bf16, 64, 64, false)

// TF32: float32 in memory.
CORRELATION(128x64_tf32, float, 128, 64, true)
CORRELATION(64x64_tf32, float, 64, 64, true)
CORRELATION(128x32_tf32, float, 128, 32, true)
