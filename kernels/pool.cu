// Pooling of images [N, H, W, C] to [N, OH, OW, C] over windows, and the gradients.
//
// Memory bound. A thread makes 16 bytes of channels of one output (in the gradients: of one input); where the channels
// are no multiple of that, one channel. Neighbours are neighbouring channels, so accesses are coalesced, and what
// windows share comes from the caches: from memory every tensor is read about once, which is the least there is.
// Loops over windows are not unrolled: their lengths are small and known to nobody but the host.
// Gradients gather over the windows that contain a pixel; nothing is written twice. Averages over large windows (global
// pooling) have few outputs: there the threads of a block share a window and add up their sums in a fixed order.
#include "prims.cuh"

constexpr u32 THREADS = 256;

struct Pooling {
    u32 count;     // threads with work
    u32 packs;     // packs of channels of a pixel
    u32 lanes;     // channels of a pack
    u32 channels;  // C
    u32 height, width, out_height, out_width;
    // Windows of `kernel` inputs, `stride` apart, the first `padding` before the input. kernel 0: as even a partition as
    // can be, window o of n over floor(o I / n)..ceil((o + 1) I / n).
    u32 kernel, stride, padding;
    u32 counts_padding;  // an average is over the whole kernel, missing inputs being zeros
};

struct Range {
    u32 first, end;
};

DEVICE u32 divided_up(u32 a, u32 b) { return (a + b - 1) / b; }
DEVICE u32 smaller(u32 a, u32 b) { return a < b ? a : b; }

// The inputs of window `index`, along one dimension. Maximum pooling slides; only averages have even partitions.
template <bool AVERAGE>
DEVICE Range inputs_of(const Pooling& p, u32 input, u32 output, u32 index) {
    if (AVERAGE && p.kernel == 0) return {index * input / output, divided_up((index + 1) * input, output)};
    u32 start = index * p.stride;
    return {start > p.padding ? start - p.padding : 0, smaller(start + p.kernel - p.padding, input)};
}

// The windows that contain input `index`, along one dimension.
template <bool AVERAGE>
DEVICE Range windows_of(const Pooling& p, u32 input, u32 output, u32 index) {
    if (AVERAGE && p.kernel == 0) return {index * output / input, divided_up((index + 1) * output, input)};
    u32 end = index + p.padding + 1;
    u32 first = end > p.kernel ? divided_up(end - p.kernel, p.stride) : 0;
    return {first, smaller((end - 1) / p.stride + 1, output)};
}

// 1 / (inputs of window (h, w)).
DEVICE float share_of(const Pooling& p, u32 h, u32 w) {
    if (p.counts_padding != 0) return 1.0f / float(p.kernel * p.kernel);
    Range rows = inputs_of<true>(p, p.height, p.out_height, h), columns = inputs_of<true>(p, p.width, p.out_width, w);
    return 1.0f / float((rows.end - rows.first) * (columns.end - columns.first));
}

// Image, row, column and first channel of the pack that a thread makes, in images of `height` rows and `width` columns.
struct Place {
    u32 image, h, w, channel;
};

template <u32 N>
DEVICE Place place_of(const Pooling& p, u32 index, u32 height, u32 width) {
    u32 pixel = index / p.packs, row = pixel / width;
    return {row / height, row % height, pixel % width, index % p.packs * N};
}

// The same in another order, for gradients: by tiles of TILE x TILE pixels where those divide the image, so that a block has
// rows and columns that share windows, and reads less that its neighbours read, too.
constexpr u32 TILE = 8;

template <u32 N>
DEVICE Place tiled_place_of(const Pooling& p, u32 index) {
    Place at = place_of<N>(p, index, p.height, p.width);
    if (p.height % TILE == 0 && p.width % TILE == 0) {
        u32 place = at.h * p.width + at.w, tile = place / (TILE * TILE), tiles = p.width / TILE;
        at.h = tile / tiles * TILE + place / TILE % TILE;
        at.w = tile % tiles * TILE + place % TILE;
    }
    return at;
}

DEVICE u32 input_at(const Pooling& p, u32 image, u32 h, u32 w, u32 channel) {
    return ((image * p.height + h) * p.width + w) * p.channels + channel;
}

DEVICE u32 output_at(const Pooling& p, u32 image, u32 h, u32 w, u32 channel) {
    return ((image * p.out_height + h) * p.out_width + w) * p.channels + channel;
}

// ---- maximum ---------------------------------------------------------------------------------------------------------

