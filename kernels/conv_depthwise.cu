// Depthwise convolution: every channel has a kernel of its own. float32 and bf16 storage, any kernel size, stride,
// padding and dilation: forward pass, input gradient, weight gradient.
//
//   y[n, oh, ow, c]  = bias[c] + sum over kh, kw of x[n, ih, iw, c] * w[kh, kw, c]
//   dx[n, ih, iw, c] = addend[n, ih, iw, c] + sum over kh, kw of dy[n, oh, ow, c] * w[kh, kw, c]
//   dw[kh, kw, c]    = sum over n, oh, ow of x[n, ih, iw, c] * dy[n, oh, ow, c],   d_bias[c] = sum of dy[n, oh, ow, c]
//   with ih = oh * stride - padding + kh * dilation, iw likewise
//
// x, dx, addend [N, H, W, C], y, dy [N, OH, OW, C], w [KH, KW, 1, C] (the type of x), bias [C] (float32).
//
// There is no matrix product in it: 9 multiply-adds for 8 bytes of float32, so memory is the limit, and it is reached
// as long as the first-level cache keeps up. A thread owns one pack of channels (16 bytes) of one pixel; in the 3x3
// kernels with stride 1 or 2, which take whole packs only, of four pixels side by side, so that 18 or 27 packs are
// fetched for 36 products of packs. The input gradient with stride 1 is the forward pass with the kernel turned around;
// with other strides it goes by phases, as in conv_gather.cuh. Channels that fill no pack are moved one by one.
//
// The 3x3 kernels leave BatchNorm's partial statistics, of at least 32 pixels where rows are whole strips. The kernel for
// any shape does not: its blocks would leave as many numbers as they have results.
#include "conv_gather.cuh"

// A pack of channels of which `count` exist; zeros for the rest. `whole`: all of them, and aligned.
template <typename T>
DEVICE Pack<T> load_channels(const T* from, u32 count, bool whole) {
    if (whole) return load_pack(from);
    Pack<T> pack = {};
#pragma unroll
    for (u32 lane = 0; lane < LANES<T>; lane++) {
        if (lane < count) pack.at[lane] = from[lane];
    }
    return pack;
}

// result = sum + bias + addend; the latter two may be null. `place` is where the channels lie in `result`. `finish` comes
// last, in the place of an addend, with the `table` of these channels. `sum` becomes what is stored.
template <typename T>
DEVICE void store_channels(float (&sum)[LANES<T>], const float* bias, u32 channel, const T* addend,
                           const Finish<T>& finish, const FinishTable<LANES<T>>& table, T* result, u32 place,
                           u32 count, bool whole) {
    Pack<T> pack = {};
    if (finish.given()) addend = finish.residual;
    if (addend) pack = load_channels(addend + place, count, whole);
#pragma unroll
    for (u32 lane = 0; lane < LANES<T>; lane++) {
        float other = to_float(pack.at[lane]), start = finish.given() ? 0.0f : other;
        if (bias && lane < count) start += bias[channel + lane];
        float value = sum[lane] + start;
        if (finish.given()) value = finished(table, lane, value, other, finish.relu);
        pack.at[lane] = from_float<T>(value);
        sum[lane] = to_float(pack.at[lane]);
    }
    if (whole) {
        store_pack(result + place, pack);
        return;
    }
#pragma unroll
    for (u32 lane = 0; lane < LANES<T>; lane++) {
        if (lane < count) result[place + lane] = pack.at[lane];
    }
}

// Forward, 3x3 without dilation, whole packs of channels. A block has `across` packs of channels, innermost, and for each as
// many strips of four columns as there are threads. Grid: x: strips of all rows; y: packs. `turned`: with the kernel
// turned around (padding may be negative then). BatchNorm's partial statistics of y, one for each block in x, go to
// `statistics` if that is not null.
constexpr u32 STRIP_THREADS = 256;

