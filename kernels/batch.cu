// A batch from the bytes of a data set: gathered by index, cropped, mirrored, normalised. Images [N, H, W, C] u8, the
// batch [B, H, W, C] float32 or bf16.
//
// Blocks: x is the position in the batch, y a stretch of its image, ELEMENTS elements that neighbouring threads write
// side by side. A byte becomes byte * scale + shift with `affine` [C, 2] = (scale, shift), in one rounding: a table of what
// each byte becomes would be read by every block, half as many bytes again. Crop and mirroring are drawn from the counter
// (step, position) as in `src/ops/batch`, by every thread for itself.
#include "philox.cuh"

constexpr u32 THREADS = 256;
constexpr u32 ELEMENTS = 1024;

struct Augmented {
    u32 height, width, channels;
    u32 padding;  // black pixels on every side before the crop
    u32 flip;     // whether half of the images are mirrored
    u32 key, key_high;
};

// A word mapped to -padding..=padding, evenly.
DEVICE u32 crop_offset(u32 word, u32 padding) { return u32((u64(word) * (2 * padding + 1)) >> 32) - padding; }

template <typename T>
DEVICE void batch(const u8* images, const u32* labels, const u32* indices, const u32* step, const float* affine, T* x,
                  u32* y, const Augmented& of) {
    u32 position = blockIdx.x, index = indices[position];
    u32 size = of.height * of.width * of.channels;
    const u8* image = images + size_t(index) * size;
    Words draw = philox4x32_10({position, 0, *step, 0}, of.key, of.key_high);
    u32 top = crop_offset(draw.at[0], of.padding), left = crop_offset(draw.at[1], of.padding);
    bool mirror = of.flip & draw.at[2];
    u32 end = min(size, (blockIdx.y + 1) * ELEMENTS);
    for (u32 element = blockIdx.y * ELEMENTS + threadIdx.x; element < end; element += THREADS) {
        u32 pixel = element / of.channels, channel = element % of.channels;
        u32 row = pixel / of.width, column = pixel % of.width;
        if (mirror) column = of.width - 1 - column;
        row += top, column += left;  // Above or left of the image wraps around, and is outside as well.
        u32 byte = 0;
        if (row < of.height && column < of.width) byte = image[(row * of.width + column) * of.channels + channel];
        x[position * size + element] = from_float<T>(fmaf(float(byte), affine[2 * channel], affine[2 * channel + 1]));
    }
    if (blockIdx.y == 0 && threadIdx.x == 0) y[position] = labels[index];
}

KERNEL(batch_f32, THREADS)
(const u8* images, const u32* labels, const u32* indices, const u32* step, const float* affine, float* x, u32* y,
 Augmented of) {
    batch(images, labels, indices, step, affine, x, y, of);
}
KERNEL(batch_bf16, THREADS)
(const u8* images, const u32* labels, const u32* indices, const u32* step, const float* affine, bf16* x, u32* y,
 Augmented of) {
    batch(images, labels, indices, step, affine, x, y, of);
}