template <u32 N, typename T>
DEVICE void max_pool(const T* x, T* y, const Pooling& p, u32 index) {
    Place at = place_of<N>(p, index, p.out_height, p.out_width);
    Range rows = inputs_of<false>(p, p.height, p.out_height, at.h);
    Range columns = inputs_of<false>(p, p.width, p.out_width, at.w);
    float largest[N];
#pragma unroll
    for (u32 l = 0; l < N; l++) largest[l] = -__uint_as_float(0x7f800000u);
#pragma unroll 1
    for (u32 h = rows.first; h < rows.end; h++) {
#pragma unroll 1
        for (u32 w = columns.first; w < columns.end; w++) {
            Pack<T, N> pack = load_pack<N>(x + input_at(p, at.image, h, w, at.channel));
#pragma unroll
            for (u32 l = 0; l < N; l++) largest[l] = fmaxf(largest[l], to_float(pack.at[l]));
        }
    }
    Pack<T, N> result;
#pragma unroll
    for (u32 l = 0; l < N; l++) result.at[l] = from_float<T>(largest[l]);
    store_pack(y + output_at(p, at.image, at.h, at.w, at.channel), result);
}

// The gradient of a window goes to its first maximum in row-major order: a pixel that reaches the maximum while no pixel
// before it in the window does.
template <u32 N, typename T>
DEVICE void max_pool_gradient(const T* upstream, const T* x, const T* y, T* dx, const Pooling& p, u32 index) {
    Place at = tiled_place_of<N>(p, index);
    Range down = windows_of<false>(p, p.height, p.out_height, at.h);
    Range across = windows_of<false>(p, p.width, p.out_width, at.w);
    Pack<T, N> pixel = load_pack<N>(x + input_at(p, at.image, at.h, at.w, at.channel));
    float sum[N] = {};
#pragma unroll 1
    for (u32 window_h = down.first; window_h < down.end; window_h++) {
#pragma unroll 1
        for (u32 window_w = across.first; window_w < across.end; window_w++) {
            u32 window = output_at(p, at.image, window_h, window_w, at.channel);
            Pack<T, N> largest = load_pack<N>(y + window);
            u32 takes = 0;  // a bit per channel
#pragma unroll
            for (u32 l = 0; l < N; l++) {
                if (to_float(pixel.at[l]) >= to_float(largest.at[l])) takes |= 1u << l;
            }
            if (takes == 0) continue;
            // The pixels before this one.
            u32 h = inputs_of<false>(p, p.height, p.out_height, window_h).first;
            Range columns = inputs_of<false>(p, p.width, p.out_width, window_w);
#pragma unroll 1
            for (u32 w = columns.first; h != at.h || w != at.w;) {
                Pack<T, N> before = load_pack<N>(x + input_at(p, at.image, h, w, at.channel));
#pragma unroll
                for (u32 l = 0; l < N; l++) {
                    if (to_float(before.at[l]) >= to_float(largest.at[l])) takes &= ~(1u << l);
                }
                if (++w == columns.end) {
                    w = columns.first;
                    h++;
                }
            }
            Pack<T, N> gradient = load_pack<N>(upstream + window);
#pragma unroll
            for (u32 l = 0; l < N; l++) sum[l] += (takes >> l & 1) != 0 ? to_float(gradient.at[l]) : 0.0f;
        }
    }
    Pack<T, N> result;
#pragma unroll
    for (u32 l = 0; l < N; l++) result.at[l] = from_float<T>(sum[l]);
    store_pack(dx + input_at(p, at.image, at.h, at.w, at.channel), result);
}

// ---- average ---------------------------------------------------------------------------------------------------------

template <u32 N, typename T>
DEVICE void avg_pool(const T* x, T* y, const Pooling& p, u32 index) {
    Place at = place_of<N>(p, index, p.out_height, p.out_width);
    Range rows = inputs_of<true>(p, p.height, p.out_height, at.h);
    Range columns = inputs_of<true>(p, p.width, p.out_width, at.w);
    float sum[N] = {};
#pragma unroll 1
    for (u32 h = rows.first; h < rows.end; h++) {
#pragma unroll 1
        for (u32 w = columns.first; w < columns.end; w++) {
            Pack<T, N> pack = load_pack<N>(x + input_at(p, at.image, h, w, at.channel));
#pragma unroll
            for (u32 l = 0; l < N; l++) sum[l] += to_float(pack.at[l]);
        }
    }
    float share = share_of(p, at.h, at.w);
    Pack<T, N> result;
#pragma unroll
    for (u32 l = 0; l < N; l++) result.at[l] = from_float<T>(sum[l] * share);
    store_pack(y + output_at(p, at.image, at.h, at.w, at.channel), result);
}

