// The gradient of BatchNorm (batch_norm.cu) over [rows, C]: with g the upstream gradient where the fused ReLU passed,
//   dbeta = sum g, dgamma = inv_std * (sum g (x - mean) - rest * dbeta),
//   dx = scale * g + slope * (x - mean) + offset [+ addend], and the residual's gradient g,
// where slope = -scale * inv_std * dgamma / rows, offset = -scale * dbeta / rows - slope * rest with the batch's
// statistics (Ioffe, Szegedy: "Batch normalization", 2015, section 3) and both are zero with running ones. The batch's
// mean is mean + rest.
//
// Three kernels: sums of chunks of rows, their combination per channel, the pass that writes dx. Memory bound: x and the
// upstream gradient (and the output, where the ReLU's mask is read from it) are read twice and dx is written once; less
// would take a meeting of all blocks.
#include "columns.cuh"

constexpr u32 THREADS = 256;

// What both passes read. x and output are null where they are not needed. The ReLU's mask is `output > 0` if there is
// an output, else scale * (x - mean) + shift > 0 (as the forward pass computed it) if `relu`, else everything passes.
template <typename T>
struct Inputs {
    const T *x, *upstream, *output;
    const float *gamma, *beta, *mean, *inv_std, *rest;
    u32 relu;
};

// Tables of the block's columns.
struct Tables {
    alignas(16) float mean[BLOCK_COLUMNS];
    alignas(16) float scale[BLOCK_COLUMNS];
    alignas(16) float shift[BLOCK_COLUMNS];
};

template <typename T>
DEVICE void fill_tables(Tables& tables, const Inputs<T>& in, u32 channel, u32 index) {
    float scale = in.gamma[channel] * in.inv_std[channel];
    tables.mean[index] = in.mean[channel];
    tables.scale[index] = scale;
    tables.shift[index] = fmaf(-scale, in.rest[channel], in.beta[channel]);
}

// A tile of each.
template <typename T>
struct Tiles {
    Tile<T, TILE_ROWS<T>> x, upstream, output;
};

template <typename T>
DEVICE Tiles<T> load_tiles(const Inputs<T>& in, const Matrix& m, const Lane& lane, u32 first) {
    Tiles<T> tiles = {{}, load_tile<TILE_ROWS<T>>(in.upstream, m, lane, first), {}};
    if (in.x != nullptr) tiles.x = load_tile<TILE_ROWS<T>>(in.x, m, lane, first);
    if (in.output != nullptr) tiles.output = load_tile<TILE_ROWS<T>>(in.output, m, lane, first);
    return tiles;
}

// Whether the ReLU passed, given x - mean.
template <typename T>
DEVICE bool passed(const Inputs<T>& in, float centred, T output, float scale, float shift) {
    if (in.output != nullptr) return to_float(output) > 0.0f;
    return in.relu == 0 || fmaf(centred, scale, shift) > 0.0f;
}

// ---- per chunk and column sum g (x - mean) and sum g: [chunks, 2, columns] -------------------------------------------

template <typename T>
DEVICE void chunk_sums(const Inputs<T>& in, float* sums, const Matrix& m) {
    __shared__ Tables tables;
    __shared__ alignas(16) float room[2][BLOCK_ROOM<T>];
    Lane lane = lane_of<T>(m);
    auto load = [&](u32 first) { return load_tiles(in, m, lane, first); };
    Tiles<T> tiles = load(lane.first);
    u32 column = blockIdx.y * m.width * LANES<T> + threadIdx.x;
    bool owner = threadIdx.x < m.width * LANES<T> && column < m.columns;
    if (owner) fill_tables(tables, in, column % m.channels, threadIdx.x);
    sync_block();

    float products[LANES<T>] = {}, total[LANES<T>] = {};
    if (lane.active) {
        float mean[LANES<T>], scale[LANES<T>], shift[LANES<T>];
        read_table<T>(mean, tables.mean, lane);
        read_table<T>(scale, tables.scale, lane);
        read_table<T>(shift, tables.shift, lane);
        for_each_tile<TILE_ROWS<T>>(m, lane, tiles, load, [&](const Tiles<T>& tiles, u32) {
#pragma unroll
            for (u32 u = 0; u < TILE_ROWS<T>; u++) {
#pragma unroll
                for (u32 l = 0; l < LANES<T>; l++) {
                    // Where there is nothing, the upstream gradient was read as zero.
                    float centred = to_float(tiles.x.at[u].at[l]) - mean[l];
                    bool passes = passed(in, centred, tiles.output.at[u].at[l], scale[l], shift[l]);
                    float gradient = passes ? to_float(tiles.upstream.at[u].at[l]) : 0.0f;
                    products[l] = fmaf(gradient, centred, products[l]);
                    total[l] += gradient;
                }
            }
        });
    }
    write_room<T>(room[0], m, lane, products);
    write_room<T>(room[1], m, lane, total);
    sync_block();
    if (owner) {
        float* to = sums + (blockIdx.x * 2 * m.columns + column);
        to[0] = sum_room<T>(room[0], m, threadIdx.x);
        to[m.columns] = sum_room<T>(room[1], m, threadIdx.x);
    }
}