template <typename T, u32 STRIDE>
DEVICE void strip(const T* x, const T* w, const float* bias, const T* addend, T* y, float* statistics,
                  const Finish<T>& finish, const ConvShape& shape, u32 turned, u32 across) {
    constexpr u32 STRIP = 4, SPAN = (STRIP - 1) * STRIDE + 3;
    u32 channels = shape.in_channels, lines = STRIP_THREADS / across;
    u32 strips = (shape.out_width + STRIP - 1) / STRIP, all = shape.batch * shape.out_height * strips;
    u32 pack = threadIdx.x % across, own_line = threadIdx.x / across, first_strip = blockIdx.x * lines;
    u32 first_channel = blockIdx.y * across * LANES<T>, channel = first_channel + pack * LANES<T>;
    u32 column = (first_strip + own_line) % strips * STRIP, line = (first_strip + own_line) / strips;
    u32 row = line % shape.out_height, image = line / shape.out_height;
    bool inside = own_line < lines && image < shape.batch && channel < channels;
    if (!inside && !statistics) return;

    float sum[STRIP][LANES<T>] = {};
    int left = int(column * STRIDE) - int(shape.padding[1]);
#pragma unroll
    for (u32 tap_row = 0; tap_row < 3; tap_row++) {
        u32 from_row = int(row * STRIDE + tap_row) - int(shape.padding[0]);
        if (inside && from_row < shape.height) {
            Pack<T> weights[3], pixels[SPAN];
#pragma unroll
            for (u32 tap = 0; tap < 3; tap++) {
                u32 index = tap_row * 3 + tap;
                weights[tap] = load_pack(w + (turned ? 8 - index : index) * channels + channel);
            }
#pragma unroll
            for (u32 at = 0; at < SPAN; at++) {
                u32 from = left + int(at);
                pixels[at] = {};
                if (from < shape.width) {
                    u32 place = ((image * shape.height + from_row) * shape.width + from) * channels + channel;
                    pixels[at] = load_pack(x + place);
                }
            }
#pragma unroll
            for (u32 out = 0; out < STRIP; out++) {
#pragma unroll
                for (u32 tap = 0; tap < 3; tap++) {
#pragma unroll
                    for (u32 lane = 0; lane < LANES<T>; lane++) {
                        float pixel = to_float(pixels[out * STRIDE + tap].at[lane]);
                        sum[out][lane] = fmaf(pixel, to_float(weights[tap].at[lane]), sum[out][lane]);
                    }
                }
            }
        }
    }
    FinishTable<LANES<T>> table;
    if (finish.given() && inside) table = finish_table<LANES<T>>(finish, channel, LANES<T>);
    auto exists = [&](u32 out) { return inside && column + out < shape.out_width; };
#pragma unroll
    for (u32 out = 0; out < STRIP; out++) {
        if (exists(out)) {
            u32 place = (line * shape.out_width + column + out) * channels + channel;
            store_channels(sum[out], bias, channel, addend, finish, table, y, place, LANES<T>, true);
        }
    }
    if (!statistics) return;

    __shared__ alignas(16) float room[2 * STRIP_THREADS * LANES<T> + WARP * LANES<T>];
    // Pixels in the strips before one.
    auto pixels_before = [&](u32 strip) { return strip / strips * shape.out_width + strip % strips * STRIP; };
    u32 pixels = pixels_before(min(first_strip + lines, all)) - pixels_before(first_strip);
    float* partial = partial_of(statistics, channels, blockIdx.x);
    if (threadIdx.x == 0 && blockIdx.y == 0) {
        write_partial_rows(partial, pixels);
        if (blockIdx.x == 0) write_partial_count(statistics, gridDim.x);
    }
    tile_statistics(
        sum, exists, [&](u32 lane) { return pack * LANES<T> + lane; }, own_line < lines, own_line, lines,
        across * LANES<T>, room, pixels, min(channels - first_channel, across * LANES<T>), first_channel, channels,
        partial);
}

