// BatchNorm over [rows, C] with what follows it: y = act(scale * (x - mean) + shift [+ residual]) with
// scale = gamma * inv_std, shift = beta - scale * rest; the batch's mean is mean + rest.
//
// In training three kernels: statistics of parts of the rows, their combination per channel, the pass that normalises.
// With running statistics the last one alone. Memory bound: x is read once and y written once where the convolution that
// makes x leaves the statistics (statistics.cuh); else x is read twice. Statistics of a chunk add 3 / (rows of the chunk)
// float32 per element.
//
// Statistics are those of deviations from a number near the mean: here the rounded mean of the chunk's first tile, which
// stays in registers meanwhile. So nothing cancels however far the mean is from zero: where the tile is the t-th part of
// the chunk, its mean is at most sqrt(t) standard deviations of the chunk from the chunk's mean. Chunks are combined by
// M2 = sum_k M2_k + n_k (mean_k - mean)^2 (Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for
// computing sample variances", 1979), as deviations from the mean of the first 128 such numbers.
#include "columns.cuh"
#include "statistics.cuh"

constexpr u32 THREADS = 256;
// ---- statistics of a chunk -------------------------------------------------------------------------------------------

// Columns of the same channel are partials of their own, so there are columns / C for every chunk. One of them may have no
// row in the last chunk.

template <typename T>
DEVICE void chunk_statistics(const T* x, float* statistics, const Matrix& m) {
    constexpr u32 ROWS = TILE_ROWS<T>;
    __shared__ alignas(16) float room[2][BLOCK_ROOM<T>];
    __shared__ alignas(16) float near[BLOCK_COLUMNS];
    Lane lane = lane_of<T>(m);
    auto load = [&](u32 first) { return load_tile<ROWS>(x, m, lane, first); };
    Tile<T, ROWS> tile = load(lane.first);

    float sum[LANES<T>] = {}, squares[LANES<T>] = {};
#pragma unroll
    for (u32 u = 0; u < ROWS; u++) {
#pragma unroll
        for (u32 l = 0; l < LANES<T>; l++) sum[l] += to_float(tile.at[u].at[l]);
    }
    write_room<T>(room[0], m, lane, sum);
    sync_block();
    u32 column = blockIdx.y * m.width * LANES<T> + threadIdx.x, start = blockIdx.x * m.chunk_rows;
    bool owner = threadIdx.x < m.width * LANES<T> && column < m.columns;
    auto elements_until = [&](u32 end) { return elements_before(m, column, end) - elements_before(m, column, start); };
    if (owner) {
        u32 rows = m.height * ROWS, count = elements_until(start + (rows < m.chunk_rows ? rows : m.chunk_rows));
        near[threadIdx.x] = count > 0 ? sum_room<T>(room[0], m, threadIdx.x) / float(count) : 0.0f;
    }
    sync_block();

#pragma unroll
    for (u32 l = 0; l < LANES<T>; l++) sum[l] = 0.0f;
    if (lane.active) {
        float about[LANES<T>];
        read_table<T>(about, near, lane);
        for_each_tile<ROWS>(m, lane, tile, load, [&](const Tile<T, ROWS>& tile, u32 first) {
#pragma unroll
            for (u32 u = 0; u < ROWS; u++) {
                u32 elements = elements_at<T>(m, lane, first + u * m.height);
                auto add = [&](u32 l) {
                    float deviation = to_float(tile.at[u].at[l]) - about[l];
                    sum[l] += deviation;
                    squares[l] = fmaf(deviation, deviation, squares[l]);
                };
                if (elements == LANES<T>) {
#pragma unroll
                    for (u32 l = 0; l < LANES<T>; l++) add(l);
                } else {
#pragma unroll
                    for (u32 l = 0; l < LANES<T>; l++) {
                        if (l < elements) add(l);
                    }
                }
            }
        });
    }
    // Nobody reads the first room any more: all have passed the second barrier.
    write_room<T>(room[0], m, lane, squares);
    write_room<T>(room[1], m, lane, sum);
    sync_block();
    if (owner) {
        u32 copies = m.columns / m.channels, copy = column / m.channels, channel = column % m.channels;
        float* partial = partial_of(statistics, m.channels, blockIdx.x * copies + copy);
        float square = sum_room<T>(room[0], m, threadIdx.x), deviation = sum_room<T>(room[1], m, threadIdx.x);
        write_partial(partial, m.channels, channel, near[threadIdx.x], square, deviation);
        if (channel == 0) write_partial_rows(partial, elements_until(start + m.chunk_rows));
        if (column == 0 && blockIdx.x == 0) write_partial_count(statistics, gridDim.x * copies);
    }
}

KERNEL(batch_norm_statistics_f32, THREADS)(const float* x, float* statistics, Matrix m) {
    chunk_statistics(x, statistics, m);
}
KERNEL(batch_norm_statistics_bf16, THREADS)(const bf16* x, float* statistics, Matrix m) {
    chunk_statistics(x, statistics, m);
}