KERNEL(batch_norm_gradient_sums_f32, THREADS)(const float* x, const float* upstream, const float* output,
                                              const float* gamma, const float* beta, const float* mean,
                                              const float* inv_std, const float* rest, float* sums, Matrix m,
                                              u32 relu) {
    chunk_sums(Inputs<float>{x, upstream, output, gamma, beta, mean, inv_std, rest, relu}, sums, m);
}
KERNEL(batch_norm_gradient_sums_bf16, THREADS)(const bf16* x, const bf16* upstream, const bf16* output,
                                               const float* gamma, const float* beta, const float* mean,
                                               const float* inv_std, const float* rest, float* sums, Matrix m,
                                               u32 relu) {
    chunk_sums(Inputs<bf16>{x, upstream, output, gamma, beta, mean, inv_std, rest, relu}, sums, m);
}

// ---- gradients of the parameters, [C] --------------------------------------------------------------------------------

KERNEL(batch_norm_gradient_combine, THREADS)(const float* sums, const float* inv_std, const float* rest,
                                             float* dgamma, float* dbeta, Matrix m, u32 chunks) {
    __shared__ float room[2][PARTNERS * CHANNELS];
    u32 channel = blockIdx.x * CHANNELS + threadIdx.x % CHANNELS;
    bool inside = channel < m.channels;
    float product = 0.0f, total = 0.0f;
    if (inside) {
        for_each_chunk<2>(sums, m, chunks, channel, [&](const float (&part)[2], u32, u32) {
            product += part[0];
            total += part[1];
        });
    }
    product = sum_partners(room[0], product);
    total = sum_partners(room[1], total);
    if (inside && threadIdx.x < CHANNELS) {
        dgamma[channel] = fmaf(-rest[channel], total, product) * inv_std[channel];
        dbeta[channel] = total;
    }
}

// ---- gradients of input and residual ---------------------------------------------------------------------------------

// dgamma and dbeta are null with running statistics, addend and residual where there is none. dx may be upstream.
template <typename T>
DEVICE void input_gradient(const Inputs<T>& in, const float* dgamma, const float* dbeta, const T* addend, T* dx,
                           T* residual, const Matrix& m) {
    __shared__ Tables tables;
    __shared__ alignas(16) float slopes[BLOCK_COLUMNS], offsets[BLOCK_COLUMNS];
    Lane lane = lane_of<T>(m);
    auto load = [&](u32 first) { return load_tiles(in, m, lane, first); };
    Tiles<T> tiles = load(lane.first);
    u32 column = blockIdx.y * m.width * LANES<T> + threadIdx.x;
    if (threadIdx.x < m.width * LANES<T> && column < m.columns) {
        u32 channel = column % m.channels;
        fill_tables(tables, in, channel, threadIdx.x);
        float share = -tables.scale[threadIdx.x] / float(m.count / m.channels);
        float slope = 0.0f, offset = 0.0f;
        if (dgamma != nullptr) {
            slope = share * in.inv_std[channel] * dgamma[channel];
            offset = fmaf(-slope, in.rest[channel], share * dbeta[channel]);
        }
        slopes[threadIdx.x] = slope;
        offsets[threadIdx.x] = offset;
    }
    sync_block();
    if (!lane.active) return;

    float mean[LANES<T>], scale[LANES<T>], shift[LANES<T>], slope[LANES<T>], offset[LANES<T>];
    read_table<T>(mean, tables.mean, lane);
    read_table<T>(scale, tables.scale, lane);
    read_table<T>(shift, tables.shift, lane);
    read_table<T>(slope, slopes, lane);
    read_table<T>(offset, offsets, lane);
    for_each_tile<TILE_ROWS<T>>(m, lane, tiles, load, [&](const Tiles<T>& tiles, u32 first) {
#pragma unroll
        for (u32 u = 0; u < TILE_ROWS<T>; u++) {
            u32 row = first + u * m.height, elements = elements_at<T>(m, lane, row);
            u32 at = row * m.columns + lane.column;
            Pack<T> added = {}, sum, gradients;
            if (addend != nullptr) added = load_elements(addend + at, elements);
#pragma unroll
            for (u32 l = 0; l < LANES<T>; l++) {
                float centred = to_float(tiles.x.at[u].at[l]) - mean[l];
                bool passes = passed(in, centred, tiles.output.at[u].at[l], scale[l], shift[l]);
                float gradient = passes ? to_float(tiles.upstream.at[u].at[l]) : 0.0f;
                float total = fmaf(scale[l], gradient, fmaf(slope[l], centred, offset[l]));
                sum.at[l] = from_float<T>(total + to_float(added.at[l]));
                gradients.at[l] = from_float<T>(gradient);
            }
            store_elements(dx + at, sum, elements);
            if (residual != nullptr) store_elements(residual + at, gradients, elements);
        }
    });
}

KERNEL(batch_norm_gradient_f32, THREADS)(const float* x, const float* upstream, const float* output,
                                         const float* gamma, const float* beta, const float* mean,
                                         const float* inv_std, const float* rest, const float* dgamma,
                                         const float* dbeta, const float* addend, float* dx, float* residual,
                                         Matrix m, u32 relu) {
    Inputs<float> in = {x, upstream, output, gamma, beta, mean, inv_std, rest, relu};
    input_gradient(in, dgamma, dbeta, addend, dx, residual, m);
}
KERNEL(batch_norm_gradient_bf16, THREADS)(const bf16* x, const bf16* upstream, const bf16* output,
                                          const float* gamma, const float* beta, const float* mean,
                                          const float* inv_std, const float* rest, const float* dgamma,
                                          const float* dbeta, const bf16* addend, bf16* dx, bf16* residual,
                                          Matrix m, u32 relu) {
    Inputs<bf16> in = {x, upstream, output, gamma, beta, mean, inv_std, rest, relu};
    input_gradient(in, dgamma, dbeta, addend, dx, residual, m);
}
