// Grouped convolution, float32 and bf16 storage, any kernel size, stride, padding and dilation: forward pass, input
// gradient, weight gradient. Group g makes the K / groups channels from g * K / groups on out of the C / groups
// channels from g * C / groups on, as conv_dense.cu does it for all.
//
// x, dx, addend [N, H, W, C], y, dy [N, OH, OW, K], w [KH, KW, C / groups, K] (the type of x), bias [K] (float32).
//
// One matrix product per group with the tiles of conv_gather.cuh and conv_wgrad.cuh; the groups lie side by side along
// the grid's y. The tile is 128 pixels x 16 channels: groups in use (ShuffleNet: 20 to 80 channels of the result) fill
// whole sixteens best. Groups of less than 16 channels leave columns of the tile idle.
//
// Bound: per byte of x and y as a dense layer with the channels of one group: 1x1 with 60 -> 20 channels does 4
// multiply-adds per byte of float32 (memory bound), 8 of bf16.
#include "conv_gather.cuh"
#include "conv_wgrad.cuh"

#define GROUPED(T)                                                                                                     \
    KERNEL(conv_grouped_fprop_##T, 64)                                                                                 \
    (const T* x, const T* w, const float* bias, T* y,                                                                  \
     float* statistics, FINISH_PARAMETERS(T), ConvShape shape) {                                                       \
        gather<T, false, false, true, Tile<128, 16, 8, 8, 4>>(x, w, bias, nullptr, y, statistics, FINISH(T), shape);   \
    }                                                                                                                  \
    KERNEL(conv_grouped_dgrad_##T, 64)                                                                                 \
    (const T* dy, const T* w, const T* addend, T* dx, ConvShape shape) {                                               \
        gather<T, true, false, true, Tile<128, 16, 8, 8, 4>>(dy, w, nullptr, addend, dx, nullptr, NO_FINISH(T),        \
            shape);                                                                                                    \
    }                                                                                                                  \
    KERNEL(conv_grouped_wgrad_##T, 64)                                                                                 \
    (const T* x, const T* dy, float* partials, ConvShape shape, u32 chunk, u32 length) {                               \
        weight_gradient<T, true, Tile<64, 16, 8, 4, 4>>(x, dy, partials, shape, chunk, length);                        \
    }

using f32 = float;
GROUPED(f32)
GROUPED(bf16)
