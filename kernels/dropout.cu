// Dropout: y = x * factor where a random word is at least `threshold`, else 0. Its gradient is the same on what flows back.
//
// Element 4 i + j belongs to word j of the draw for the counter (step and draw, i), as in `src/ops/dropout`, so a mask is
// never stored. Every element is read and written once; 16 bytes per thread and access, for which one or two draws are
// made; what stands behind the last whole pack is done one by one. y may be x.
#include "philox.cuh"

struct Dropped {
    u32 key, key_high;
    u32 draw;       // which of the tape's draws
    u32 threshold;  // words below drop
    float factor;
    u32 count;
};

constexpr u32 WORDS = 4;

DEVICE float kept(float x, u32 word, const Dropped& of) { return word < of.threshold ? 0.0f : x * of.factor; }

template <typename T>
DEVICE void dropout(const T* x, const u32* number, T* y, const Dropped& of) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<T>, step = *number;
    if (start + LANES<T> <= of.count) {
        Pack<T> pack = load_pack(x + start);
#pragma unroll
        for (u32 first = 0; first < LANES<T>; first += WORDS) {
            Words words = philox4x32_10({(start + first) / WORDS, 0, step, of.draw}, of.key, of.key_high);
#pragma unroll
            for (u32 word = 0; word < WORDS; word++) {
                T& element = pack.at[first + word];
                element = from_float<T>(kept(to_float(element), words.at[word], of));
            }
        }
        store_pack(y + start, pack);
    } else {
        Words words = {};
#pragma unroll
        for (u32 lane = 0; lane < LANES<T> - 1; lane++) {  // No more are left.
            u32 index = start + lane;
            if (lane % WORDS == 0) words = philox4x32_10({index / WORDS, 0, step, of.draw}, of.key, of.key_high);
            if (index < of.count) y[index] = from_float<T>(kept(to_float(x[index]), words.at[lane % WORDS], of));
        }
    }
}

KERNEL(dropout_f32, 256)(const float* x, const u32* number, float* y, Dropped of) { dropout(x, number, y, of); }
KERNEL(dropout_bf16, 256)(const bf16* x, const u32* number, bf16* y, Dropped of) { dropout(x, number, y, of); }
