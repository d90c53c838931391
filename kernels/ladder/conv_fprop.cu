// The ladder of the convolution's forward pass: 3x3, stride 1, padding 1, bf16, from straight loops up to the kernel
// that ships, `conv_tensor_fprop_*` in conv_tensor.cu. docs/ladder.md says what each rung brought; tests/ladder/
// runs them.
//
//   y[N, H, W, K] = x[N, H, W, C] * w[3, 3, C, K], C a multiple of 32, K of 64, any number of pixels
//
// As a matrix product: rows are the pixels, columns the channels of y, and the reduction runs over (tap, channel of x).
#include "prims.cuh"

struct Shape {
    u32 images, height, width, channels, outputs;
};

constexpr u32 TAPS = 9, NOWHERE = FULL;

DEVICE u32 pixels_of(const Shape& shape) { return shape.images * shape.height * shape.width; }

// The pixel of x that `pixel` of y sees at a tap; NOWHERE in the padding and for pixels behind the last.
DEVICE u32 seen(const Shape& shape, u32 pixel, u32 tap) {
    u32 row = pixel / shape.width, y = row % shape.height + tap / 3 - 1, x = pixel % shape.width + tap % 3 - 1;
    bool inside = y < shape.height && x < shape.width && pixel < pixels_of(shape);
    return inside ? (row / shape.height * shape.height + y) * shape.width + x : NOWHERE;
}

// ---- 1: a thread for every output ----------------------------------------------------------------------------------

KERNEL(conv_fprop_1_plain, 256)(const bf16* x, const bf16* w, bf16* y, Shape shape) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x, pixel = index / shape.outputs, k = index % shape.outputs;
    if (pixel >= pixels_of(shape)) return;
    float sum = 0.0f;
    for (u32 tap = 0; tap < TAPS; tap++) {
        u32 from = seen(shape, pixel, tap);
        if (from == NOWHERE) continue;
        for (u32 c = 0; c < shape.channels; c++) {
            float weight = to_float(w[(tap * shape.channels + c) * shape.outputs + k]);
            sum = fmaf(to_float(x[from * shape.channels + c]), weight, sum);
        }
    }
    y[index] = to_bf16(sum);
}

// ---- 2: 16 x 16 outputs share slices of x and w in shared memory ---------------------------------------------------

KERNEL(conv_fprop_2_tiles, 256)(const bf16* x, const bf16* w, bf16* y, Shape shape) {
    constexpr u32 SIDE = 16;
    __shared__ float left[SIDE][SIDE], right[SIDE][SIDE];  // [pixel][reduction], [reduction][channel]
    u32 row = threadIdx.x / SIDE, column = threadIdx.x % SIDE;
    u32 pixel = blockIdx.x * SIDE + row, k = blockIdx.y * SIDE + column;
    float sum = 0.0f;
    for (u32 tap = 0; tap < TAPS; tap++) {
        u32 from = seen(shape, pixel, tap);
        for (u32 c = 0; c < shape.channels; c += SIDE) {
            left[row][column] = from == NOWHERE ? 0.0f : to_float(x[from * shape.channels + c + column]);
            right[row][column] = to_float(w[(tap * shape.channels + c + row) * shape.outputs + k]);
            sync_block();
#pragma unroll
            for (u32 d = 0; d < SIDE; d++) sum = fmaf(left[row][d], right[d][column], sum);
            sync_block();
        }
    }
    if (pixel < pixels_of(shape)) y[pixel * shape.outputs + k] = to_bf16(sum);
}

// ---- 3: a thread holds 4 x 4 outputs of 64 x 64 in registers -------------------------------------------------------

KERNEL(conv_fprop_3_registers, 256)(const bf16* x, const bf16* w, bf16* y, Shape shape) {
    constexpr u32 TILE = 64, DEPTH = 16, PITCH = TILE + 4;                   // the shift halves the conflicts of stores
    __shared__ alignas(16) float left[DEPTH][PITCH], right[DEPTH][TILE];  // [reduction][pixel], [reduction][channel]
    u32 thread = threadIdx.x, row = thread / 16 * 4, column = thread % 16 * 4;
    u32 first = blockIdx.x * TILE, k = blockIdx.y * TILE;
    float sum[4][4] = {};
    for (u32 tap = 0; tap < TAPS; tap++) {
        u32 from = seen(shape, first + thread / 4, tap), depth = thread % 4 * 4;
        for (u32 c = 0; c < shape.channels; c += DEPTH) {
            Pack<bf16, 4> pixel = {}, weight;
            if (from != NOWHERE) pixel = load_pack<4>(x + (from * shape.channels + c + depth));
            weight = load_pack<4>(w + ((tap * shape.channels + c + thread / 16) * shape.outputs + k + column));
            Pack<float> four;
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                left[depth + i][thread / 4] = to_float(pixel.at[i]);
                four.at[i] = to_float(weight.at[i]);
            }
            store_pack(&right[thread / 16][column], four);
            sync_block();
#pragma unroll
            for (u32 d = 0; d < DEPTH; d++) {
                Pack<float> a = load_pack(&left[d][row]), b = load_pack(&right[d][column]);
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
#pragma unroll
                    for (u32 j = 0; j < 4; j++) sum[i][j] = fmaf(a.at[i], b.at[j], sum[i][j]);
                }
            }
            sync_block();
        }
    }
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        u32 pixel = first + row + i;
        Pack<bf16, 4> result;
