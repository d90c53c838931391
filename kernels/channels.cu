// What only moves channels of [rows, C]: columns of one matrix into columns of another (concatenation, splitting, blocks
// of zeros), channel shuffle, and the parameter-free shortcut of residual networks.
//
// Memory bound: every element is read once (an addend too) and written once, the least there is. A thread writes 16
// bytes where all widths and offsets are multiples of that, else two elements or one; neighbours are neighbouring
// channels, so accesses are coalesced.
#include "prims.cuh"

constexpr u32 THREADS = 256;

// ---- columns ---------------------------------------------------------------------------------------------------------

struct Columns {
    u32 count;                   // threads with work
    u32 packs;                   // packs of a row that are moved
    u32 lanes;                   // elements of a pack
    u32 from_stride, from_start;  // columns of the matrix that is read, and the first that is
    u32 to_stride, to_start;
};

// Zeros where `from` is null, plus the addend where there is one; it is like `to` and may be the same.
template <u32 N, typename T>
DEVICE void copy_columns(const T* from, const T* addend, T* to, const Columns& c, u32 index) {
    u32 row = index / c.packs, column = index % c.packs * N, place = row * c.to_stride + c.to_start + column;
    Pack<T, N> pack = {};
    if (from != nullptr) pack = load_pack<N>(from + (row * c.from_stride + c.from_start + column));
    if (addend != nullptr) {
        Pack<T, N> added = load_pack<N>(addend + place);
#pragma unroll
        for (u32 l = 0; l < N; l++) pack.at[l] = from_float<T>(to_float(pack.at[l]) + to_float(added.at[l]));
    }
    store_pack(to + place, pack);
}

// ---- channel shuffle: channel (c % (C / g)) * g + c / (C / g) of y is channel c of x ---------------------------------

struct Shuffle {
    u32 count, packs, lanes;
    u32 channels;  // C
    u32 groups;    // g
};

template <u32 N, typename T>
DEVICE void shuffle(const T* x, T* y, const Shuffle& s, u32 index) {
    u32 row = index / s.packs, start = index % s.packs * N, width = s.channels / s.groups;
    u32 group = start % s.groups, within = start / s.groups;
    const T* from = x + row * s.channels;
    Pack<T, N> pack;
#pragma unroll
    for (u32 l = 0; l < N; l++) {
        pack.at[l] = from[group * width + within];
        if (++group == s.groups) {
            group = 0;
            within++;
        }
    }
    store_pack(y + (row * s.channels + start), pack);
}

// ---- shortcut: y[n, h, w, pad..pad + C] = x[n, stride h, stride w], zero elsewhere -----------------------------------

struct Shortcut {
    u32 count, packs, lanes;
    u32 height, width, channels;              // of x: H, W, C
    u32 out_height, out_width, out_channels;  // of y; out_channels = C + 2 pad
    u32 stride, pad;
};

template <u32 N, typename T>
DEVICE void shortcut(const T* x, T* y, const Shortcut& s, u32 index) {
    u32 pixel = index / s.packs, channel = index % s.packs * N, row = pixel / s.out_width;
    u32 h = row % s.out_height * s.stride, w = pixel % s.out_width * s.stride;
    Pack<T, N> pack = {};
    if (channel >= s.pad && channel < s.pad + s.channels) {
        u32 from = (row / s.out_height * s.height + h) * s.width + w;
        pack = load_pack<N>(x + (from * s.channels + channel - s.pad));
    }
    store_pack(y + (pixel * s.out_channels + channel), pack);
}

template <u32 N, typename T>
DEVICE void shortcut_gradient(const T* upstream, T* dx, const Shortcut& s, u32 index) {
    u32 pixel = index / s.packs, channel = index % s.packs * N, row = pixel / s.width;
    u32 h = row % s.height, w = pixel % s.width;
    Pack<T, N> pack = {};
    if (h % s.stride == 0 && w % s.stride == 0) {
        u32 from = (row / s.height * s.out_height + h / s.stride) * s.out_width + w / s.stride;
        pack = load_pack<N>(upstream + (from * s.out_channels + s.pad + channel));
    }
    store_pack(dx + (pixel * s.channels + channel), pack);
}

// ---- entries: 16 bytes, two elements or one --------------------------------------------------------------------------

// Calls the function of the arguments that suits `lanes`.
#define BY_LANES(T, FUNCTION, SHAPE, ...)                                        \
    u32 index = blockIdx.x * THREADS + threadIdx.x;                              \
    if (index >= SHAPE.count) return;                                            \
    if (SHAPE.lanes == 1) FUNCTION<1>(__VA_ARGS__, SHAPE, index);                \
    else if (SHAPE.lanes == 2) FUNCTION<2>(__VA_ARGS__, SHAPE, index);           \
    else FUNCTION<LANES<T>>(__VA_ARGS__, SHAPE, index);

#define CHANNEL_KERNELS(NAME, T)                                                                          \
    KERNEL(copy_columns_##NAME, THREADS)(const T* from, const T* addend, T* to, Columns c) {              \
        BY_LANES(T, copy_columns, c, from, addend, to)                                                    \
    }                                                                                                     \
    KERNEL(channel_shuffle_##NAME, THREADS)(const T* x, T* y, Shuffle s) { BY_LANES(T, shuffle, s, x, y) } \
    KERNEL(option_a_shortcut_##NAME, THREADS)(const T* x, T* y, Shortcut s) { BY_LANES(T, shortcut, s, x, y) } \
    KERNEL(option_a_shortcut_gradient_##NAME, THREADS)(const T* upstream, T* dx, Shortcut s) {            \
        BY_LANES(T, shortcut_gradient, s, upstream, dx)                                                   \
    }

CHANNEL_KERNELS(f32, float)
CHANNEL_KERNELS(bf16, bf16)
