// Maps read at the points of a grid (`src/ops/grid_sample`, `src/ops/affine_grid`): bilinear, zeros outside, align_corners =
// False. Maps [N, H, W, C], what is read [N, h, w, C], grids [N or 1, h, w, 2] of points (x, y), affine maps [N or 1, 2, 3].
// float32.
//
// Reading: one thread per element written, channels side by side. The gradient of the map is gathered: a warp takes a
// pixel, its lanes look for points beside it, 32 at a time, and all take up what was read there, so sums have the order of
// the points and need no atomics. The gradient of the grid: a warp takes a point, its lanes share out the channels.
#include "rows.cuh"

constexpr u32 THREADS = 256;
constexpr u32 WARPS = THREADS / WARP;

// Channels of a pixel that a lane adds up at once.
constexpr u32 CHANNELS = 4;

struct Sampling {
    u32 height, width, channels;  // of the map
    u32 images;
    u32 pixels;  // points of an image
    u32 points;  // points of the grid: of all images, or of one for all of them
};

// Where a coordinate lies among `extent` pixels: the first pixel beside it, and how far behind that. Outside, however far, both
// pixels beside it have numbers that no pixel has: -1 and the like wrap around.
struct Place {
    bool known;  // neither outside nor inside is what is not a number
    u32 before;
    float by;

    DEVICE Place(float coordinate, u32 extent) {
        float place = (coordinate + 1) * float(extent) * 0.5f - 0.5f;
        float pixel = floorf(place);
        known = place == place;
        before = u32(int(pixel));
        by = place - pixel;
    }
    // How near the pixel that is `step` (0 or 1) behind the first one is, and how that changes along the axis.
    DEVICE float weight(u32 step) const { return step ? by : 1 - by; }
    DEVICE float slope(u32 step) const { return step ? 1.0f : -1.0f; }
    // How near some pixel is.
    DEVICE float weight_of(u32 pixel) const { return pixel - before < 2 ? weight(pixel - before) : 0; }
};

// Calls `work` with the number of each pixel beside a point in its image, and its steps behind the first one.
template <typename Work>
DEVICE void each_corner(const Place& across, const Place& down, const Sampling& of, Work work) {
    if (!across.known || !down.known) return;
#pragma unroll
    for (u32 corner = 0; corner < 4; corner++) {
        u32 x = across.before + corner % 2, y = down.before + corner / 2;
        if (x < of.width && y < of.height) work(y * of.width + x, corner % 2, corner / 2);
    }
}

KERNEL(grid_sample_f32, THREADS)(const float* x, const float* grid, float* y, u32 count, Sampling of) {
    u32 element = blockIdx.x * THREADS + threadIdx.x;
    if (element >= count) return;
    u32 row = element / of.channels, channel = element % of.channels;
    auto point = load_pack<2>(grid + 2 * (row % of.points));
    Place across(point.at[0], of.width), down(point.at[1], of.height);
    const float* image = x + row / of.pixels * of.height * of.width * of.channels + channel;
    float sum = 0;
    each_corner(across, down, of, [&](u32 pixel, u32 right, u32 below) {
        sum += across.weight(right) * down.weight(below) * image[pixel * of.channels];
    });
    y[element] = sum;
}

// One warp per pixel of d_x, of which there are `rows`.
KERNEL(grid_sample_map_f32, THREADS)(const float* grid, const float* d_y, float* d_x, u32 rows, Sampling of) {
    u32 row = blockIdx.x * WARPS + threadIdx.x / WARP, lane = lane_index();
    if (row >= rows) return;
    u32 pixel = row % (of.height * of.width), image = row / (of.height * of.width);
    u32 x = pixel % of.width, y = pixel / of.width;
    const float* points = grid + 2 * (image * of.pixels % of.points);
    d_y += image * of.pixels * of.channels, d_x += row * of.channels;
    for (u32 first = 0; first < of.channels; first += CHANNELS * WARP) {
        float sums[CHANNELS] = {};
        u32 start = 0;
        do {
            float weight = 0;
            if (start + lane < of.pixels) {
                auto point = load_pack<2>(points + 2 * (start + lane));
                Place across(point.at[0], of.width), down(point.at[1], of.height);
                if (across.known && down.known) weight = across.weight_of(x) * down.weight_of(y);
            }
#pragma unroll 1
            for (u32 other = 0; other < WARP; other++) {
                float share = shuffle_from(weight, other);
                if (share == 0) continue;
                const float* read = d_y + (start + other) * of.channels;
#pragma unroll
                for (u32 k = 0; k < CHANNELS; k++) {
                    u32 channel = first + k * WARP + lane;
                    if (channel < of.channels) sums[k] += share * read[channel];
                }
            }
            start += WARP;
        } while (start < of.pixels);
#pragma unroll
        for (u32 k = 0; k < CHANNELS; k++) {
            u32 channel = first + k * WARP + lane;
            if (channel < of.channels) d_x[channel] = sums[k];
        }
    }
}

