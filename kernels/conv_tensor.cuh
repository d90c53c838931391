// What the convolutions on tensor cores share: tiles in shared memory, how they are filled, and how warps read them.
//
// A block of four warps makes one BM x BN tile of a matrix product. The two operands pass through shared memory in
// stages that cover DEPTH steps of the reduction each, filled by asynchronous copies two stages ahead of the one being
// multiplied. An operand lies there in one of two layouts:
//
//   along   [rows of the tile][reduction]   rows of 64 bytes: 4 packs
//   across  [reduction][rows of the tile]   DEPTH rows of BM or BN elements
//
// whichever its layout in global memory gives without a transposition; ldmatrix turns the second one on the way. Packs
// of 16 bytes are permuted within their rows so that the eight addresses of a matrix lie in eight different groups of
// four banks, and those that eight threads fill at once do, too.
//
// Elements are bf16, or float32 rounded to TF32 when a warp reads them; the two differ in the size of a pack and in the
// matrix instruction, which reduces over 32 bytes of each row in either case.
#pragma once
#include "prims.cuh"

constexpr u32 THREADS = 128;
constexpr u32 STAGES = 3;
// Packs per row of a stage, in the layout along the reduction.
constexpr u32 ROW_PACKS = 4;
// Marks rows of a tile beyond the matrix.
constexpr u32 NOWHERE = FULL;

// Elements of the reduction in one stage.
template <typename T>
constexpr u32 DEPTH = ROW_PACKS * LANES<T>;

// How the four warps of a block share a tile of BM x BN: each makes WM x WN of it, in matrices of 16 x 8.
template <u32 BM, u32 BN>
struct Tiling {
    static constexpr u32 ACROSS = BN >= 64 ? 2 : 1;
    static constexpr u32 WM = BM * ACROSS / 4, WN = BN / ACROSS;
    static_assert(WM % 16 == 0 && WN % 16 == 0, "whole fragments");
};

// Where one filter tap reads, relative to the pixel a row of the matrix starts from.
struct alignas(16) Tap {
    int row, column, offset;  // offset: row * (columns of the source) + column
    u32 weight;               // which tap of the weights it is
};

// ---- places in shared memory, in packs -----------------------------------------------------------------------------

DEVICE u32 place_along(u32 row, u32 pack) { return row * ROW_PACKS + (pack ^ (row / 2 % ROW_PACKS)); }

template <typename T, u32 PACKS>
DEVICE u32 place_across(u32 row, u32 pack) {
    // bf16: eight rows are read at one pack. TF32: four rows are read at two neighbouring packs.
    if constexpr (sizeof(T) == 4) {
        static_assert(PACKS >= 8, "rows of all banks");
        return row * PACKS + (pack ^ (row % 4 * 2));
    } else if constexpr (PACKS >= 8) {
        return row * PACKS + (pack ^ (row % 8));
    } else {
        return row * PACKS + (pack ^ (row / (8 / PACKS) % PACKS));
    }
}

// ---- filling -------------------------------------------------------------------------------------------------------

// Fills one pack with the `count` elements at from[offset], and zeros behind them. PACKED: `count` is none or all, and
// the address is a multiple of 16. Otherwise, `even`: `count` is even and the address a multiple of 4.
template <bool PACKED, typename T>
DEVICE void fill(Pack<T>* to, const T* from, u32 offset, u32 count, bool even) {
    if constexpr (PACKED) {
        copy_async_16(to, from + (count > 0 ? offset : 0), count > 0);
    } else if (even) {
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane += 2) {
            copy_async_4(to->at + lane, from + (lane < count ? offset + lane : 0), lane < count);
        }
    } else {
        Pack<T> pack;
#pragma unroll
        for (u32 lane = 0; lane < LANES<T>; lane++) {
            pack.at[lane] = from_float<T>(0.0f);
            if (lane < count) pack.at[lane] = from[offset + lane];
        }
        *to = pack;
    }
}

