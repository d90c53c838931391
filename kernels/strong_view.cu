// A strongly augmented batch: every image is cropped and mirrored as in batch.cu, distorted by a few operations that are
// drawn for it, loses a rectangle, and is normalised. Images [N, H, W, C] u8 with one or three channels, the batch
// [B, H, W, C] float32 or bf16.
//
// A block makes one image, in two buffers of bytes in memory that take turns: an operation may need the whole image (its
// histogram, pixels elsewhere) before it can write the first pixel. Images of a data set are small, so both stay in the L1
// cache. All arithmetic is in whole numbers (but for autocontrast's, see there), with the numbers of `src/ops/strong_view`
// and so with its bytes.
#include "philox.cuh"

constexpr u32 THREADS = 256;
constexpr u32 BYTES = 256;     // values of a byte, one for every thread
constexpr u32 CHANNELS = 3;    // at most
constexpr u32 OPERATIONS = 14;  // of which one is drawn

struct StrongView {
    u32 height, width, channels;
    u32 padding;     // black pixels on every side before the crop
    u32 flip;        // whether half of the images are mirrored
    u32 operations;  // how many are drawn, one after the other
    u32 key, key_high;
};

// In the order of `Kind` in `src/ops/strong_view/distortion.rs`.
enum Kind : u32 {
    AUTO_CONTRAST, BRIGHTNESS, COLOR, CONTRAST, EQUALIZE, IDENTITY, POSTERIZE, ROTATE, SHARPNESS, SHEAR_X, SHEAR_Y,
    SOLARIZE, TRANSLATE_X, TRANSLATE_Y
};

// What a block shares while it distorts.
struct Shared {
    u32 counts[BYTES];         // of one channel's bytes
    double products[BYTES];    // of autocontrast
    u32 sums[THREADS / WARP];  // of warps
    u32 total, low, high, last;
    u8 becomes[CHANNELS][BYTES];
};

// A word mapped to 0..count, evenly.
DEVICE u32 below(u32 word, u32 count) { return u32((u64(word) * count) >> 32); }

DEVICE u32 luminance(const u8* pixel, u32 channels) {
    if (channels == 1) return *pixel;
    // ITU-R 601 in 2^-18ths: of factors below 2^16 the compiler makes `dp2a`, which the simulator does not know.
    return (pixel[0] * 78380u + pixel[1] * 153880u + pixel[2] * 29884u + 0x20000u) >> 18;
}

// What lies between two bytes: `from` at factor 0, `to` at 256.
DEVICE u8 blend(u32 from, u32 to, u32 factor) {
    return u8((int(from * 256) + int(factor) * (int(to) - int(from))) >> 8);
}

// The sum of `own` over all threads up to this one.
DEVICE u32 running_sum(u32 own, Shared& shared) {
    u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, sum = own;
#pragma unroll
    for (u32 distance = 1; distance < WARP; distance *= 2) {
        u32 before = shuffle_from(sum, (lane - distance) % WARP);
        if (lane >= distance) sum += before;
    }
    if (lane == WARP - 1) shared.sums[warp] = sum;
    sync_block();
#pragma unroll 1
    for (u32 other = 0; other < warp; other++) sum += shared.sums[other];
    return sum;
}

// Counts a channel's bytes and finds the lowest and highest and how many there are of the highest. Answers how many are
// below this thread's byte.
DEVICE u32 histogram(const u8* image, u32 channel, u32 pixels, u32 channels, Shared& shared) {
    shared.counts[threadIdx.x] = 0;
    sync_block();
#pragma unroll 1
    for (u32 pixel = threadIdx.x; pixel < pixels; pixel += THREADS) {
        add_shared(&shared.counts[image[pixel * channels + channel]], 1);
    }
    sync_block();
    u32 count = shared.counts[threadIdx.x], under = running_sum(count, shared) - count;
    if (count > 0 && under == 0) shared.low = threadIdx.x;
    if (count > 0 && under + count == pixels) shared.high = threadIdx.x, shared.last = count;
    sync_block();
    return under;
}

// What autocontrast makes of this thread's byte: the lowest becomes 0, the highest 255. Pillow reckons in double precision,
// byte * scale + -low * scale with both products rounded; through shared memory no product is joined with the addition.
DEVICE u32 stretched(Shared& shared) {
    u32 byte = threadIdx.x, low = shared.low, high = shared.high;
    double scale = 255.0 / (high > low ? high - low : 1);
    shared.products[byte] = byte * scale;
    sync_block();
    int value = int(shared.products[byte] - shared.products[low]);
    return high > low ? min(max(value, 0), 255) : byte;
}

