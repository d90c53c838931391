// The ladder of BatchNorm's forward pass in training with the residual addition and ReLU that follow it, bf16, up to
// the kernels that ship: statistics out of the convolution before it, `batch_norm_combine` and
// `batch_norm_normalise_bf16`.
//
//   y = max(0, gamma * (x - mean) * inv_std + beta + residual)
//
// x, residual, y [rows, C], C a power of two from 8 to 256.
#include "prims.cuh"

constexpr u32 THREADS = 256;

// ---- 1: an operation at a time -------------------------------------------------------------------------------------

// A warp walks down the column of its channel: each lane reads a sector of its own for two bytes.
KERNEL(batch_norm_1_statistics, THREADS)(const bf16* x, float* mean, float* inv_std, u32 rows, u32 channels,
                                         float epsilon) {
    u32 channel = (blockIdx.x * blockDim.x + threadIdx.x) / WARP, lane = threadIdx.x % WARP;
    if (channel >= channels) return;
    float sum = 0.0f, squares = 0.0f;
    for (u32 row = lane; row < rows; row += WARP) sum += to_float(x[row * channels + channel]);
    float center = warp_sum(sum) / float(rows);
    for (u32 row = lane; row < rows; row += WARP) {
        float deviation = to_float(x[row * channels + channel]) - center;
        squares = fmaf(deviation, deviation, squares);
    }
    squares = warp_sum(squares);
    if (lane > 0) return;
    mean[channel] = center;
    inv_std[channel] = 1.0f / sqrtf(squares / float(rows) + epsilon);
}

KERNEL(batch_norm_1_normalise, THREADS)(const bf16* x, const float* gamma, const float* beta, const float* mean,
                                        const float* inv_std, bf16* y, u32 count, u32 channels) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x, channel = index % channels;
    if (index >= count) return;
    float scale = gamma[channel] * inv_std[channel];
    y[index] = to_bf16(fmaf(to_float(x[index]) - mean[channel], scale, beta[channel]));
}

KERNEL(batch_norm_1_add, THREADS)(const bf16* x, const bf16* residual, bf16* y, u32 count) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count) y[index] = to_bf16(to_float(x[index]) + to_float(residual[index]));
}

KERNEL(batch_norm_1_relu, THREADS)(const bf16* x, bf16* y, u32 count) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index < count) y[index] = to_bf16(fmaxf(to_float(x[index]), 0.0f));
}

// ---- 2: statistics by rows, and one pass for all that follows ------------------------------------------------------

// A block adds up `chunk` rows, all channels, in packs: partials [chunks, 2, C] are the sums of deviations from the
// first row, and of their squares.
KERNEL(batch_norm_2_partials, THREADS)(const bf16* x, float* partials, u32 rows, u32 channels, u32 chunk) {
    __shared__ float room[2][THREADS * LANES<bf16>];
    u32 packs = channels / LANES<bf16>, lines = THREADS / packs;
    u32 channel = threadIdx.x % packs * LANES<bf16>, line = threadIdx.x / packs;
    u32 end = min((blockIdx.x + 1) * chunk, rows);
    Pack<bf16> about = load_pack(x + channel);
    float sum[LANES<bf16>] = {}, squares[LANES<bf16>] = {};
    for (u32 row = blockIdx.x * chunk + line; row < end; row += lines) {
        Pack<bf16> pack = load_pack(x + (row * channels + channel));
#pragma unroll
        for (u32 l = 0; l < LANES<bf16>; l++) {
            float deviation = to_float(pack.at[l]) - to_float(about.at[l]);
            sum[l] += deviation;
            squares[l] = fmaf(deviation, deviation, squares[l]);
        }
    }
#pragma unroll
    for (u32 l = 0; l < LANES<bf16>; l++) {
        room[0][line * channels + channel + l] = sum[l];
        room[1][line * channels + channel + l] = squares[l];
    }
    sync_block();
    for (u32 part = threadIdx.x; part < 2 * channels; part += THREADS) {
        float total = 0.0f;
        for (u32 other = 0; other < lines; other++) total += room[part / channels][other * channels + part % channels];
        partials[blockIdx.x * 2 * channels + part] = total;
    }
}

KERNEL(batch_norm_2_combine, THREADS)(const bf16* x, const float* partials, float* mean, float* inv_std, u32 rows,
                                      u32 channels, u32 chunks, float epsilon) {
    u32 channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= channels) return;
    float sum = 0.0f, squares = 0.0f;
    for (u32 chunk = 0; chunk < chunks; chunk++) {
        sum += partials[chunk * 2 * channels + channel];
        squares += partials[(chunk * 2 + 1) * channels + channel];
    }
    float away = sum / float(rows);
    mean[channel] = to_float(x[channel]) + away;
    inv_std[channel] = 1.0f / sqrtf(fmaf(-away, away, squares / float(rows)) + epsilon);
}

KERNEL(batch_norm_2_apply, THREADS)(const bf16* x, const bf16* residual, const float* gamma, const float* beta,
                                    const float* mean, const float* inv_std, bf16* y, u32 count, u32 channels) {
    u32 index = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<bf16>, channel = index % channels;
    if (index >= count) return;
    Pack<bf16> pack = load_pack(x + index), other = load_pack(residual + index);
#pragma unroll
    for (u32 l = 0; l < LANES<bf16>; l++) {
        float scale = gamma[channel + l] * inv_std[channel + l];
        float value = fmaf(to_float(pack.at[l]) - mean[channel + l], scale, beta[channel + l]);
        pack.at[l] = to_bf16(fmaxf(value + to_float(other.at[l]), 0.0f));
    }
    store_pack(y + index, pack);
}