// Channels as the reduction or the rows of a matrix count them: in whole packs.
template <bool PACKED, typename T>
DEVICE u32 whole_packs(u32 channels) {
    return PACKED ? channels : (channels + LANES<T> - 1) / LANES<T> * LANES<T>;
}

// How many of `left` elements the next pack has.
template <bool PACKED, typename T>
DEVICE u32 in_pack(u32 left) {
    return PACKED ? LANES<T> : min(left, LANES<T>);
}

// ---- reading -------------------------------------------------------------------------------------------------------

// The left operand's rows row .. row + 15 for one matrix instruction, the `half`-th of the stage.
template <typename T>
DEVICE void left_along(u32 (&r)[4], const Pack<T>* tile, u32 row, u32 half, u32 lane) {
    load_matrix_x4(r, tile + place_along(row + lane % 16, half * 2 + lane / 16));
    if constexpr (sizeof(T) == 4) round_tf32(r);
}

// The right operand's rows row .. row + 15: two matrices, two registers each.
template <typename T>
DEVICE void right_along(u32 (&r)[4], const Pack<T>* tile, u32 row, u32 half, u32 lane) {
    load_matrix_x4(r, tile + place_along(row + lane % 8 + lane / 16 * 8, half * 2 + lane / 8 % 2));
    if constexpr (sizeof(T) == 4) round_tf32(r);
}

// One element of a tile of float32, reduction across.
template <u32 PACKS>
DEVICE u32 element(const Pack<float>* tile, u32 step, u32 row) {
    return __float_as_uint(tile[place_across<float, PACKS>(step, row / 4)].at[row % 4]);
}

template <u32 PACKS, typename T>
DEVICE void left_across(u32 (&r)[4], const Pack<T>* tile, u32 row, u32 half, u32 lane) {
    if constexpr (sizeof(T) == 4) {
        // ldmatrix turns elements of 16 bits only: each lane fetches its four.
        u32 step = half * 8 + lane % 4;
        row += lane / 4;
        r[0] = element<PACKS>(tile, step, row);
        r[1] = element<PACKS>(tile, step, row + 8);
        r[2] = element<PACKS>(tile, step + 4, row);
        r[3] = element<PACKS>(tile, step + 4, row + 8);
        round_tf32(r);
    } else {
        u32 step = half * 16 + lane % 8 + lane / 16 * 8;
        load_matrix_x4_transposed(r, tile + place_across<T, PACKS>(step, row / 8 + lane / 8 % 2));
    }
}

template <u32 PACKS, typename T>
DEVICE void right_across(u32 (&r)[4], const Pack<T>* tile, u32 row, u32 half, u32 lane) {
    if constexpr (sizeof(T) == 4) {
        u32 step = half * 8 + lane % 4;
        row += lane / 4;
        r[0] = element<PACKS>(tile, step, row);
        r[1] = element<PACKS>(tile, step + 4, row);
        r[2] = element<PACKS>(tile, step, row + 8);
        r[3] = element<PACKS>(tile, step + 4, row + 8);
        round_tf32(r);
    } else {
        load_matrix_x4_transposed(r, tile + place_across<T, PACKS>(half * 16 + lane % 16, row / 8 + lane / 16));
    }
}

// sums[WM x WN] += left * right for one matrix instruction's share of the reduction. Of the 16 x 8 results of sums[i][j]
// a lane has rows lane / 4 and lane / 4 + 8, columns lane % 4 * 2 and the next one.
template <typename T, u32 M, u32 N>
DEVICE void multiply(float (&sums)[M][N][4], const u32 (&left)[M][4], const u32 (&right)[N / 2][4]) {
#pragma unroll
    for (u32 i = 0; i < M; i++) {
#pragma unroll
        for (u32 j = 0; j < N; j++) {
            u32 pair[2] = {right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]};
            if constexpr (sizeof(T) == 4) {
                matrix_multiply_tf32(sums[i][j], left[i], pair);
            } else {
                matrix_multiply_bf16(sums[i][j], left[i], pair);
            }
        }
    }
}