// Where an output pixel (column, row) lies in the input, in 65536ths of a pixel.
struct Affine {
    int by_column, by_row, start;           // of the column
    int row_by_column, row_by_row, row_start;
};

DEVICE void moved(const u8* image, u8* to, const Affine& where, const StrongView& of) {
    u32 pixels = of.height * of.width;
#pragma unroll 1
    for (u32 pixel = threadIdx.x; pixel < pixels; pixel += THREADS) {
        int row = pixel / of.width, column = pixel % of.width;
        // Left of the image and above becomes large, and is outside as well.
        u32 x = u32((where.start + where.by_column * column + where.by_row * row) >> 16);
        u32 y = u32((where.row_start + where.row_by_column * column + where.row_by_row * row) >> 16);
        bool inside = x < of.width && y < of.height;
#pragma unroll 1
        for (u32 channel = 0; channel < of.channels; channel++) {
            to[pixel * of.channels + channel] = inside ? image[(y * of.width + x) * of.channels + channel] : 0;
        }
    }
}

// Between the mean of every pixel's neighbourhood, the pixel itself five times, and the image; the border stays.
DEVICE void sharpened(const u8* image, u8* to, u32 factor, const StrongView& of) {
    u32 stride = of.width * of.channels, size = of.height * stride;
#pragma unroll 1
    for (u32 element = threadIdx.x; element < size; element += THREADS) {
        u32 row = element / stride, column = element % stride / of.channels, own = image[element], smooth = own;
        if (row > 0 && row + 1 < of.height && column > 0 && column + 1 < of.width) {
            u32 sum = 4 * own;
            for (u32 y = 0; y < 3; y++) {
                for (u32 x = 0; x < 3; x++) sum += image[element + y * stride - stride + (x - 1) * of.channels];
            }
            smooth = (2 * sum + 13) / 26;
        }
        to[element] = blend(smooth, own, factor);
    }
}

DEVICE void coloured(const u8* image, u8* to, u32 factor, const StrongView& of) {
    u32 size = of.height * of.width * of.channels;
#pragma unroll 1
    for (u32 element = threadIdx.x; element < size; element += THREADS) {
        u32 grey = luminance(image + (element - element % of.channels), of.channels);
        to[element] = blend(grey, image[element], factor);
    }
}

// The mean luminance, rounded.
DEVICE u32 mean_luminance(const u8* image, const StrongView& of, Shared& shared) {
    u32 pixels = of.height * of.width, sum = 0;
#pragma unroll 1
    for (u32 pixel = threadIdx.x; pixel < pixels; pixel += THREADS) {
        sum += luminance(image + pixel * of.channels, of.channels);
    }
    sum = running_sum(sum, shared);
    if (threadIdx.x == THREADS - 1) shared.total = sum;
    sync_block();
    u32 total = shared.total;  // Of images with sides up to 4096 it is below 2^32.
    return total / pixels + (2 * (total % pixels) >= pixels);
}

// Operations in which a byte's new value depends on the byte, its channel and what the whole image holds.
DEVICE void mapped(const u8* image, u8* to, u32 kind, u32 level, u32 factor, const StrongView& of, Shared& shared) {
    u32 pixels = of.height * of.width, byte = threadIdx.x;
    u32 mean = kind == CONTRAST ? mean_luminance(image, of, shared) : 0;
#pragma unroll 1
    for (u32 channel = 0; channel < of.channels; channel++) {
        u32 value = byte;
        if (kind == AUTO_CONTRAST || kind == EQUALIZE) {
            u32 under = histogram(image, channel, pixels, of.channels, shared);
            if (kind == AUTO_CONTRAST) {
                value = stretched(shared);
            } else {
                u32 step = (pixels - shared.last) / 255;
                if (step > 0) value = min(255u, (step / 2 + under) / step);
            }
        } else if (kind == BRIGHTNESS || kind == CONTRAST) {
            value = blend(mean, byte, factor);
        } else if (kind == POSTERIZE) {
            value = byte & (0xf0u | (0xf0u >> (level >> 14)));
        } else if (kind == SOLARIZE) {
            value = byte < 1 + (level >> 8) ? byte : 255 - byte;
        }
        shared.becomes[channel][byte] = u8(value);
    }
    sync_block();
#pragma unroll 1
    for (u32 element = threadIdx.x; element < pixels * of.channels; element += THREADS) {
        to[element] = shared.becomes[element % of.channels][image[element]];
    }
}