// ---- statistics of the batch, and the running ones -------------------------------------------------------------------

// A block combines CHANNELS channels; MERGERS threads share one channel, each with every MERGERS-th partial.
constexpr u32 MERGERS = 128;
constexpr u32 MERGER_WARPS = MERGERS * CHANNELS / WARP;

// The sum over a channel's mergers, in an order that depends on nothing, the same for each of them. All threads of the
// block take part.
DEVICE float sum_mergers(float (&room)[MERGER_WARPS * CHANNELS], float value) {
    // The lanes of a warp that have the same channel.
#pragma unroll
    for (u32 apart = CHANNELS; apart < WARP; apart *= 2) value += shuffle_xor(value, apart);
    if (threadIdx.x % WARP < CHANNELS) room[threadIdx.x / WARP * CHANNELS + threadIdx.x % CHANNELS] = value;
    sync_block();
    float sum = 0.0f;
#pragma unroll 8
    for (u32 warp = 0; warp < MERGER_WARPS; warp++) sum += room[warp * CHANNELS + threadIdx.x % CHANNELS];
    return sum;
}

// Outputs are [C]. The variance goes unbiased into the running one.
KERNEL(batch_norm_combine, MERGERS* CHANNELS)(const float* statistics, float* mean, float* inv_std, float* rest,
                                              float* running_mean, float* running_var, u32 channels, u32 rows,
                                              float epsilon, float momentum) {
    constexpr u32 BATCH = 4;  // partials on their way at once
    struct Partials {
        float rows[BATCH], near[BATCH], squares[BATCH], sum[BATCH];
    };
    __shared__ float room[4][MERGER_WARPS * CHANNELS];
    u32 channel = blockIdx.x * CHANNELS + threadIdx.x % CHANNELS, merger = threadIdx.x / CHANNELS;
    bool inside = channel < channels;
    u32 pitch = partial_pitch(channels), count = inside ? *reinterpret_cast<const u32*>(statistics) : 0;
    auto load = [&](u32 first) {
        Partials some = {};
#pragma unroll
        for (u32 u = 0; u < BATCH; u++) {
            if (first + u * MERGERS < count) {
                const float* partial = partial_of(statistics, channels, first + u * MERGERS);
                some.rows[u] = partial[0];
                some.near[u] = partial[SECTOR + channel];
                some.squares[u] = partial[SECTOR + pitch + channel];
                some.sum[u] = partial[SECTOR + 2 * pitch + channel];
            }
        }
        return some;
    };
    Partials some = load(merger);
    // Deviations are from the mean of the first numbers. With t times as many partials it is at most sqrt(t) standard
    // deviations from the mean of all.
    float known = sum_mergers(room[0], some.rows[0]);
    float origin = sum_mergers(room[1], some.rows[0] * some.near[0]) / known;
    float sum = 0.0f, squares = 0.0f;
    for (u32 first = merger; first < count;) {
        first += BATCH * MERGERS;
        Partials next = load(first);
#pragma unroll
        for (u32 u = 0; u < BATCH; u++) {
            // sum (x - origin)^2 = sum (x - a)^2 + 2 (a - origin) sum (x - a) + n (a - origin)^2
            float apart = some.near[u] - origin, moved = some.rows[u] * apart;
            squares += fmaf(apart, 2.0f * some.sum[u] + moved, some.squares[u]);
            sum += some.sum[u] + moved;
        }
        some = next;
    }
    sum = sum_mergers(room[2], sum);
    float away = sum / float(rows);
    squares = fmaf(-away, sum, sum_mergers(room[3], squares));

    if (inside && merger == 0) {
        // mean + rest = origin + away without the rounding (Knuth's two-sum; The Art of Computer Programming, 4.2.2).
        float rounded = origin + away, taken = rounded - origin;
        mean[channel] = rounded;
        rest[channel] = (origin - (rounded - taken)) + (away - taken);
        inv_std[channel] = 1.0f / sqrtf(squares / float(rows) + epsilon);
        running_mean[channel] = (1.0f - momentum) * running_mean[channel] + momentum * rounded;
        running_var[channel] = (1.0f - momentum) * running_var[channel] + momentum * (squares / (float(rows) - 1.0f));
    }
}

// ---- normalisation ---------------------------------------------------------------------------------------------------

// Tables of the block's columns.
struct Tables {
    alignas(16) float mean[BLOCK_COLUMNS];
    alignas(16) float scale[BLOCK_COLUMNS];
    alignas(16) float shift[BLOCK_COLUMNS];
};

