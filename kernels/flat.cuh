// A flat array cut into packs of 16 bytes, one per thread and access; behind the last whole pack there may be less.
#pragma once
#include "prims.cuh"

// The pack at `from`, of which there are `elements`, at least one; zeros behind them.
template <typename T>
DEVICE Pack<T> load_flat(const T* from, u32 elements) {
    if (elements == LANES<T>) return load_pack(from);
    Pack<T> pack = {};
#pragma unroll
    for (u32 lane = 0; lane < LANES<T> - 1; lane++) {
        if (lane < elements) pack.at[lane] = from[lane];
    }
    return pack;
}

template <typename T>
DEVICE void store_flat(T* to, const Pack<T>& pack, u32 elements) {
    if (elements == LANES<T>) return store_pack(to, pack);
#pragma unroll
    for (u32 lane = 0; lane < LANES<T> - 1; lane++) {
        if (lane < elements) to[lane] = pack.at[lane];
    }
}
