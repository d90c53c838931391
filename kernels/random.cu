// Random numbers and orders within a step (`src/ops/random`): float32 [count], and the numbers 0..count in a random order.
//
// Every thread makes the four words of one counter (its number, the step, the draw) and from them four elements that it
// stores at once. A word becomes u = (2 (word >> 9) + 1) 2^-24, which float32 holds exactly, as 1 - u. An order is found by
// counting: each thread has one number, compares its key (a word, and the number itself behind it, so that no two keys are
// equal) with those of all others, which the block makes tile by tile, and knows then where its number stands.
#include "philox.cuh"

constexpr u32 THREADS = 256;

struct Source {
    u32 key, key_high;
    u32 draw;  // which draw of the tape
};

DEVICE Words words_of(const Source& source, u32 number, u32 index) {
    return philox4x32_10({index, 0, number, source.draw}, source.key, source.key_high);
}

DEVICE float unit(u32 word) { return float(2 * (word >> 9) + 1) * (1.0f / (1 << 24)); }

// `make` turns four numbers in (0, 1) into four elements.
template <typename Make>
DEVICE void random(const u32* number, float* y, u32 count, const Source& source, Make make) {
    u32 index = blockIdx.x * THREADS + threadIdx.x, start = index * LANES<float>;
    if (start >= count) return;
    Words words = words_of(source, *number, index);
    Pack<float> pack;
#pragma unroll
    for (u32 lane = 0; lane < LANES<float>; lane++) pack.at[lane] = unit(words.at[lane]);
    make(pack);
    if (start + LANES<float> <= count) {
        store_pack(y + start, pack);
    } else {
#pragma unroll
        for (u32 lane = 0; lane < LANES<float> - 1; lane++) {
            if (start + lane < count) y[start + lane] = pack.at[lane];
        }
    }
}

template <typename Make>
DEVICE void each(Pack<float>& pack, Make make) {
#pragma unroll
    for (u32 lane = 0; lane < LANES<float>; lane++) pack.at[lane] = make(pack.at[lane]);
}

KERNEL(random_uniform_f32, THREADS)(const u32* number, float* y, u32 count, Source source) {
    random(number, y, count, source, [](Pack<float>&) {});
}

// Box and Muller: two normal numbers from two in (0, 1).
KERNEL(random_normal_f32, THREADS)(const u32* number, float* y, u32 count, Source source) {
    random(number, y, count, source, [](Pack<float>& u) {
#pragma unroll
        for (u32 pair = 0; pair < LANES<float>; pair += 2) {
            float radius = sqrtf(-2 * logf(u.at[pair])), sine, cosine;
            sincospif(2 * u.at[pair + 1], &sine, &cosine);
            u.at[pair] = radius * cosine, u.at[pair + 1] = radius * sine;
        }
    });
}

KERNEL(random_gumbel_f32, THREADS)(const u32* number, float* y, u32 count, Source source) {
    random(number, y, count, source, [](Pack<float>& pack) { each(pack, [](float u) { return -logf(-logf(u)); }); });
}

KERNEL(random_logistic_f32, THREADS)(const u32* number, float* y, u32 count, Source source) {
    random(number, y, count, source, [](Pack<float>& pack) { each(pack, [](float u) { return logf(u) - logf(1 - u); }); });
}

KERNEL(random_permutation_u32, THREADS)(const u32* number, u32* y, u32 count, Source source) {
    __shared__ u64 keys[THREADS];
    u32 index = blockIdx.x * THREADS + threadIdx.x, step = *number;
    auto key_of = [&](u32 index) {
        return u64(words_of(source, step, index).at[0]) << 32 | index;
    };
    u64 own = key_of(index);
    u32 rank = 0;
    for (u32 start = 0; start < count; start += THREADS) {
        keys[threadIdx.x] = key_of(start + threadIdx.x);
        sync_block();
        u32 end = min(THREADS, count - start);
        for (u32 other = 0; other < end; other++) {
            rank += keys[other] < own;
        }
        sync_block();
    }
    if (index < count) y[rank] = index;
}