// Any kernel, forward or backward. Grid: x: packs of channels, innermost, and pixels (of the largest phase); z: phases.
template <typename T, bool DGRAD>
DEVICE void pixel(const T* source, const T* w, const float* bias, const T* addend, const Finish<T>& finish, T* result,
                  const ConvShape& shape) {
    Axis<DGRAD> rows(shape, 0), columns(shape, 1);
    u32 channels = shape.in_channels, packs = (channels + LANES<T> - 1) / LANES<T>;
    u32 thread = blockIdx.x * blockDim.x + threadIdx.x;
    u32 channel = thread % packs * LANES<T>;
    Walk at(thread / packs, rows.result, columns.result);
    if (at.n >= shape.batch) return;
    u32 count = channels - channel;
    bool whole = channels % LANES<T> == 0;

    float sum[LANES<T>] = {};
    for (u32 tap_row = 0; tap_row < rows.taps; tap_row++) {
        int offset;
        bool counts = rows.tap(tap_row, offset);
        u32 row = rows.origin(at.y) + offset;
        if (!counts || row >= rows.source) continue;
        for (u32 tap_column = 0; tap_column < columns.taps; tap_column++) {
            counts = columns.tap(tap_column, offset);
            u32 column = columns.origin(at.x) + offset;
            if (!counts || column >= columns.source) continue;
            u32 place = ((at.n * rows.source + row) * columns.source + column) * channels + channel;
            Pack<T> pack = load_channels(source + place, count, whole);
            u32 tap = tap_row * columns.taps + tap_column;
            Pack<T> weights = load_channels(w + tap * channels + channel, count, whole);
#pragma unroll
            for (u32 lane = 0; lane < LANES<T>; lane++) {
                sum[lane] = fmaf(to_float(pack.at[lane]), to_float(weights.at[lane]), sum[lane]);
            }
        }
    }
    u32 place = (at.n * rows.whole + rows.place(at.y)) * columns.whole + columns.place(at.x);
    FinishTable<LANES<T>> table;
    if (finish.given()) table = finish_table<LANES<T>>(finish, channel, count);
    store_channels(sum, bias, channel, addend, finish, table, result, place * channels + channel, count, whole);
}

