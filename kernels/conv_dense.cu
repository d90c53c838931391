// Dense convolution in float32, any kernel size, stride, padding and dilation: forward pass and input gradient.
//
//   y[n, oh, ow, k]  = bias[k] + sum over kh, kw, c of x[n, ih, iw, c] * w[kh, kw, c, k]
//   dx[n, ih, iw, c] = addend[n, ih, iw, c] + sum over kh, kw, k of dy[n, oh, ow, k] * w[kh, kw, c, k]
//   with ih = oh * stride - padding + kh * dilation, iw likewise
//
// x, dx, addend [N, H, W, C], y, dy [N, OH, OW, K], w [KH, KW, C, K], bias [K].
//
// Implicit matrix product (conv_gather.cuh) of pixels x channels. Tiles of 128 pixels x 64, 32 or 16 channels of the
// result, by their number; tiles of 32 x 32 where larger ones would leave most of a GPU idle. Nothing but registers
// lies between memory and the tile: no unfolded copy of the input.
//
// Bound: a 3x3 layer of C = K = 64 does 9 * 64 * 64 multiply-adds per pixel and moves 512 bytes: 72 per byte, so the
// FMA units are the limit (from about 7 per byte on). Out of the caches a tile of 128 x 64 fetches 4 * (128 + 64) bytes
// per 8192 multiply-adds, 11 per byte; of 128 x 16, 3.6 per byte, which the second-level cache has to carry.
#include "conv_gather.cuh"

#define DENSE(NAME, ROWS, COLUMNS, DEPTH, TALL, WIDE)                                                                  \
    KERNEL(conv_fprop_##NAME##_f32, (ROWS / TALL * COLUMNS / WIDE))                                                    \
    (const float* x, const float* w, const float* bias, float* y,                                                      \
     float* statistics, FINISH_PARAMETERS(float), ConvShape shape) {                                                   \
        gather<float, false, false, false, Tile<ROWS, COLUMNS, DEPTH, TALL, WIDE>>(x, w, bias, nullptr, y,             \
            statistics, FINISH(float), shape);                                                                         \
    }                                                                                                                  \
    KERNEL(conv_dgrad_##NAME##_f32, (ROWS / TALL * COLUMNS / WIDE))                                                    \
    (const float* dy, const float* w, const float* addend, float* dx, ConvShape shape) {                               \
        gather<float, true, false, false, Tile<ROWS, COLUMNS, DEPTH, TALL, WIDE>>(dy, w, nullptr, addend, dx,          \
            nullptr, NO_FINISH(float), shape);                                                                         \
    }

DENSE(128x64, 128, 64, 8, 8, 8)
DENSE(128x32, 128, 32, 8, 8, 4)
DENSE(128x16, 128, 16, 8, 8, 4)
DENSE(32x32, 32, 32, 16, 4, 4)