#pragma unroll
        for (u32 j = 0; j < 4; j++) result.at[j] = to_bf16(sum[i][j]);
        if (pixel < pixels_of(shape)) store_pack(y + (pixel * shape.outputs + k + column), result);
    }
}

// ---- 4 and 5: tensor cores, a slice at a time ----------------------------------------------------------------------

// Four warps make 64 x 64, each 32 x 32; slices of 32 of the reduction. PERMUTED: the packs of a row change places, so
// that the eight rows of a matrix lie in different banks.
template <bool PERMUTED>
DEVICE void matrices(const bf16* x, const bf16* w, bf16* y, const Shape& shape) {
    constexpr u32 TILE = 64, DEPTH = 32, LEFT = DEPTH / 8, RIGHT = TILE / 8;  // packs in a row of the slices
    __shared__ alignas(128) Pack<bf16> left[TILE * LEFT], right[DEPTH * RIGHT];
    auto left_at = [](u32 row, u32 pack) { return row * LEFT + (PERMUTED ? pack ^ (row / 2 % LEFT) : pack); };
    auto right_at = [](u32 row, u32 pack) { return row * RIGHT + (PERMUTED ? pack ^ (row % RIGHT) : pack); };
    u32 thread = threadIdx.x, lane = thread % WARP, warp = thread / WARP;
    u32 warp_row = warp / 2 * 32, warp_column = warp % 2 * 32, first = blockIdx.x * TILE, k = blockIdx.y * TILE;
    float sums[2][4][4] = {};
    for (u32 tap = 0; tap < TAPS; tap++) {
        u32 from[2] = {seen(shape, first + thread / LEFT, tap), seen(shape, first + thread / LEFT + 32, tap)};
        for (u32 c = 0; c < shape.channels; c += DEPTH) {
#pragma unroll
            for (u32 i = 0; i < 2; i++) {
                Pack<bf16> pixel = {};
                if (from[i] != NOWHERE) pixel = load_pack(x + (from[i] * shape.channels + c + thread % LEFT * 8));
                left[left_at(thread / LEFT + 32 * i, thread % LEFT)] = pixel;
                u32 row = thread / RIGHT + 16 * i, at = (tap * shape.channels + c + row) * shape.outputs + k;
                right[right_at(row, thread % RIGHT)] = load_pack(w + (at + thread % RIGHT * 8));
            }
            sync_block();
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                u32 a[2][4], b[2][4];
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    load_matrix_x4(a[i], left + left_at(warp_row + 16 * i + lane % 16, half * 2 + lane / 16));
                    u32 pack = warp_column / 8 + 2 * i + lane / 16;
                    load_matrix_x4_transposed(b[i], right + right_at(half * 16 + lane % 16, pack));
                }
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
#pragma unroll
                    for (u32 j = 0; j < 4; j++) {
                        matrix_multiply_bf16(sums[i][j], a[i], {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]});
                    }
                }
            }
            sync_block();
        }
    }
    // Of the 16 x 8 results of sums[i][j] a lane has rows lane / 4 and lane / 4 + 8, two columns.
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        u32 pixel = first + warp_row + 8 * i + lane / 4;
        if (pixel >= pixels_of(shape)) continue;
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            const float* two = &sums[i / 2][j][i % 2 * 2];
            bf16* to = y + (pixel * shape.outputs + k + warp_column + 8 * j + lane % 4 * 2);
            store_pack(to, Pack<bf16, 2>{{to_bf16(two[0]), to_bf16(two[1])}});
        }
    }
}

KERNEL(conv_fprop_4_matrices, 128)(const bf16* x, const bf16* w, bf16* y, Shape shape) {
    matrices<false>(x, w, y, shape);
}
KERNEL(conv_fprop_5_permuted, 128)(const bf16* x, const bf16* w, bf16* y, Shape shape) {
    matrices<true>(x, w, y, shape);
}