// A block has one output pixel (x) and `width` of its packs (y); its rows of threads share the window's inputs.
template <u32 N, typename T>
DEVICE void avg_pool_block(const T* x, T* y, float* room, const Pooling& p, u32 width) {
    u32 height = THREADS / width;
    u32 column = threadIdx.x % width, row = threadIdx.x / width, pack = blockIdx.y * width + column;
    u32 window_w = blockIdx.x % p.out_width, window_row = blockIdx.x / p.out_width;
    u32 window_h = window_row % p.out_height, image = window_row / p.out_height;
    float sum[N] = {};
    if (row < height && pack < p.packs) {
        Range rows = inputs_of<true>(p, p.height, p.out_height, window_h);
        Range columns = inputs_of<true>(p, p.width, p.out_width, window_w);
        u32 wide = columns.end - columns.first, inputs = (rows.end - rows.first) * wide;
#pragma unroll 1
        for (u32 input = row; input < inputs; input += height) {
            u32 h = rows.first + input / wide, w = columns.first + input % wide;
            Pack<T, N> values = load_pack<N>(x + input_at(p, image, h, w, pack * N));
#pragma unroll
            for (u32 l = 0; l < N; l++) sum[l] += to_float(values.at[l]);
        }
    }
#pragma unroll
    for (u32 l = 0; l < N; l++) room[threadIdx.x * N + l] = sum[l];
    sync_block();
    u32 channel = blockIdx.y * width * N + threadIdx.x;
    if (threadIdx.x < width * N && channel < p.channels) {
        float total = 0.0f;
#pragma unroll 1
        for (u32 other = 0; other < height; other++) total += room[other * width * N + threadIdx.x];
        total *= share_of(p, window_h, window_w);
        y[output_at(p, image, window_h, window_w, channel)] = from_float<T>(total);
    }
}

// `addend` is null or like dx.
template <u32 N, typename T>
DEVICE void avg_pool_gradient(const T* upstream, const T* addend, T* dx, const Pooling& p, u32 index) {
    Place at = tiled_place_of<N>(p, index);
    Range down = windows_of<true>(p, p.height, p.out_height, at.h);
    Range across = windows_of<true>(p, p.width, p.out_width, at.w);
    u32 place = input_at(p, at.image, at.h, at.w, at.channel);
    Pack<T, N> result = {};
    if (addend != nullptr) result = load_pack<N>(addend + place);
    float sum[N];
#pragma unroll
    for (u32 l = 0; l < N; l++) sum[l] = to_float(result.at[l]);
#pragma unroll 1
    for (u32 h = down.first; h < down.end; h++) {
#pragma unroll 1
        for (u32 w = across.first; w < across.end; w++) {
            Pack<T, N> gradient = load_pack<N>(upstream + output_at(p, at.image, h, w, at.channel));
            float share = share_of(p, h, w);
#pragma unroll
            for (u32 l = 0; l < N; l++) sum[l] = fmaf(to_float(gradient.at[l]), share, sum[l]);
        }
    }
#pragma unroll
    for (u32 l = 0; l < N; l++) result.at[l] = from_float<T>(sum[l]);
    store_pack(dx + place, result);
}

// ---- entries: 16 bytes of channels or one ----------------------------------------------------------------------------

// The maximum's gradient says that a block may have more threads than it has: else ptxas aims at 48 registers and spills.
#define POOLING_KERNELS(NAME, T)                                                                                       \
    KERNEL(max_pool_##NAME, THREADS)(const T* x, T* y, Pooling p) {                                                    \
        u32 index = blockIdx.x * THREADS + threadIdx.x;                                                                \
        if (index >= p.count) return;                                                                                  \
        p.lanes == 1 ? max_pool<1>(x, y, p, index) : max_pool<LANES<T>>(x, y, p, index);                               \
    }                                                                                                                  \
    KERNEL(max_pool_gradient_##NAME, 2 * THREADS)(const T* upstream, const T* x, const T* y, T* dx, Pooling p) {       \
        u32 index = blockIdx.x * THREADS + threadIdx.x;                                                                \
        if (index >= p.count) return;                                                                                  \
        p.lanes == 1 ? max_pool_gradient<1>(upstream, x, y, dx, p, index)                                              \
                     : max_pool_gradient<LANES<T>>(upstream, x, y, dx, p, index);                                      \
    }                                                                                                                  \
    KERNEL(avg_pool_##NAME, THREADS)(const T* x, T* y, Pooling p) {                                                    \
        u32 index = blockIdx.x * THREADS + threadIdx.x;                                                                \
        if (index >= p.count) return;                                                                                  \
        p.lanes == 1 ? avg_pool<1>(x, y, p, index) : avg_pool<LANES<T>>(x, y, p, index);                               \
    }                                                                                                                  \
    KERNEL(avg_pool_block_##NAME, THREADS)(const T* x, T* y, Pooling p, u32 width) {                                   \
        __shared__ float room[THREADS * LANES<T>];                                                                     \
        p.lanes == 1 ? avg_pool_block<1>(x, y, room, p, width) : avg_pool_block<LANES<T>>(x, y, room, p, width);       \
    }                                                                                                                  \
    KERNEL(avg_pool_gradient_##NAME, THREADS)(const T* upstream, const T* addend, T* dx, Pooling p) {                  \
        u32 index = blockIdx.x * THREADS + threadIdx.x;                                                                \
        if (index >= p.count) return;                                                                                  \
        p.lanes == 1 ? avg_pool_gradient<1>(upstream, addend, dx, p, index)                                            \
                     : avg_pool_gradient<LANES<T>>(upstream, addend, dx, p, index);                                    \
    }

POOLING_KERNELS(f32, float)
POOLING_KERNELS(bf16, bf16)
