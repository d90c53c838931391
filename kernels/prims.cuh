// The only file with inline PTX and warp, barrier, asynchronous-copy and matrix intrinsics. Each wrapper names the
// section of the PTX ISA manual it rests on. Headers are not needed: NVRTC knows everything else that stands here.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

// An entry point: extern "C", so that the host finds it by its name. After the name the most threads of a block and, where
// the compiler saves more registers than is good, the blocks that a multiprocessor is to hold at least.
#define KERNEL(NAME, ...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__) NAME
#define DEVICE __device__ __forceinline__

constexpr u32 WARP = 32;
constexpr u32 FULL = 0xffffffffu;

// ---- bf16: the upper half of a float32 -----------------------------------------------------------------------------

struct alignas(2) bf16 {
    u16 bits;
};

DEVICE float to_float(float x) { return x; }
DEVICE float to_float(bf16 x) { return __uint_as_float(u32(x.bits) << 16); }

// 9.7.9 cvt: round to nearest even.
DEVICE bf16 to_bf16(float x) {
    bf16 y;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
    return y;
}

template <typename T>
DEVICE T from_float(float x);
template <>
DEVICE float from_float<float>(float x) { return x; }
template <>
DEVICE bf16 from_float<bf16>(float x) { return to_bf16(x); }

// ---- vectors of 16 bytes -------------------------------------------------------------------------------------------

template <typename T>
constexpr u32 LANES = 16 / sizeof(T);

// N elements of T, moved by one instruction: sixteen bytes (4 floats or 8 bf16) if not said otherwise. The address is a
// multiple of the size.
template <typename T, u32 N = LANES<T>>
struct alignas(N * sizeof(T)) Pack {
    T at[N];
};

template <typename T>
DEVICE Pack<T> load_pack(const T* from) {
    return *reinterpret_cast<const Pack<T>*>(from);
}
template <u32 N, typename T>
DEVICE Pack<T, N> load_pack(const T* from) {
    return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <typename T, u32 N>
DEVICE void store_pack(T* to, const Pack<T, N>& pack) {
    *reinterpret_cast<Pack<T, N>*>(to) = pack;
}

// ---- barriers ------------------------------------------------------------------------------------------------------

// 9.7.13.1 bar.sync: all threads of the block meet; shared memory written before is seen after.
DEVICE void sync_block() { __syncthreads(); }
// 9.7.13.2 bar.warp.sync
DEVICE void sync_warp() { __syncwarp(FULL); }

// ---- warp collectives: all 32 lanes take part ----------------------------------------------------------------------

// 9.7.9.6 shfl.sync
DEVICE float shuffle_xor(float x, u32 mask) { return __shfl_xor_sync(FULL, x, mask); }
DEVICE u32 shuffle_xor(u32 x, u32 mask) { return __shfl_xor_sync(FULL, x, mask); }
DEVICE double shuffle_xor(double x, u32 mask) { return __shfl_xor_sync(FULL, x, mask); }
DEVICE float shuffle_from(float x, u32 lane) { return __shfl_sync(FULL, x, lane); }
DEVICE u32 shuffle_from(u32 x, u32 lane) { return __shfl_sync(FULL, x, lane); }

// Sums and largest values over a warp by exchange: every lane gets the result, the order is fixed by the lanes.
template <typename T>
DEVICE T warp_sum(T x) {
#pragma unroll
    for (u32 mask = WARP / 2; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}
DEVICE float warp_max(float x) {
#pragma unroll
    for (u32 mask = WARP / 2; mask > 0; mask /= 2) x = fmaxf(x, shuffle_xor(x, mask));
    return x;
}

// ---- integer atomics: whatever order blocks come in, the result is the same ------------------------------------------

// 9.7.13.5 atom: takes the next number, from 0 on. Acquires and releases: what the holders of lower numbers wrote before
// they drew is seen after this one was drawn. Other threads of a block share in that through sync_block on both sides.
DEVICE u32 draw_ticket(u32* counter) {
    u32 ticket;
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
                 : "=r"(ticket)
                 : "l"(__cvta_generic_to_global(counter))
                 : "memory");
    return ticket;
}

// 9.7.13.5 atom.cas: puts `value` where zero stands; what stands there otherwise stays; answers what stood there.
// Threads that race for it bring the same value.
DEVICE u32 keep_first(u32* first, u32 value) {
    u32 before;
    asm volatile("atom.relaxed.gpu.global.cas.b32 %0, [%1], 0, %2;"
                 : "=r"(before)
                 : "l"(__cvta_generic_to_global(first)), "r"(value)
                 : "memory");
    return before;
}

// 9.7.13.7 red: adds to a counter in shared memory that all threads of the block use. Others see it after sync_block.
DEVICE void add_shared(u32* counter, u32 value) {
    asm volatile("red.relaxed.cta.shared.add.u32 [%0], %1;" ::"r"(u32(__cvta_generic_to_shared(counter))), "r"(value)
                 : "memory");
}

// ---- asynchronous copies into shared memory (9.7.9.25) -------------------------------------------------------------

DEVICE u32 shared_address(const void* pointer) { return u32(__cvta_generic_to_shared(pointer)); }

// Sixteen bytes from global to shared memory, past the registers; zeros where `inside` is false (nothing is read then,
// yet `from` has to be a valid address).
DEVICE void copy_async_16(void* to, const void* from, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(inside ? 16 : 0)
                 : "memory");
}
// As above, four bytes.
DEVICE void copy_async_4(void* to, const void* from, bool inside) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(inside ? 4 : 0)
                 : "memory");
}
DEVICE void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most N of this thread's groups are on their way.
template <int N>
DEVICE void copy_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

// ---- matrices (9.7.14) ---------------------------------------------------------------------------------------------

// 9.7.14.5.15 ldmatrix: four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
DEVICE void load_matrix_x4(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
// As above, each matrix transposed on the way.
DEVICE void load_matrix_x4_transposed(u32 (&r)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void load_matrix_x2(u32 (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void load_matrix_x2_transposed(u32 (&r)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// 9.7.14.5.8 mma: d[16 x 8] += a[16 x 16] * b[16 x 8], bf16 products, float32 sums.
DEVICE void matrix_multiply_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// 9.7.9 cvt: float32 bits rounded to TF32 (10 bits of mantissa), to nearest, ties away from zero.
DEVICE void round_tf32(u32 (&r)[4]) {
#pragma unroll
    for (u32 i = 0; i < 4; i++) asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r[i]) : "f"(__uint_as_float(r[i])));
}

// 9.7.14.5.7 mma: d[16 x 8] += a[16 x 8] * b[8 x 8], TF32 products, float32 sums.
DEVICE void matrix_multiply_tf32(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
