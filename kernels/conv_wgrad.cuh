// Weight gradient as one implicit matrix product: rows (kh, kw, c) of x x channels k of dy, summed over output pixels.
//
//   dw[kh, kw, c, k] = sum over n, oh, ow of x[n, oh * stride - padding + kh * dilation, ..., c] * dy[n, oh, ow, k]
//
// The bias is one row more, in which x is 1: d_bias[k] = sum of dy[n, oh, ow, k].
//
// Weights are few and pixels many, so pixels are cut into chunks (by the shape alone), each with a partial gradient of
// its own; conv_sum.cu adds those up in order.
//
// Grid: x: tiles of rows; y: tiles of channels, group by group; z: chunks.
#pragma once
#include "conv.cuh"

// Loads the slices: pixels x four rows of x, and pixels x four channels of dy; both lie innermost in memory.
template <typename T, bool GROUPED, class TILE>
struct Correlate {
    static constexpr u32 A = TILE::fours(TILE::ROWS), B = TILE::fours(TILE::COLUMNS);
    using Rows = Straight<TILE, TILE::ROWS>;
    using Columns = Straight<TILE, TILE::COLUMNS>;
    static_assert(TILE::THREADS % (TILE::ROWS / 4) == 0, "a thread has the same rows in every slice");

    const T *x, *dy;
    const ConvShape& shape;
    u32 depth, width;  // channels of x and dy in a group
    u32 rows;          // those of the weights; behind them is the bias
    u32 group, first_column;
    u32 pixel, end;    // the slice at hand, the end of the chunk
    bool whole_rows, whole_columns;
    // Of the four rows of this thread: the tap's offset, and where its channel lies from the pixel of tap (0, 0).
    int tap_y[4], tap_x[4];
    u32 offset[4];
    Walk walk[A], step;
    Pack<float> a[A], b[B];

    DEVICE Correlate(const ConvShape& shape, const T* x, const T* dy, u32 chunk) : x(x), dy(dy), shape(shape) {
        u32 groups = GROUPED ? shape.groups : 1, tiles = gridDim.y / groups;
        depth = shape.in_channels / groups;
        width = shape.out_channels / groups;
        rows = shape.kernel[0] * shape.kernel[1] * depth;
        whole_rows = depth % 4 == 0;
        whole_columns = width % 4 == 0;
        group = GROUPED ? blockIdx.y / tiles : 0;
        first_column = (GROUPED ? blockIdx.y % tiles : blockIdx.y) * TILE::COLUMNS;
        pixel = blockIdx.z * chunk;
        end = min(pixel + chunk, shape.batch * shape.out_height * shape.out_width);

        u32 row = first_row();
#pragma unroll
        for (u32 lane = 0; lane < 4; lane++) {
            u32 tap = (row + lane) / depth, channel = (row + lane) % depth;
            tap_y[lane] = int(tap / shape.kernel[1] * shape.dilation[0]) - int(shape.padding[0]);
            tap_x[lane] = int(tap % shape.kernel[1] * shape.dilation[1]) - int(shape.padding[1]);
            int pixels = tap_y[lane] * int(shape.width) + tap_x[lane];
            offset[lane] = pixels * int(shape.in_channels) + group * depth + channel;
            // No pixel leads from there back inside.
            if (row + lane >= rows) tap_y[lane] = -0x40000000;
        }
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            walk[index] = Walk(pixel + Rows(index).depth, shape.out_height, shape.out_width);
        }
        step = Walk(TILE::DEPTH, shape.out_height, shape.out_width);
    }

    DEVICE u32 first_row() const { return blockIdx.x * TILE::ROWS + Rows(0).row; }
    DEVICE bool more() const { return pixel < end; }
    DEVICE void next() {
        pixel += TILE::DEPTH;
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            walk[index].advance(step, shape.out_height, shape.out_width);
        }
    }

    DEVICE void load() {
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            const Walk& at = walk[index];
            bool exists = Rows(index).exists && at.index < end;
            int y = at.y * shape.stride[0], column = at.x * shape.stride[1];
            u32 place = ((at.n * shape.height + y) * shape.width + column) * shape.in_channels;
            a[index] = {};
#pragma unroll
            for (u32 lane = 0; lane < 4; lane++) {
                if (whole_rows && lane > 0) break;  // one tap for all four
                bool inside = u32(y + tap_y[lane]) < shape.height && u32(column + tap_x[lane]) < shape.width;
                if (exists && inside) {
                    if (whole_rows) {
                        a[index] = load_four(x + (place + offset[lane]), 4, true);
                    } else {
                        a[index].at[lane] = to_float(x[place + offset[lane]]);
                    }
                }
            }
            u32 bias = rows - first_row();
#pragma unroll
            for (u32 lane = 0; lane < 4; lane++) {
                if (lane == bias && exists) a[index].at[lane] = 1.0f;
            }
        }
#pragma unroll
        for (u32 index = 0; index < B; index++) {
            Columns at(index);
            u32 column = first_column + at.row, from = pixel + at.depth;
            u32 count = at.exists && from < end ? rest(width, column) : 0;
            b[index] = load_four(dy + (from * shape.out_channels + group * width + column), count, whole_columns);
        }
    }

    DEVICE void store(Slice<TILE>& slice) const {
#pragma unroll
        for (u32 index = 0; index < A; index++) {
            Rows at(index);
            if (at.exists) store_pack(&slice.a[at.depth][at.row], a[index]);
        }
#pragma unroll
        for (u32 index = 0; index < B; index++) {
            Columns at(index);
            if (at.exists) store_pack(&slice.b[at.depth][at.row], b[index]);
        }
    }
};

// partials [chunks, length]: the weights, and behind them the bias if `length` has room for it.
template <typename T, bool GROUPED, class TILE>
DEVICE void weight_gradient(const T* x, const T* dy, float* partials, const ConvShape& shape, u32 chunk, u32 length) {
    Correlate<T, GROUPED, TILE> loader(shape, x, dy, chunk);
    float sum[TILE::TALL][TILE::WIDE];
    __shared__ Slice<TILE> slices[2];
    multiply_all<TILE>(loader, sum, slices);

    float* partial = partials + size_t(blockIdx.z) * length;
    u32 rows = length / shape.out_channels;
#pragma unroll
    for (u32 j = 0; j < TILE::WIDE; j += 4) {
        u32 column = loader.first_column + TILE::column(j), count = rest(loader.width, column);
#pragma unroll
        for (u32 i = 0; i < TILE::TALL; i++) {
            u32 row = blockIdx.x * TILE::ROWS + TILE::row(i);
            Pack<float> four;
#pragma unroll
            for (u32 lane = 0; lane < 4; lane++) four.at[lane] = sum[i][j + lane];
            u32 place = row * shape.out_channels + loader.group * loader.width + column;
            if (row < rows) store_four(partial + place, four, count, loader.whole_columns);
        }
    }
}
