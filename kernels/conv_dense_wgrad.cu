// Weight gradient of dense and 1x1 convolutions and of linear layers in float32, with that of the bias as one more row.
//
// x [N, H, W, C], dy [N, OH, OW, K] -> partials [chunks, KH * KW * C (+ 1), K]; the meaning, and how the pixels are cut
// into chunks, is in conv_wgrad.cuh.
//
// Tiles of rows (kh, kw, c) x channels k: 128 x 64, 64 x 32 or 64 x 16 by the number of channels; slices of 8 pixels.
// Both operands lie in memory as they are multiplied, so nothing is turned on the way.
//
// Bound: as the forward pass the FMA units: 9 * C * K multiply-adds per pixel. The rows of a tile read pixels that
// overlap (taps), out of the first-level cache; a tile of 128 x 64 fetches 4 * (128 + 64) bytes per 8192 multiply-adds.
// Partial gradients add 8 bytes per weight and chunk.
#include "conv_wgrad.cuh"

#define WGRAD(NAME, ROWS, COLUMNS, DEPTH, TALL, WIDE)                                                                  \
    KERNEL(conv_wgrad_##NAME##_f32, (ROWS / TALL * COLUMNS / WIDE))                                                    \
    (const float* x, const float* dy, float* partials, ConvShape shape, u32 chunk, u32 length) {                       \
        weight_gradient<float, false, Tile<ROWS, COLUMNS, DEPTH, TALL, WIDE>>(x, dy, partials, shape, chunk, length);  \
    }

WGRAD(128x64, 128, 64, 8, 8, 8)
WGRAD(64x32, 64, 32, 8, 8, 4)
WGRAD(64x16, 64, 16, 8, 4, 4)
