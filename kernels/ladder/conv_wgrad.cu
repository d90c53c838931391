// The ladder of the convolution's weight gradient: 3x3, stride 1, padding 1, bf16, up to the kernels that ship,
// `conv_tensor_wgrad_*` in conv_tensor_wgrad.cu with `conv_sum_f32`.
//
//   dw[3, 3, C, K] = sum over pixels of x[N, H, W, C], shifted by the tap, times dy[N, H, W, K]; dw in float32
#include "prims.cuh"

struct Shape {
    u32 images, height, width, channels, outputs;
};

// One weight's sum over the pixels [first, end) of dy.
DEVICE float correlate(const bf16* x, const bf16* dy, const Shape& shape, u32 weight, u32 first, u32 end) {
    u32 k = weight % shape.outputs, c = weight / shape.outputs % shape.channels;
    u32 tap = weight / shape.outputs / shape.channels;
    float sum = 0.0f;
    for (u32 pixel = first; pixel < end; pixel++) {
        u32 row = pixel / shape.width;
        u32 above = row % shape.height + tap / 3 - 1, left = pixel % shape.width + tap % 3 - 1;
        if (above >= shape.height || left >= shape.width) continue;
        u32 from = (row / shape.height * shape.height + above) * shape.width + left;
        sum = fmaf(to_float(x[from * shape.channels + c]), to_float(dy[pixel * shape.outputs + k]), sum);
    }
    return sum;
}

DEVICE u32 pixels_of(const Shape& shape) { return shape.images * shape.height * shape.width; }
DEVICE u32 weights_of(const Shape& shape) { return 9 * shape.channels * shape.outputs; }

// ---- 1: a thread for every weight, over all pixels -----------------------------------------------------------------

KERNEL(conv_wgrad_1_plain, 256)(const bf16* x, const bf16* dy, float* dw, Shape shape) {
    u32 weight = blockIdx.x * blockDim.x + threadIdx.x;
    if (weight < weights_of(shape)) dw[weight] = correlate(x, dy, shape, weight, 0, pixels_of(shape));
}

// ---- 2: pixels in chunks, added by a second pass in their order ----------------------------------------------------

KERNEL(conv_wgrad_2_chunks, 256)(const bf16* x, const bf16* dy, float* partials, Shape shape, u32 chunk) {
    u32 weight = blockIdx.x * blockDim.x + threadIdx.x, first = blockIdx.y * chunk;
    if (weight >= weights_of(shape)) return;
    u32 end = min(first + chunk, pixels_of(shape));
    partials[blockIdx.y * weights_of(shape) + weight] = correlate(x, dy, shape, weight, first, end);
}

KERNEL(conv_wgrad_2_sum, 256)(const float* partials, float* dw, Shape shape, u32 chunks) {
    u32 weight = blockIdx.x * blockDim.x + threadIdx.x;
    if (weight >= weights_of(shape)) return;
    float sum = 0.0f;
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += partials[chunk * weights_of(shape) + weight];
    dw[weight] = sum;
}
