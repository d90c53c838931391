// Areas around the peaks of heatmaps, and their masks (`src/ops/areas`). float32.
//
// heat [N, H, W, K], size and offset [N, H, W, 2], boxes [N, count, 4] = (x0, y0, x1, y1), mask [N, H, W, 1]. First every
// cell learns whether it is a peak, one thread each; a cell that is none has the height minus infinity. Then one block per
// image takes `count` times the best cell behind the one taken last: by height, and among equals by the number of the cell
// in the order (class, y, x).
#include "rows.cuh"

constexpr u32 THREADS = 256;
// A block that has an image to itself.
constexpr u32 IMAGE_THREADS = 512;
constexpr u32 IMAGE_WARPS = IMAGE_THREADS / WARP;

struct Map {
    u32 height, width, classes;
};

KERNEL(peak_heights_f32, THREADS)(const float* heat, float* heights, u32 count, Map of) {
    u32 cell = blockIdx.x * THREADS + threadIdx.x;
    if (cell >= count) return;
    u32 pixel = cell / of.classes, x = pixel % of.width, y = pixel / of.width % of.height;
    float here = heat[cell];
    bool peak = true;
#pragma unroll
    for (int dy = -1; dy <= 1; dy++) {
#pragma unroll
        for (int dx = -1; dx <= 1; dx++) {
            // Above or left of the map wraps around, and is outside as well.
            if (x + dx < of.width && y + dy < of.height) {
                peak &= here >= heat[cell + (dy * int(of.width) + dx) * int(of.classes)];
            }
        }
    }
    heights[cell] = peak ? here : -__int_as_float(0x7f800000);
}

struct Cell {
    float height;
    u32 number;
};

DEVICE bool is_before(Cell one, Cell other) {
    return one.height > other.height || (one.height == other.height && one.number < other.number);
}
DEVICE Cell first_of(Cell one, Cell other) { return is_before(one, other) ? one : other; }

KERNEL(peak_areas_f32, IMAGE_THREADS)
(const float* heights, const float* size, const float* offset, float* boxes, u32 count, Map of) {
    __shared__ Cell firsts[IMAGE_WARPS];
    u32 pixels = of.height * of.width, cells = pixels * of.classes;
    heights += blockIdx.x * cells, boxes += blockIdx.x * count * 4;
    size += blockIdx.x * pixels * 2, offset += blockIdx.x * pixels * 2;
    Cell last = {};
    for (u32 area = 0; area < count; area++) {
        Cell first = {-__int_as_float(0x7f800000), 0xffffffff};  // behind all
        for (u32 place = threadIdx.x; place < cells; place += IMAGE_THREADS) {
            Cell cell = {heights[place], place % of.classes * pixels + place / of.classes};
            if (area == 0 || is_before(last, cell)) first = first_of(cell, first);
        }
#pragma unroll
        for (u32 mask = WARP / 2; mask > 0; mask /= 2) {
            first = first_of(first, {shuffle_xor(first.height, mask), shuffle_xor(first.number, mask)});
        }
        if (lane_index() == WARP - 1) firsts[threadIdx.x / WARP] = first;
        sync_block();
        last = firsts[0];
#pragma unroll
        for (u32 warp = 1; warp < IMAGE_WARPS; warp++) last = first_of(last, firsts[warp]);
        sync_block();
        // A thread for each edge: left, top, right, bottom.
        if (threadIdx.x < 4) {
            u32 axis = threadIdx.x % 2, pixel = last.number % pixels;
            u32 place = axis ? pixel / of.width : pixel % of.width, extent = axis ? of.height : of.width;
            float reach = 0.5f * size[2 * pixel + axis], middle = float(place) + offset[2 * pixel + axis];
            // A box beyond the map begins behind its end.
            boxes[4 * area + threadIdx.x] =
                threadIdx.x < 2 ? fmaxf(middle - reach, 0) : fminf(middle + reach, float(extent - 1));
        }
    }
}

// One thread per pixel. `most` is the largest value of the mask.
KERNEL(box_mask_f32, THREADS)
(const float* boxes, float* mask, u32 count, u32 areas, u32 height, u32 width, float most) {
    u32 pixel = blockIdx.x * THREADS + threadIdx.x;
    if (pixel >= count) return;
    float x = float(pixel % width), y = float(pixel / width % height), sum = 0;
    const float* of_image = boxes + pixel / (height * width) * areas * 4;
    for (u32 area = 0; area < areas; area++) {
        Pack<float> corners = load_pack(of_image + 4 * area);
        bool wide = truncf(corners.at[0]) <= x && x <= truncf(corners.at[2]);
        bool high = truncf(corners.at[1]) <= y && y <= truncf(corners.at[3]);
        if (wide && high) sum += 1;
    }
    mask[pixel] = fminf(sum, most);
}