// The weight gradient of nine taps; the bias counts as the tap behind the last. A block has `across` packs of channels
// and 256 / across threads for each, which go over the pixels of a chunk side by side; at the end their sums are added,
// in the order of a tree. Grid: x: packs, y: nines of taps, z: chunks. partials [chunks, length] as in conv_wgrad.cuh.
template <typename T>
DEVICE void weights_of_chunk(const T* x, const T* dy, float* partials, const ConvShape& shape, u32 chunk, u32 length,
                             u32 across) {
    constexpr u32 TAPS = 9, THREADS = 256;
    u32 channels = shape.in_channels, taps = shape.kernel[0] * shape.kernel[1], first = blockIdx.y * TAPS;
    u32 lanes = THREADS / across, lane_of_pixels = threadIdx.x / across;
    u32 channel = (blockIdx.x * across + threadIdx.x % across) * LANES<T>, count = rest(channels, channel);
    bool whole = channels % LANES<T> == 0;

    int tap_y[TAPS], tap_x[TAPS];
#pragma unroll
    for (u32 tap = 0; tap < TAPS; tap++) {
        tap_y[tap] = int((first + tap) / shape.kernel[1] * shape.dilation[0]) - int(shape.padding[0]);
        tap_x[tap] = int((first + tap) % shape.kernel[1] * shape.dilation[1]) - int(shape.padding[1]);
    }
    float sum[TAPS][LANES<T>] = {};
    u32 begin = blockIdx.z * chunk, end = min(begin + chunk, shape.batch * shape.out_height * shape.out_width);
    Walk at(begin + lane_of_pixels, shape.out_height, shape.out_width);
    Walk step(lanes, shape.out_height, shape.out_width);
    if (count == 0) end = 0;
    for (; at.index < end; at.advance(step, shape.out_height, shape.out_width)) {
        Pack<T> gradient = load_channels(dy + (at.index * channels + channel), count, whole);
#pragma unroll
        for (u32 tap = 0; tap < TAPS; tap++) {
            u32 row = int(at.y * shape.stride[0]) + tap_y[tap], column = int(at.x * shape.stride[1]) + tap_x[tap];
            if (first + tap < taps) {
                if (row < shape.height && column < shape.width) {
                    u32 place = ((at.n * shape.height + row) * shape.width + column) * channels + channel;
                    Pack<T> pixel = load_channels(x + place, count, whole);
#pragma unroll
                    for (u32 lane = 0; lane < LANES<T>; lane++) {
                        sum[tap][lane] = fmaf(to_float(pixel.at[lane]), to_float(gradient.at[lane]), sum[tap][lane]);
                    }
                }
            } else if (first + tap == taps) {
#pragma unroll
                for (u32 lane = 0; lane < LANES<T>; lane++) sum[tap][lane] += to_float(gradient.at[lane]);
            }
        }
    }

    __shared__ Pack<float> sums[LANES<T> / 4][THREADS];
    u32 rows = length / channels;
#pragma unroll
    for (u32 tap = 0; tap < TAPS; tap++) {
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane++) sums[lane / 4][threadIdx.x].at[lane % 4] = sum[tap][lane];
        sync_block();
        for (u32 half = lanes / 2; half > 0; half /= 2) {
            if (lane_of_pixels < half) {
#pragma unroll
                for (u32 lane = 0; lane < LANES<T>; lane++) {
                    float other = sums[lane / 4][threadIdx.x + half * across].at[lane % 4];
                    sums[lane / 4][threadIdx.x].at[lane % 4] += other;
                }
            }
            sync_block();
        }
        if (lane_of_pixels == 0 && first + tap < rows) {
            float* partial = partials + size_t(blockIdx.z) * length + (first + tap) * channels + channel;
#pragma unroll
            for (u32 lane = 0; lane < LANES<T>; lane++) {
                if (lane < count) partial[lane] = sums[lane / 4][threadIdx.x].at[lane % 4];
            }
        }
    }
}

#define DEPTHWISE(T)                                                                                                   \
    KERNEL(conv_depthwise_3x3_s1_##T, STRIP_THREADS)                                                                   \
    (const T* x, const T* w, const float* bias, const T* addend, T* y, float* statistics, FINISH_PARAMETERS(T),        \
     ConvShape shape, u32 turned, u32 across) {                                                                        \
        strip<T, 1>(x, w, bias, addend, y, statistics, FINISH(T), shape, turned, across);                              \
    }                                                                                                                  \
    KERNEL(conv_depthwise_3x3_s2_##T, STRIP_THREADS)                                                                   \
    (const T* x, const T* w, const float* bias, T* y, float* statistics, FINISH_PARAMETERS(T), ConvShape shape,        \
     u32 across) {                                                                                                     \
        strip<T, 2>(x, w, bias, static_cast<const T*>(nullptr), y, statistics, FINISH(T), shape, 0, across);           \
    }                                                                                                                  \
    KERNEL(conv_depthwise_fprop_##T, 128)                                                                              \
    (const T* x, const T* w, const float* bias, T* y, FINISH_PARAMETERS(T), ConvShape shape) {                         \
        pixel<T, false>(x, w, bias, static_cast<const T*>(nullptr), FINISH(T), y, shape);                              \
    }                                                                                                                  \
    KERNEL(conv_depthwise_dgrad_##T, 128)(const T* dy, const T* w, const T* addend, T* dx, ConvShape shape) {          \
        pixel<T, true>(dy, w, nullptr, addend, NO_FINISH(T), dx, shape);                                               \
    }                                                                                                                  \
    KERNEL(conv_depthwise_wgrad_##T, 256)                                                                              \
    (const T* x, const T* dy, float* partials, ConvShape shape, u32 chunk, u32 length, u32 across) {                   \
        weights_of_chunk(x, dy, partials, shape, chunk, length, across);                                               \
    }

using f32 = float;
DEPTHWISE(f32)
DEPTHWISE(bf16)
