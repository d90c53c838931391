// Forward pass and input gradient as one implicit matrix product: pixels of the result x channels of the result, summed
// over taps and channels of the source.
//
// Both gather. Forward, result pixel i of an axis reads the source at i * stride + tap * dilation - padding. Backward,
// the result is cut into phases by its remainder to the stride: pixel phase + i * stride reads the source at i + (phase
// + padding - tap * dilation) / stride, for taps where that divides; a block, which is of one phase, passes over the
// others. So the gradient of a strided convolution multiplies no zeros.
//
// Grid: x: tiles of pixels (of the largest phase); y: tiles of channels, group by group; z: phases.
#pragma once
#include "conv.cuh"

// Rows or columns of images.
template <bool DGRAD>
struct Axis {
    int stride, padding, dilation, phase;
    u32 taps;
    u32 source;  // extent of the source
    u32 whole;   // extent of the result
    u32 result;  // extent of the result's phase

    DEVICE Axis(const ConvShape& shape, u32 axis)
        : stride(shape.stride[axis]), padding(shape.padding[axis]), dilation(shape.dilation[axis]), phase(0),
          taps(shape.kernel[axis]) {
        // A stride longer than the image has no more phases than the image has pixels.
        u32 across = min(shape.stride[1], shape.width);
        if (DGRAD) phase = axis == 0 ? blockIdx.z / across : blockIdx.z % across;
        u32 input = axis == 0 ? shape.height : shape.width, output = axis == 0 ? shape.out_height : shape.out_width;
        source = DGRAD ? output : input;
        whole = DGRAD ? input : output;
        result = DGRAD ? (rest(input, phase) + stride - 1) / stride : output;
    }
    // Where pixel `index` of the phase looks, but for the tap.
    DEVICE int origin(u32 index) const { return DGRAD ? int(index) : int(index) * stride; }
    // How far from there tap `index` lies; false if it has no part in this phase.
    DEVICE bool tap(u32 index, int& offset) const {
        int shift = int(index) * dilation - padding;
        offset = DGRAD ? (phase - shift) / stride : shift;
        return !DGRAD || offset * stride == phase - shift;
    }
    // Pixel `index` of the phase within the result.
    DEVICE u32 place(u32 index) const { return DGRAD ? index * stride + phase : index; }
};

// Loads the slices: four by four pixels x channels of the source, and channels x channels of the weights.
// POINTWISE: a 1x1 kernel without padding (backward: without stride), so that the source's pixels are known once.
template <typename T, bool DGRAD, bool POINTWISE, bool GROUPED, class TILE>
struct Gather {
    static constexpr u32 A = TILE::fours(TILE::ROWS), B = TILE::fours(TILE::COLUMNS);
    using Pixels = Turned<TILE, TILE::ROWS>;

    const T *source, *weights;
    Axis<DGRAD> rows, columns;
    u32 depth, depth_pitch;  // channels of the source: of a group, of a pixel
    u32 width, width_pitch;  // channels of the result
    u32 group, first_column;
    u32 pixels;  // of the phase
    bool whole_depth, whole_width;
    // Where the rows of this thread look: an image's first pixel, row and column. POINTWISE: the pixel.
    u32 image[A];
    int y[A], x[A];
    // The slice at hand.
    u32 tap_row, tap_column, channel;
    int offset_y, offset_x;
    Pack<float> a[A], b[B];

