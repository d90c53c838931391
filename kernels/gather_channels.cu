// Channels picked by index (`src/ops/gather_channels`): y [rows, picks] = x [rows, channels] at `indices` [picks]. float32.
//
// A block takes ELEMENTS elements of what is written: neighbours write side by side, and read within one row. For the gradient the picks are
// sorted by channel first, by counting, one thread per channel and per pick; the picks of channel c are then
// order[starts[c]] to order[starts[c + 1] - 1], and are added up in that order.
#include "prims.cuh"

constexpr u32 THREADS = 256;
constexpr u32 ELEMENTS = 2048;

KERNEL(gather_channels_f32, THREADS)
(const float* x, const u32* indices, float* y, u32 count, u32 channels, u32 picks) {
    u32 end = min(count, (blockIdx.x + 1) * ELEMENTS);
    for (u32 element = blockIdx.x * ELEMENTS + threadIdx.x; element < end; element += THREADS) {
        y[element] = x[element / picks * channels + indices[element % picks]];
    }
}

// `starts` [channels + 1], `order` [picks].
KERNEL(gather_channels_sort_u32, THREADS)
(const u32* indices, u32* starts, u32* order, u32 channels, u32 picks) {
    u32 thread = blockIdx.x * THREADS + threadIdx.x;
    if (thread <= channels) {
        u32 start = 0;
        for (u32 other = 0; other < picks; other++) start += indices[other] < thread;
        starts[thread] = start;
    }
    if (thread < picks) {
        u32 own = indices[thread], rank = 0;
        for (u32 other = 0; other < picks; other++) {
            u32 index = indices[other];
            rank += index < own || (index == own && other < thread);
        }
        order[rank] = thread;
    }
}

KERNEL(gather_channels_backward_f32, THREADS)
(const float* d_y, const u32* starts, const u32* order, float* d_x, u32 count, u32 channels, u32 picks) {
    u32 end = min(count, (blockIdx.x + 1) * ELEMENTS);
    for (u32 element = blockIdx.x * ELEMENTS + threadIdx.x; element < end; element += THREADS) {
        u32 channel = element % channels, behind = starts[channel + 1];
        const float* row = d_y + element / channels * picks;
        float sum = 0;
        for (u32 place = starts[channel]; place < behind; place++) sum += row[order[place]];
        d_x[element] = sum;
    }
}
