// 1x1 convolution without padding in float32, and the linear layer (images of one pixel): forward pass with any stride,
// input gradient with stride 1 (strided, conv_dense.cu does it).
//
//   y[p, k]  = bias[k] + sum over c of x[p', c] * w[c, k]
//   dx[p, c] = addend[p, c] + sum over k of dy[p, k] * w[c, k]
//
// x, dx, addend [N, H, W, C], y, dy [N, OH, OW, K], w [C, K], bias [K]; p runs over the pixels of y, p' is the pixel of
// x that it stands on.
//
// A plain matrix product over pixels, tiled as conv_dense.cu: its loader with neither taps nor borders, so that a
// thread's rows have one address each. Tiles of 32 x 32 x 32 serve linear layers, which have few rows and a long depth.
//
// Bound: C * K multiply-adds for 4 * (C + K) bytes of a pixel: C = K / 6 = 24 (MobileNetV2) does 5 per byte, which is
// memory bound; C = K = 256, 32 per byte, is bound by the FMA units.
#include "conv_gather.cuh"

#define POINTWISE(NAME, ROWS, COLUMNS, DEPTH, TALL, WIDE)                                                              \
    KERNEL(conv_pointwise_fprop_##NAME##_f32, (ROWS / TALL * COLUMNS / WIDE))                                          \
    (const float* x, const float* w, const float* bias, float* y,                                                      \
     float* statistics, FINISH_PARAMETERS(float), ConvShape shape) {                                                   \
        gather<float, false, true, false, Tile<ROWS, COLUMNS, DEPTH, TALL, WIDE>>(x, w, bias, nullptr, y,              \
            statistics, FINISH(float), shape);                                                                         \
    }                                                                                                                  \
    KERNEL(conv_pointwise_dgrad_##NAME##_f32, (ROWS / TALL * COLUMNS / WIDE))                                          \
    (const float* dy, const float* w, const float* addend, float* dx, ConvShape shape) {                               \
        gather<float, true, true, false, Tile<ROWS, COLUMNS, DEPTH, TALL, WIDE>>(dy, w, nullptr, addend, dx,           \
            nullptr, NO_FINISH(float), shape);                                                                         \
    }

POINTWISE(128x64, 128, 64, 8, 8, 8)
POINTWISE(128x32, 128, 32, 8, 8, 4)
POINTWISE(128x16, 128, 16, 8, 8, 4)
POINTWISE(32x32, 32, 32, 32, 4, 4)