    DEVICE Gather(const ConvShape& shape, const T* source, const T* weights)
        : source(source), weights(weights), rows(shape, 0), columns(shape, 1),
          depth_pitch(DGRAD ? shape.out_channels : shape.in_channels),
          width_pitch(DGRAD ? shape.in_channels : shape.out_channels) {
        u32 groups = GROUPED ? shape.groups : 1;
        depth = depth_pitch / groups;
        width = width_pitch / groups;
        whole_depth = depth % 4 == 0;
        whole_width = width % 4 == 0;
        u32 tiles = gridDim.y / groups;
        group = GROUPED ? blockIdx.y / tiles : 0;
        first_column = (GROUPED ? blockIdx.y % tiles : blockIdx.y) * TILE::COLUMNS;
        pixels = shape.batch * rows.result * columns.result;
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            u32 pixel = blockIdx.x * TILE::ROWS + Pixels(index).row;
            image[index] = pixel;
            y[index] = 0;
            x[index] = 0;
            if (!POINTWISE || rows.stride > 1 || columns.stride > 1) {
                u32 line = pixel / columns.result;
                image[index] = line / rows.result * rows.source * columns.source;
                y[index] = rows.origin(line % rows.result);
                x[index] = columns.origin(pixel % columns.result);
                if (POINTWISE) image[index] += y[index] * columns.source + x[index];
            }
            // No tap leads from there back inside.
            if (pixel >= pixels) y[index] = -0x40000000;
        }
        tap_row = 0;
        tap_column = 0;
        channel = 0;
        offset_y = 0;
        offset_x = 0;
        if (!POINTWISE) find_tap();
    }

    // From the tap at hand to the next that has a part in this phase.
    DEVICE void find_tap() {
        while (more()) {
            bool row = rows.tap(tap_row, offset_y), column = columns.tap(tap_column, offset_x);
            if (row && column) break;
            next_tap();
        }
    }
    DEVICE void next_tap() {
        tap_column += 1;
        if (tap_column == columns.taps) {
            tap_column = 0;
            tap_row += 1;
        }
    }
    DEVICE bool more() const { return POINTWISE ? channel < depth : tap_row < rows.taps; }
    DEVICE void next() {
        channel += TILE::DEPTH;
        if (!POINTWISE && channel >= depth) {
            channel = 0;
            next_tap();
            find_tap();
        }
    }

    DEVICE void load() {
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            Pixels at(index);
            u32 from = channel + at.depth, count = at.exists ? rest(depth, from) : 0, pixel = image[index];
            if (POINTWISE) {
                if (y[index] < 0) count = 0;
            } else {
                u32 row = y[index] + offset_y, column = x[index] + offset_x;
                if (row >= rows.source || column >= columns.source) count = 0;
                pixel += row * columns.source + column;
            }
            a[index] = load_four(source + (pixel * depth_pitch + group * depth + from), count, whole_depth);
        }
        u32 tap = POINTWISE ? 0 : tap_row * columns.taps + tap_column;
#pragma unroll
        for (u32 index = 0; index < B; index++) {
            if (DGRAD) {
                // [tap, c, k]: the depth is innermost.
                Turned<TILE, TILE::COLUMNS> at(index);
                u32 column = first_column + at.row, from = channel + at.depth;
                u32 count = at.exists && column < width ? rest(depth, from) : 0;
                u32 place = (tap * width + column) * depth_pitch + group * depth + from;
                b[index] = load_four(weights + place, count, whole_depth);
            } else {
                Straight<TILE, TILE::COLUMNS> at(index);
                u32 column = first_column + at.row, from = channel + at.depth;
                u32 count = at.exists && from < depth ? rest(width, column) : 0;
                u32 place = (tap * depth + from) * width_pitch + group * width + column;
                b[index] = load_four(weights + place, count, whole_width);
            }
        }
    }

    DEVICE void store(Slice<TILE>& slice) const {
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            Pixels at(index);
            if (at.exists) store_turned(slice.a, at.row, at.depth, a[index]);
        }
#pragma unroll
        for (u32 index = 0; index < B; index++) {
            if (DGRAD) {
                Turned<TILE, TILE::COLUMNS> at(index);
                if (at.exists) store_turned(slice.b, at.row, at.depth, b[index]);
            } else {
                Straight<TILE, TILE::COLUMNS> at(index);
                if (at.exists) store_pack(&slice.b[at.depth][at.row], b[index]);
            }
        }
    }

    // Index of the result's pixel that is `pixel` of the phase.
    DEVICE u32 place(u32 pixel) const {
        if (!DGRAD || POINTWISE || (rows.stride == 1 && columns.stride == 1)) return pixel;
        u32 line = pixel / columns.result;
        u32 row = line / rows.result * rows.whole + rows.place(line % rows.result);
        return row * columns.whole + columns.place(pixel % columns.result);
    }
};

// The whole of it: result = product + bias (forward, may be null) + addend (backward, may be null). Forward, BatchNorm's
// partial statistics of the result, one for each tile of pixels, go to `statistics` if that is not null, or `finish` is done
// to the result.
template <typename T, bool DGRAD, bool POINTWISE, bool GROUPED, class TILE>
DEVICE void gather(const T* source, const T* weights, const float* bias, const T* addend, T* result, float* statistics,
                   const Finish<T>& finish, const ConvShape& shape) {
    __shared__ Slice<TILE> slices[2];
    Gather<T, DGRAD, POINTWISE, GROUPED, TILE> loader(shape, source, weights);
    if (blockIdx.x * TILE::ROWS >= loader.pixels) return;  // a smaller phase than the largest
    float sum[TILE::TALL][TILE::WIDE];
    multiply_all<TILE>(loader, sum, slices);
    store_tile<TILE>(loader, sum, bias, addend, finish, result);
    if (!DGRAD && statistics) store_statistics<TILE>(loader, sum, slices, statistics);
}
