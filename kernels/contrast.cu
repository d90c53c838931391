// A batch against a memory bank (`src/ops/contrast`). float32; x [B, D], bank [N, D], indices [B, K].
//
// Indices: a thread each. Which image stands at a place follows from the place alone, by a keyed bijection, so threads
// neither wait for each other nor remember anything. Products: a warp each, its lanes side by side along a row of the
// bank, which is read as packs where rows are whole packs. Gradient: a block adds CHUNK rows of the bank, each times its
// upstream number, one thread per component; a second kernel adds the chunks of a row in their order. Rows that are
// gathered are never stored: 16,384 for each image would be some hundred megabytes.
#include "philox.cuh"

constexpr u32 THREADS = 256;

struct Draw {
    u32 key, key_high;
    u32 draw;     // which draw of the tape
    u32 relaxed;  // whether the positive is any image of the class
    u32 batch, width, images;
};

DEVICE u32 mix(u32 word) {
    word = (word ^ word >> 16) * 0x85EBCA6Bu;
    word = (word ^ word >> 13) * 0xC2B2AE35u;
    return word ^ word >> 16;
}

// Which number comes at `place` in a random order of 0..count: four Feistel rounds, until the result is below.
DEVICE u32 shuffled(const Words& keys, u32 count, u32 place) {
    u32 bits = 32 - __clz(count - 1);
    u32 half = max((bits + 1) / 2, 1u), mask = (1u << half) - 1, number = place;
    do {
        u32 left = number >> half, right = number & mask;
#pragma unroll
        for (u32 round = 0; round < 4; round++) {
            u32 next = left ^ (mix(right ^ keys.at[round]) & mask);
            left = right, right = next;
        }
        number = left << half | right;
    } while (number >= count);
    return number;
}

KERNEL(contrast_indices_u32, THREADS)
(const u32* own, const u32* labels, const u32* order, const u32* starts, const u32* number, u32* indices, Draw draw) {
    u32 element = blockIdx.x * THREADS + threadIdx.x;
    if (element >= draw.batch * draw.width) return;
    u32 row = element / draw.width, column = element % draw.width;
    u32 start = starts[labels[row]], members = starts[labels[row] + 1] - start, others = draw.images - members;
    u32 negative = column == 0 ? 0 : column - 1, turn = column == 0 ? 0 : 1 + negative / others;
    Words words = philox4x32_10({row, turn, *number, draw.draw}, draw.key, draw.key_high);
    if (column == 0) {
        indices[element] = draw.relaxed ? order[start + __umulhi(words.at[0], members)] : own[row];
        return;
    }
    u32 place = shuffled(words, others, negative % others);
    indices[element] = order[place < start ? place : place + members];
}

KERNEL(bank_products_f32, THREADS)
(const float* x, const float* bank, const u32* indices, float* products, u32 count, u32 width, u32 depth) {
    u32 element = blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (element >= count) return;  // The whole warp.
    const float* a = x + size_t(element / width) * depth;
    const float* b = bank + size_t(indices[element]) * depth;
    float sum = 0;
    if (depth % LANES<float> == 0) {
        for (u32 at = lane * LANES<float>; at < depth; at += WARP * LANES<float>) {
            Pack<float> left = load_pack(a + at), right = load_pack(b + at);
#pragma unroll
            for (u32 i = 0; i < LANES<float>; i++) sum += left.at[i] * right.at[i];
        }
    } else {
        for (u32 at = lane; at < depth; at += WARP) sum += a[at] * b[at];
    }
    sum = warp_sum(sum);
    if (lane == 0) products[element] = sum;
}

constexpr u32 COMPONENTS = 128;

// sums [chunks, B, D]
KERNEL(bank_products_gradient_f32, COMPONENTS)
(const float* upstream, const float* bank, const u32* indices, float* sums, u32 width, u32 depth, u32 chunk) {
    u32 component = blockIdx.z * COMPONENTS + threadIdx.x, row = blockIdx.y;
    if (component >= depth) return;
    u32 first = blockIdx.x * chunk, last = min(first + chunk, width);
    float sum = 0;
    for (u32 column = first; column < last; column++) {
        u32 element = row * width + column;
        sum += upstream[element] * bank[size_t(indices[element]) * depth + component];
    }
    sums[(blockIdx.x * gridDim.y + row) * depth + component] = sum;
}

KERNEL(bank_products_total_f32, THREADS)(const float* sums, float* d_x, u32 count, u32 chunks) {
    u32 element = blockIdx.x * THREADS + threadIdx.x;
    if (element >= count) return;
    float sum = 0;
    for (u32 chunk = 0; chunk < chunks; chunk++) sum += sums[chunk * count + element];
    d_x[element] = sum;
}
