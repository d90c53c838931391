// Convolution over few input channels, 1 to 4: the first layer of a network. float32 and bf16 storage, any kernel size,
// stride, padding and dilation: forward pass and weight gradient. (An input gradient is rarely wanted there;
// conv_dense.cu has it.)
//
//   y[n, oh, ow, k] = bias[k] + sum over kh, kw, c of x[n, ih, iw, c] * w[kh, kw, c, k]
//   with ih = oh * stride - padding + kh * dilation, iw likewise
//
// x [N, H, W, C], y, dy [N, OH, OW, K], w [KH, KW, C, K] (the type of x), bias [K] (float32).
//
// Slices of channels, as in conv_gather.cuh, would be mostly empty. Here the depth of the product is the row (kh, kw,
// c) of the weights, 27 for 3x3 over three channels, and slices run across taps. Every thread unfolds one or two
// pixels, element by element; taps are the same for the whole block. Tiles of 128 pixels x 32 or 16 channels. The
// weight gradient takes conv_wgrad.cuh, whose rows are (kh, kw, c) anyway, with tiles of 32 rows x 16 channels.
//
// Bound: 27 -> 16 channels in float32 do 432 multiply-adds for 76 bytes of a pixel, 6 per byte: about where memory and
// FMA units meet; bf16 is bound by the FMA units.
#include "conv_wgrad.cuh"

// Loads the slices: pixels x rows of the weights, one element at a time, and rows x four channels of the weights.
template <typename T, class TILE>
struct Unfold {
    static constexpr u32 A = TILE::ROWS / TILE::THREADS, B = TILE::fours(TILE::COLUMNS);
    static constexpr u32 group = 0;

    const T *x, *weights;
    const ConvShape& shape;
    u32 rows, width, width_pitch, first_column, pixels;
    bool whole_width;
    // This thread's pixels: first pixel of the image, row and column of tap (0, 0).
    u32 image[A];
    int top[A], left[A];
    // The slice at hand: first row, and the tap and channel that it is.
    u32 row, tap_row, tap_column, channel;
    float a[TILE::DEPTH][A];
    Pack<float> b[B];

    DEVICE Unfold(const ConvShape& shape, const T* x, const T* weights)
        : x(x), weights(weights), shape(shape), rows(shape.kernel[0] * shape.kernel[1] * shape.in_channels),
          width(shape.out_channels), width_pitch(width), first_column(blockIdx.y * TILE::COLUMNS),
          pixels(shape.batch * shape.out_height * shape.out_width), whole_width(width % 4 == 0), row(0), tap_row(0),
          tap_column(0), channel(0) {
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            Walk at(blockIdx.x * TILE::ROWS + threadIdx.x + index * TILE::THREADS, shape.out_height, shape.out_width);
            image[index] = at.n * shape.height * shape.width;
            // No tap leads from behind the last pixel back inside.
            top[index] = at.index < pixels ? int(at.y * shape.stride[0]) - int(shape.padding[0]) : -0x40000000;
            left[index] = int(at.x * shape.stride[1]) - int(shape.padding[1]);
        }
    }

    DEVICE bool more() const { return row < rows; }
    DEVICE void next() { row += TILE::DEPTH; }

    // Moves tap and channel to the next slice.
    DEVICE void load() {
#pragma unroll
        for (u32 depth = 0; depth < TILE::DEPTH; depth++) {
#pragma unroll
            for (u32 index = 0; index < A; index++) {
                u32 y = top[index] + int(tap_row * shape.dilation[0]);
                u32 column = left[index] + int(tap_column * shape.dilation[1]);
                bool inside = tap_row < shape.kernel[0] && y < shape.height && column < shape.width;
                u32 place = (image[index] + y * shape.width + column) * shape.in_channels + channel;
                a[depth][index] = inside ? to_float(x[place]) : 0.0f;
            }
            channel += 1;
            if (channel == shape.in_channels) {
                channel = 0;
                tap_column += 1;
            }
            if (tap_column == shape.kernel[1]) {
                tap_column = 0;
                tap_row += 1;
            }
        }
#pragma unroll
        for (u32 index = 0; index < B; index++) {
            Straight<TILE, TILE::COLUMNS> at(index);
            u32 column = first_column + at.row, from = row + at.depth;
            u32 count = at.exists && from < rows ? rest(width, column) : 0;
            b[index] = load_four(weights + (from * width + column), count, whole_width);
        }
    }

    DEVICE void store(Slice<TILE>& slice) const {
#pragma unroll
        for (u32 depth = 0; depth < TILE::DEPTH; depth++) {
#pragma unroll
            for (u32 index = 0; index < A; index++) {
                slice.a[depth][threadIdx.x + index * TILE::THREADS] = a[depth][index];
            }
        }
#pragma unroll
        for (u32 index = 0; index < B; index++) {
            Straight<TILE, TILE::COLUMNS> at(index);
            if (at.exists) store_pack(&slice.b[at.depth][at.row], b[index]);
        }
    }

    DEVICE u32 place(u32 pixel) const { return pixel; }
};

template <typename T, class TILE>
DEVICE void first(const T* x, const T* weights, const float* bias, T* y, float* statistics, const Finish<T>& finish,
                  const ConvShape& shape) {
    __shared__ Slice<TILE> slices[2];
    Unfold<T, TILE> loader(shape, x, weights);
    float sum[TILE::TALL][TILE::WIDE];
    multiply_all<TILE>(loader, sum, slices);
    store_tile<TILE>(loader, sum, bias, static_cast<const T*>(nullptr), finish, y);
    if (statistics) store_statistics<TILE>(loader, sum, slices, statistics);
}

#define FIRST(T)                                                                                                       \
    KERNEL(conv_first_fprop_128x32_##T, 128)                                                                           \
    (const T* x, const T* w, const float* bias, T* y,                                                                  \
     float* statistics, FINISH_PARAMETERS(T), ConvShape shape) {                                                       \
        first<T, Tile<128, 32, 8, 8, 4>>(x, w, bias, y, statistics, FINISH(T), shape);                                 \
    }                                                                                                                  \
    KERNEL(conv_first_fprop_128x16_##T, 64)                                                                            \
    (const T* x, const T* w, const float* bias, T* y,                                                                  \
     float* statistics, FINISH_PARAMETERS(T), ConvShape shape) {                                                       \
        first<T, Tile<128, 16, 8, 8, 4>>(x, w, bias, y, statistics, FINISH(T), shape);                                 \
    }                                                                                                                  \
    KERNEL(conv_first_wgrad_##T, 32)                                                                                   \
    (const T* x, const T* dy, float* partials, ConvShape shape, u32 chunk, u32 length) {                               \
        weight_gradient<T, false, Tile<32, 16, 16, 4, 4>>(x, dy, partials, shape, chunk, length);                      \
    }

using f32 = float;
FIRST(f32)
FIRST(bf16)