// `residual` is null or like x. `fill_tables(channel, column, index)` writes the tables at `index`.
template <typename T, typename FillTables>
DEVICE void normalise(const T* x, const T* residual, T* y, const Matrix& m, u32 relu, Tables& tables,
                      FillTables fill_tables) {
    constexpr u32 ROWS = TILE_ROWS<T>;
    struct Both {
        Tile<T, ROWS> x, residual;
    };
    Lane lane = lane_of<T>(m);
    auto load = [&](u32 first) {
        Both both = {load_tile<ROWS>(x, m, lane, first), {}};
        if (residual != nullptr) both.residual = load_tile<ROWS>(residual, m, lane, first);
        return both;
    };
    // The first tile is on its way while the tables are made.
    Both tile = load(lane.first);
    u32 column = blockIdx.y * m.width * LANES<T> + threadIdx.x;
    if (threadIdx.x < m.width * LANES<T> && column < m.columns) fill_tables(column % m.channels, column, threadIdx.x);
    sync_block();
    if (!lane.active) return;

    float mean[LANES<T>], scale[LANES<T>], shift[LANES<T>];
    read_table<T>(mean, tables.mean, lane);
    read_table<T>(scale, tables.scale, lane);
    read_table<T>(shift, tables.shift, lane);
    for_each_tile<ROWS>(m, lane, tile, load, [&](const Both& tile, u32 first) {
#pragma unroll
        for (u32 u = 0; u < ROWS; u++) {
            u32 row = first + u * m.height;
            Pack<T> result;
#pragma unroll
            for (u32 l = 0; l < LANES<T>; l++) {
                float value = fmaf(to_float(tile.x.at[u].at[l]) - mean[l], scale[l], shift[l]);
                value += to_float(tile.residual.at[u].at[l]);
                result.at[l] = from_float<T>(relu != 0 && value <= 0.0f ? 0.0f : value);
            }
            store_elements(y + (row * m.columns + lane.column), result, elements_at<T>(m, lane, row));
        }
    });
}

// Statistics, gamma and beta are [C].
template <typename T>
DEVICE void normalise_batch(const T* x, const T* residual, const float* gamma, const float* beta, const float* mean,
                            const float* inv_std, const float* rest, T* y, const Matrix& m, u32 relu) {
    __shared__ Tables tables;
    normalise(x, residual, y, m, relu, tables, [&](u32 channel, u32, u32 index) {
        float scale = gamma[channel] * inv_std[channel];
        tables.mean[index] = mean[channel];
        tables.scale[index] = scale;
        tables.shift[index] = fmaf(-scale, rest[channel], beta[channel]);
    });
}

KERNEL(batch_norm_normalise_f32, THREADS)(const float* x, const float* residual, const float* gamma, const float* beta,
                                          const float* mean, const float* inv_std, const float* rest, float* y,
                                          Matrix m, u32 relu) {
    normalise_batch(x, residual, gamma, beta, mean, inv_std, rest, y, m, relu);
}
KERNEL(batch_norm_normalise_bf16, THREADS)(const bf16* x, const bf16* residual, const float* gamma, const float* beta,
                                           const float* mean, const float* inv_std, const float* rest, bf16* y,
                                           Matrix m, u32 relu) {
    normalise_batch(x, residual, gamma, beta, mean, inv_std, rest, y, m, relu);
}

// With running statistics. The first chunk's blocks also write `mean`, `inv_std` and `rest` for the gradient.
template <typename T>
DEVICE void normalise_running(const T* x, const T* residual, const float* gamma, const float* beta,
                              const float* running_mean, const float* running_var, T* y, float* mean, float* inv_std,
                              float* rest, const Matrix& m, u32 relu, float epsilon) {
    __shared__ Tables tables;
    normalise(x, residual, y, m, relu, tables, [&](u32 channel, u32 column, u32 index) {
        float center = running_mean[channel], inverse = 1.0f / sqrtf(running_var[channel] + epsilon);
        tables.mean[index] = center;
        tables.scale[index] = gamma[channel] * inverse;
        tables.shift[index] = beta[channel];
        if (blockIdx.x == 0 && column == channel) {
            mean[channel] = center;
            inv_std[channel] = inverse;
            rest[channel] = 0.0f;
        }
    });
}

KERNEL(batch_norm_running_f32, THREADS)(const float* x, const float* residual, const float* gamma, const float* beta,
                                        const float* running_mean, const float* running_var, float* y, float* mean,
                                        float* inv_std, float* rest, Matrix m, u32 relu, float epsilon) {
    normalise_running(x, residual, gamma, beta, running_mean, running_var, y, mean, inv_std, rest, m, relu, epsilon);
}
KERNEL(batch_norm_running_bf16, THREADS)(const bf16* x, const bf16* residual, const float* gamma, const float* beta,
                                         const float* running_mean, const float* running_var, bf16* y, float* mean,
                                         float* inv_std, float* rest, Matrix m, u32 relu, float epsilon) {
    normalise_running(x, residual, gamma, beta, running_mean, running_var, y, mean, inv_std, rest, m, relu, epsilon);
}
