// Random numbers from a counter: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC 2011), the bits of `src/random.rs`.
#pragma once

#include "prims.cuh"

struct Words {
    u32 at[4];
};

// Four random words for the counter (minor, minor's upper half, major, major's upper half) under a key.
DEVICE Words philox4x32_10(Words counter, u32 key, u32 key_high) {
#pragma unroll
    for (u32 round = 0; round < 10; round++) {
        u64 first = u64(counter.at[0]) * 0xD2511F53u, second = u64(counter.at[2]) * 0xCD9E8D57u;
        counter = {u32(second >> 32) ^ counter.at[1] ^ key, u32(second), u32(first >> 32) ^ counter.at[3] ^ key_high,
                   u32(first)};
        key += 0x9E3779B9u, key_high += 0xBB67AE85u;
    }
    return counter;
}
