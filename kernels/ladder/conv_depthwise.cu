// The ladder of the depthwise convolution: 3x3, stride 1, padding 1, bf16, up to the kernel that ships,
// `conv_depthwise_3x3_s1_bf16` in conv_depthwise.cu.
//
//   y[n, h, w, c] = sum over taps of x[n, h + i - 1, w + j - 1, c] * weight[i, j, c];  C a multiple of 8
#include "prims.cuh"

struct Shape {
    u32 images, height, width, channels;
};

constexpr u32 TAPS = 9, NOWHERE = FULL;

// The pixel of x that `pixel` of y sees at a tap; NOWHERE in the padding.
DEVICE u32 seen(const Shape& shape, u32 pixel, u32 tap) {
    u32 row = pixel / shape.width, y = row % shape.height + tap / 3 - 1, x = pixel % shape.width + tap % 3 - 1;
    bool inside = y < shape.height && x < shape.width;
    return inside ? (row / shape.height * shape.height + y) * shape.width + x : NOWHERE;
}

// ---- 1: a thread for every output ----------------------------------------------------------------------------------

KERNEL(conv_depthwise_1_plain, 256)(const bf16* x, const bf16* weight, bf16* y, Shape shape) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x, pixel = index / shape.channels, channel = index % shape.channels;
    if (pixel >= shape.images * shape.height * shape.width) return;
    float sum = 0.0f;
    for (u32 tap = 0; tap < TAPS; tap++) {
        u32 from = seen(shape, pixel, tap);
        if (from == NOWHERE) continue;
        float one = to_float(x[from * shape.channels + channel]);
        sum = fmaf(one, to_float(weight[tap * shape.channels + channel]), sum);
    }
    y[index] = to_bf16(sum);
}

// ---- 2: a thread for eight channels of a pixel ---------------------------------------------------------------------

KERNEL(conv_depthwise_2_packs, 256)(const bf16* x, const bf16* weight, bf16* y, Shape shape) {
    u32 index = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<bf16>;
    u32 pixel = index / shape.channels, channel = index % shape.channels;
    if (pixel >= shape.images * shape.height * shape.width) return;
    float sum[LANES<bf16>] = {};
    for (u32 tap = 0; tap < TAPS; tap++) {
        u32 from = seen(shape, pixel, tap);
        if (from == NOWHERE) continue;
        Pack<bf16> pack = load_pack(x + (from * shape.channels + channel));
        Pack<bf16> weights = load_pack(weight + (tap * shape.channels + channel));
#pragma unroll
        for (u32 l = 0; l < LANES<bf16>; l++) sum[l] = fmaf(to_float(pack.at[l]), to_float(weights.at[l]), sum[l]);
    }
    Pack<bf16> result;
#pragma unroll
    for (u32 l = 0; l < LANES<bf16>; l++) result.at[l] = to_bf16(sum[l]);
    store_pack(y + index, result);
}