// One warp per point of the grid.
KERNEL(grid_sample_points_f32, THREADS)
(const float* x, const float* grid, const float* d_y, float* d_grid, Sampling of) {
    u32 index = blockIdx.x * WARPS + threadIdx.x / WARP, lane = lane_index();
    if (index >= of.points) return;
    auto point = load_pack<2>(grid + 2 * index);
    Place across(point.at[0], of.width), down(point.at[1], of.height);
    float horizontal = 0, vertical = 0;
    // Once, or once for each image where all share the grid.
    for (u32 row = index; row < of.images * of.pixels; row += of.points) {
        const float* image = x + row / of.pixels * of.height * of.width * of.channels;
        const float* read = d_y + row * of.channels;
        each_corner(across, down, of, [&](u32 pixel, u32 right, u32 below) {
            float sum = 0;
            for (u32 c = lane; c < of.channels; c += WARP) sum += image[pixel * of.channels + c] * read[c];
            horizontal += sum * (across.slope(right) * down.weight(below));
            vertical += sum * (down.slope(below) * across.weight(right));
        });
    }
    horizontal = warp_sum(horizontal) * (0.5f * float(of.width));
    vertical = warp_sum(vertical) * (0.5f * float(of.height));
    if (lane == WARP - 1) store_pack(d_grid + 2 * index, Pack<float, 2>{{horizontal, vertical}});
}

// The centre of pixel `index` of `extent` pixels that cover [-1, 1].
DEVICE float centre(u32 index, u32 extent) { return float(int(2 * index + 1 - extent)) / float(extent); }

// One thread per point.
KERNEL(affine_grid_f32, THREADS)(const float* theta, float* grid, u32 points, u32 height, u32 width) {
    u32 point = blockIdx.x * THREADS + threadIdx.x;
    if (point >= points) return;
    const float* map = theta + 6 * (point / (height * width));
    float x = centre(point % width, width), y = centre(point / width % height, height);
    Pack<float, 2> to = {{map[0] * x + map[1] * y + map[2], map[3] * x + map[4] * y + map[5]}};
    store_pack(grid + 2 * point, to);
}

// One block per map. Its threads take every THREADS-th pixel; their sums meet warp by warp.
KERNEL(affine_grid_backward_f32, THREADS)(const float* d_grid, float* d_theta, u32 height, u32 width) {
    __shared__ float parts[WARPS][6];
    u32 pixels = height * width;
    const float* points = d_grid + 2 * blockIdx.x * pixels;
    float sums[6] = {};
    for (u32 pixel = threadIdx.x; pixel < pixels; pixel += THREADS) {
        auto point = load_pack<2>(points + 2 * pixel);
        float x = centre(pixel % width, width), y = centre(pixel / width, height);
#pragma unroll
        for (u32 axis = 0; axis < 2; axis++) {
            sums[3 * axis] += point.at[axis] * x;
            sums[3 * axis + 1] += point.at[axis] * y;
            sums[3 * axis + 2] += point.at[axis];
        }
    }
#pragma unroll
    for (u32 k = 0; k < 6; k++) {
        float sum = warp_sum(sums[k]);
        if (lane_index() == WARP - 1 - k) parts[threadIdx.x / WARP][k] = sum;
    }
    sync_block();
    if (threadIdx.x >= 6) return;
    float sum = 0;
#pragma unroll
    for (u32 warp = 0; warp < WARPS; warp++) sum += parts[warp][threadIdx.x];
    d_theta[6 * blockIdx.x + threadIdx.x] = sum;
}