DEVICE void distort(const u8* image, u8* to, u32 kind, u32 level, const Affine* rotations, const StrongView& of,
                    Shared& shared) {
    constexpr int ONE = 65536, HALF = 32768;
    u32 factor = 13 + ((level * 231) >> 16);
    int shear = int((level * 39321) >> 16) - 19660;
    u32 side = kind == TRANSLATE_X ? of.width : of.height;
    int shift = int((u64(level) * 39321 * side) >> 16) - int(19660 * side);
    Affine where = {ONE, 0, HALF, 0, ONE, HALF};
    if (kind == ROTATE) where = rotations[level >> 6];
    if (kind == SHEAR_X) where.by_row = shear, where.start = HALF + ((shear + 1) >> 1);
    if (kind == SHEAR_Y) where.row_by_column = shear, where.row_start = HALF + ((shear + 1) >> 1);
    if (kind == TRANSLATE_X) where.start = HALF + shift;
    if (kind == TRANSLATE_Y) where.row_start = HALF + shift;
    if (kind == COLOR) {
        coloured(image, to, factor, of);
    } else if (kind == SHARPNESS) {
        sharpened(image, to, factor, of);
    } else if (kind == ROTATE || kind == SHEAR_X || kind == SHEAR_Y || kind >= TRANSLATE_X) {
        moved(image, to, where, of);
    } else {
        mapped(image, to, kind, level, factor, of, shared);
    }
}

// Rows and columns of the rectangle that is covered, both ends among them; none where `last` is below `first`.
struct Range {
    int first, last;
};

DEVICE Range covered(u32 word, u32 size, u64 side) {
    long long middle = u64(word >> 16) * size, start = middle - (long long)(side / 2);
    int first = start > 0 ? int(start >> 16) : 0;
    return {first, side == 0 ? -1 : min(int(size) - 1, first + int(side >> 16))};
}

template <typename T>
DEVICE void strong_view(const u8* images, const u32* indices, const u32* step, const float* affine,
                        const Affine* rotations, u8* buffers, T* x, const StrongView& of) {
    __shared__ Shared shared;
    u32 position = blockIdx.x, size = of.height * of.width * of.channels;
    const u8* source = images + size_t(indices[position]) * size;
    u8* image = buffers + size_t(position) * 2 * size;
    u8* other = image + size;
    Words crop = philox4x32_10({position, 0, *step, 1}, of.key, of.key_high);
    u32 top = below(crop.at[0], 2 * of.padding + 1) - of.padding;
    u32 left = below(crop.at[1], 2 * of.padding + 1) - of.padding;
    bool mirror = of.flip & crop.at[2];
    u32 stride = of.width * of.channels;
#pragma unroll 1
    for (u32 element = threadIdx.x; element < size; element += THREADS) {
        u32 row = element / stride, column = element % stride / of.channels, channel = element % of.channels;
        if (mirror) column = of.width - 1 - column;
        row += top, column += left;  // Above or left of the image wraps around, and is outside as well.
        bool inside = row < of.height && column < of.width;
        image[element] = inside ? source[row * stride + column * of.channels + channel] : 0;
    }
    sync_block();
#pragma unroll 1
    for (u32 operation = 0; operation < of.operations; operation++) {
        Words draw = philox4x32_10({position, 0, *step, 3 + operation}, of.key, of.key_high);
        distort(image, other, below(draw.at[0], OPERATIONS), draw.at[1] >> 16, rotations, of, shared);
        sync_block();
        u8* before = image;
        image = other, other = before;
    }
    Words cover = philox4x32_10({position, 0, *step, 2}, of.key, of.key_high);
    u64 side = u64(cover.at[0] >> 16) * of.width / 2;  // in 65536ths of a pixel
    Range columns = covered(cover.at[1], of.width, side), rows = covered(cover.at[2], of.height, side);
#pragma unroll 1
    for (u32 element = threadIdx.x; element < size; element += THREADS) {
        int row = element / stride, column = element % stride / of.channels;
        u32 channel = element % of.channels, byte = image[element];
        bool hidden = row >= rows.first && row <= rows.last && column >= columns.first && column <= columns.last;
        if (hidden) byte = of.channels == 1 || channel == 1 ? 123 : channel == 0 ? 125 : 114;
        x[position * size + element] = from_float<T>(fmaf(float(byte), affine[2 * channel], affine[2 * channel + 1]));
    }
}

KERNEL(strong_view_f32, THREADS)
(const u8* images, const u32* indices, const u32* step, const float* affine, const Affine* rotations, u8* buffers,
 float* x, StrongView of) {
    strong_view(images, indices, step, affine, rotations, buffers, x, of);
}
KERNEL(strong_view_bf16, THREADS)
(const u8* images, const u32* indices, const u32* step, const float* affine, const Affine* rotations, u8* buffers,
 bf16* x, StrongView of) {
    strong_view(images, indices, step, affine, rotations, buffers, x, of);
}
