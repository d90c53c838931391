// Maps of another size, [N, H, W, C] to [N, H', W', C], and their gradients.
//
//   nearest   y[h', w'] = x[floor(h' H / H'), floor(w' W / W')]
//   bilinear  y[h', w'] = mean of the four pixels around ((h' + 1/2) H / H' - 1/2, (w' + 1/2) W / W' - 1/2), by distance
//
// Positions are fractions of whole numbers: only weights are rounded. Both passes gather, so that a gradient is summed in a
// fixed order: rows of outputs that read the pixel and, within, columns. A thread makes four channels of a pixel (or one);
// neighbours are neighbouring channels. Memory bound; what several outputs read comes out of the caches.
#include "prims.cuh"

constexpr u32 THREADS = 256;

// `Resize` of src/ops/resize/cuda.rs. Pairs are rows, columns; extents are below 2^15.
struct Resize {
    u32 count, packs, lanes;
    u32 input[2], output[2];
    u32 channels;
};

// What an output reads: the input `first` times 1 - share and the input `second` times share.
struct Tap {
    u32 first, second;
    float share;
    DEVICE float weight(u32 at) const { return (first == at ? 1.0f - share : 0.0f) + (second == at ? share : 0.0f); }
};

template <bool BILINEAR>
DEVICE Tap tap(u32 at, u32 input, u32 output) {
    if (!BILINEAR) {
        u32 first = at * input / output;
        return {first, first, 0.0f};
    }
    // In units of 1 / (2 output), and not before the first input.
    u32 place = (2 * at + 1) * input, unit = 2 * output;
    place = place > output ? place - output : 0;
    u32 first = place / unit;
    return {first, min(first + 1, input - 1), float(place % unit) / float(unit)};
}

// The outputs that may read input `at`: from, to.
struct Range {
    u32 from, to;
};

template <bool BILINEAR>
DEVICE Range readers(u32 at, u32 input, u32 output) {
    if (!BILINEAR) return {(at * output + input - 1) / input, ((at + 1) * output + input - 1) / input};
    // The first output whose place is input `from` or later: (2 from + 1) output - input, rounded up in units of 2 input.
    auto first = [&](u32 from) {
        u32 place = (2 * from + 1) * output;
        return place > input ? (place + input - 1) / (2 * input) : 0;
    };
    return {at == 0 ? 0 : first(at - 1), at + 1 == input ? output : first(at + 1)};
}

template <bool BILINEAR, u32 N>
DEVICE void resize(const float* x, float* y, const Resize& r, u32 index) {
    u32 pixel = index / r.packs, channel = index % r.packs * N, row = pixel / r.output[1], image = row / r.output[0];
    Tap down = tap<BILINEAR>(row % r.output[0], r.input[0], r.output[0]);
    Tap across = tap<BILINEAR>(pixel % r.output[1], r.input[1], r.output[1]);
    auto at = [&](u32 h, u32 w) {
        u32 from = (image * r.input[0] + h) * r.input[1] + w;
        return load_pack<N>(x + (size_t(from) * r.channels + channel));
    };
    Pack<float, N> result = at(down.first, across.first);
    if (BILINEAR) {
        Pack<float, N> b = at(down.first, across.second);
        Pack<float, N> c = at(down.second, across.first), d = at(down.second, across.second);
        float up = 1.0f - down.share, back = 1.0f - across.share;
#pragma unroll
        for (u32 lane = 0; lane < N; lane++) {
            result.at[lane] = up * (back * result.at[lane] + across.share * b.at[lane]) +
                              down.share * (back * c.at[lane] + across.share * d.at[lane]);
        }
    }
    store_pack(y + size_t(index) * N, result);
}

template <bool BILINEAR, u32 N>
DEVICE void resize_gradient(const float* upstream, float* dx, const Resize& r, u32 index) {
    u32 pixel = index / r.packs, channel = index % r.packs * N, line = pixel / r.input[1], image = line / r.input[0];
    u32 row = line % r.input[0], column = pixel % r.input[1];
    Range rows = readers<BILINEAR>(row, r.input[0], r.output[0]);
    Range columns = readers<BILINEAR>(column, r.input[1], r.output[1]);
    Pack<float, N> sum = {};
#pragma unroll 1
    for (u32 h = rows.from; h < rows.to; h++) {
        float down = BILINEAR ? tap<true>(h, r.input[0], r.output[0]).weight(row) : 1.0f;
#pragma unroll 1
        for (u32 w = columns.from; w < columns.to; w++) {
            float weight = BILINEAR ? down * tap<true>(w, r.input[1], r.output[1]).weight(column) : 1.0f;
            u32 from = (image * r.output[0] + h) * r.output[1] + w;
            Pack<float, N> pack = load_pack<N>(upstream + (size_t(from) * r.channels + channel));
#pragma unroll
            for (u32 lane = 0; lane < N; lane++) sum.at[lane] = fmaf(weight, pack.at[lane], sum.at[lane]);
        }
    }
    store_pack(dx + size_t(index) * N, sum);
}

#define RESIZE(NAME, BILINEAR, FUNCTION)                                       \
    KERNEL(NAME##_f32, THREADS)(const float* from, float* to, Resize shape) {  \
        u32 index = blockIdx.x * THREADS + threadIdx.x;                        \
        if (index >= shape.count) return;                                      \
        if (shape.lanes == 1) FUNCTION<BILINEAR, 1>(from, to, shape, index);   \
        else FUNCTION<BILINEAR, 4>(from, to, shape, index);                    \
    }

RESIZE(resize_nearest, false, resize)
RESIZE(resize_bilinear, true, resize)
RESIZE(resize_nearest_gradient, false, resize_gradient)
RESIZE(resize_bilinear_gradient, true, resize_gradient)
