// Every wrapper of prims.cuh by itself: inputs from global memory, all lanes' outputs to global memory, nothing else.
//
// What a wrapper gives is compared with golden values (src/doctor/golden.json): a misreading of an instruction that
// kernel and simulator share shows here. One warp unless said otherwise; `in` and `out` are laid out as each kernel
// says, mostly lane by lane. An entry is called golden_<wrapper>, with the type behind it where there are several.
#include "prims.cuh"

// ---- bf16 ----------------------------------------------------------------------------------------------------------

// in [threads], out [threads]
KERNEL(golden_to_float_f32, 32)(const float* in, float* out) { out[threadIdx.x] = to_float(in[threadIdx.x]); }
KERNEL(golden_to_float_bf16, 32)(const bf16* in, float* out) { out[threadIdx.x] = to_float(in[threadIdx.x]); }
KERNEL(golden_to_bf16, 96)(const float* in, bf16* out) { out[threadIdx.x] = to_bf16(in[threadIdx.x]); }
KERNEL(golden_from_float_f32, 32)(const float* in, float* out) {
    out[threadIdx.x] = from_float<float>(in[threadIdx.x]);
}
KERNEL(golden_from_float_bf16, 32)(const float* in, bf16* out) {
    out[threadIdx.x] = from_float<bf16>(in[threadIdx.x]);
}

// ---- packs ---------------------------------------------------------------------------------------------------------

// in [32, N], out [32, N]: each pack's elements in reverse order.
template <typename T, u32 N>
DEVICE void loaded(const Pack<T, N>& pack, T* out) {
#pragma unroll
    for (u32 i = 0; i < N; i++) out[threadIdx.x * N + i] = pack.at[N - 1 - i];
}
KERNEL(golden_load_pack_f32, 32)(const float* in, float* out) { loaded(load_pack(in + threadIdx.x * 4), out); }
KERNEL(golden_load_pack_bf16, 32)(const bf16* in, bf16* out) { loaded(load_pack(in + threadIdx.x * 8), out); }
KERNEL(golden_load_pack_2_f32, 32)(const float* in, float* out) { loaded(load_pack<2>(in + threadIdx.x * 2), out); }
KERNEL(golden_load_pack_4_bf16, 32)(const bf16* in, bf16* out) { loaded(load_pack<4>(in + threadIdx.x * 4), out); }

template <typename T, u32 N>
DEVICE void stored(const T* in, T* out) {
    Pack<T, N> pack;
#pragma unroll
    for (u32 i = 0; i < N; i++) pack.at[i] = in[threadIdx.x * N + N - 1 - i];
    store_pack(out + threadIdx.x * N, pack);
}
KERNEL(golden_store_pack_f32, 32)(const float* in, float* out) { stored<float, 4>(in, out); }
KERNEL(golden_store_pack_bf16, 32)(const bf16* in, bf16* out) { stored<bf16, 8>(in, out); }
KERNEL(golden_store_pack_2_f32, 32)(const float* in, float* out) { stored<float, 2>(in, out); }

// ---- barriers ------------------------------------------------------------------------------------------------------

// Eight warps. in [256], out [2, 256]: each thread reads what threads of other warps wrote, twice over the same memory.
KERNEL(golden_sync_block, 256)(const u32* in, u32* out) {
    __shared__ u32 shared[256];
    u32 thread = threadIdx.x;
    shared[thread] = in[thread];
    sync_block();
    u32 first = shared[255 - thread] + shared[(thread + 37) % 256];
    sync_block();
    shared[thread] = first;
    sync_block();
    out[thread] = first;
    out[256 + thread] = shared[(thread + 101) % 256];
}

// in [32], out [2, 32]: as above within a warp.
KERNEL(golden_sync_warp, 32)(const u32* in, u32* out) {
    __shared__ u32 shared[32];
    u32 lane = threadIdx.x;
    shared[lane] = in[lane];
    sync_warp();
    u32 first = shared[31 - lane] + shared[(lane + 5) % 32];
    sync_warp();
    shared[lane] = first;
    sync_warp();
    out[lane] = first;
    out[32 + lane] = shared[(lane + 13) % 32];
}

// ---- warp collectives ----------------------------------------------------------------------------------------------

// in [32] values, out [6, 32]: masks 1, 2, 4, 8, 16 and 31.
template <typename T>
DEVICE void exchanged(const T* in, T* out) {
    u32 lane = threadIdx.x;
    T x = in[lane];
    out[lane] = shuffle_xor(x, 1);
    out[32 + lane] = shuffle_xor(x, 2);
    out[64 + lane] = shuffle_xor(x, 4);
    out[96 + lane] = shuffle_xor(x, 8);
    out[128 + lane] = shuffle_xor(x, 16);
    out[160 + lane] = shuffle_xor(x, 31);
}
KERNEL(golden_shuffle_xor_f32, 32)(const float* in, float* out) { exchanged(in, out); }
KERNEL(golden_shuffle_xor_u32, 32)(const u32* in, u32* out) { exchanged(in, out); }
KERNEL(golden_shuffle_xor_f64, 32)(const double* in, double* out) { exchanged(in, out); }

// in [32] values and [2, 32] lanes, out [4, 32]: from lane 0, from lane 31, and from the given lanes; of a lane's
// number its lower five bits count.
template <typename T>
DEVICE void fetched(const T* in, T* out) {
    u32 lane = threadIdx.x;
    T x = in[lane];
    const u32* from = reinterpret_cast<const u32*>(in + 32);
    out[lane] = shuffle_from(x, 0);
    out[32 + lane] = shuffle_from(x, 31);
    out[64 + lane] = shuffle_from(x, from[lane]);
    out[96 + lane] = shuffle_from(x, from[32 + lane]);
}
KERNEL(golden_shuffle_from_f32, 32)(const float* in, float* out) { fetched(in, out); }
KERNEL(golden_shuffle_from_u32, 32)(const u32* in, u32* out) { fetched(in, out); }

// Several warps, each with a set of its own. in [warps, 32], out [warps, 32].
KERNEL(golden_warp_sum_f32, 160)(const float* in, float* out) { out[threadIdx.x] = warp_sum(in[threadIdx.x]); }
KERNEL(golden_warp_sum_u32, 64)(const u32* in, u32* out) { out[threadIdx.x] = warp_sum(in[threadIdx.x]); }
KERNEL(golden_warp_sum_f64, 64)(const double* in, double* out) { out[threadIdx.x] = warp_sum(in[threadIdx.x]); }
KERNEL(golden_warp_max, 192)(const float* in, float* out) { out[threadIdx.x] = warp_max(in[threadIdx.x]); }

// ---- atomics -------------------------------------------------------------------------------------------------------

// Four blocks of two warps. in [4], out [2 + 1 + 256 + 4], zeros before: two counters; the sum of what all blocks left;
// for each ticket of the first counter, which every thread draws from, the ticket plus one; what each block left. The
// block that draws the last ticket of the second counter makes the sum.
KERNEL(golden_draw_ticket, 64)(const u32* in, u32* out) {
    __shared__ u32 last;
    u32 *sum = out + 2, *drawn = out + 3, *left = drawn + 256;
    u32 ticket = draw_ticket(out);
    if (ticket < 256) drawn[ticket] = ticket + 1;
    if (threadIdx.x == 0) {
        left[blockIdx.x] = in[blockIdx.x];
        last = draw_ticket(out + 1);
    }
    sync_block();
    if (last == 3 && threadIdx.x == 0) {
        u32 total = 0;
        for (u32 block = 0; block < 4; block++) total += left[block];
        *sum = total;
    }
}

// Two blocks of a warp. in [2, 32] numbers of words, out [8] zeros before: every word that is named holds its number plus
// one, whoever came first, and keeps it although the block that named it then brings another.
KERNEL(golden_keep_first, 32)(const u32* in, u32* out) {
    u32 word = in[blockIdx.x * 32 + threadIdx.x];
    if (word >= 8) return;
    keep_first(out + word, word + 1);
    keep_first(out + word, 100 + threadIdx.x);
}

// Three warps. in [96] numbers of counters, out [8]: every counter, from its number on, is what all threads add that name it:
// their own number plus one.
KERNEL(golden_add_shared, 96)(const u32* in, u32* out) {
    __shared__ u32 counters[8];
    if (threadIdx.x < 8) counters[threadIdx.x] = threadIdx.x;
    sync_block();
    if (in[threadIdx.x] < 8) add_shared(counters + in[threadIdx.x], threadIdx.x + 1);
    sync_block();
    if (threadIdx.x < 8) out[threadIdx.x] = counters[threadIdx.x];
}

// ---- asynchronous copies -------------------------------------------------------------------------------------------

// out [32]: how far the lane's element is from the first, in bytes; where shared memory begins is the device's affair.
KERNEL(golden_shared_address, 32)(const u32* in, u32* out) {
    __shared__ u32 shared[32];
    u32 lane = threadIdx.x;
    out[lane] = shared_address(shared + in[lane]) - shared_address(shared);
}

// in [32] whether to copy, [32, 4] data; out [32, 4]: copied to the place of lane 31 - l over a pattern; zeros where
// not.
KERNEL(golden_copy_async_16, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[128];
    u32 lane = threadIdx.x;
    for (u32 i = 0; i < 4; i++) shared[lane * 4 + i] = 0xdeadbeefu;
    sync_warp();
    copy_async_16(shared + (31 - lane) * 4, in + 32 + lane * 4, in[lane] != 0);
    copy_async_commit();
    copy_async_wait<0>();
    sync_warp();
    for (u32 i = 0; i < 4; i++) out[lane * 4 + i] = shared[lane * 4 + i];
}

// in [32] whether to copy, [32] data; out [32]: as above, four bytes each.
KERNEL(golden_copy_async_4, 32)(const u32* in, u32* out) {
    __shared__ u32 shared[32];
    u32 lane = threadIdx.x;
    shared[lane] = 0xdeadbeefu;
    sync_warp();
    copy_async_4(shared + (31 - lane), in + 32 + lane, in[lane] != 0);
    copy_async_commit();
    copy_async_wait<0>();
    sync_warp();
    out[lane] = shared[lane];
}

// in [2, 32, 4], out [2, 32, 4]. Two groups; the first is read while the second may still be on its way.
KERNEL(golden_copy_async_wait, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[256];
    u32 lane = threadIdx.x;
    copy_async_16(shared + (lane ^ 1) * 4, in + lane * 4, true);
    copy_async_commit();
    copy_async_16(shared + 128 + (lane ^ 2) * 4, in + 128 + lane * 4, true);
    copy_async_commit();
    copy_async_wait<1>();
    sync_warp();
    for (u32 i = 0; i < 4; i++) out[lane * 4 + i] = shared[lane * 4 + i];
    copy_async_wait<0>();
    sync_warp();
    for (u32 i = 0; i < 4; i++) out[128 + lane * 4 + i] = shared[128 + lane * 4 + i];
}

// in [32, 4], out [32, 4]. A group without copies counts as one: the one before it has arrived when one may be missing.
KERNEL(golden_copy_async_commit, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[128];
    u32 lane = threadIdx.x;
    copy_async_16(shared + (lane ^ 4) * 4, in + lane * 4, true);
    copy_async_commit();
    copy_async_commit();
    copy_async_wait<1>();
    sync_warp();
    for (u32 i = 0; i < 4; i++) out[lane * 4 + i] = shared[lane * 4 + i];
}

// ---- matrices ------------------------------------------------------------------------------------------------------

// in [32] rows' numbers, [32 rows, 8] 16-bit elements; out [32, registers]. Lane l gives the address of the row in[l].
DEVICE const u32* staged(const u32* in, u32* shared) {
    u32 lane = threadIdx.x;
    for (u32 i = 0; i < 4; i++) shared[lane * 4 + i] = in[32 + lane * 4 + i];
    sync_warp();
    return shared + in[lane] * 4;
}
template <u32 N>
DEVICE void store_registers(const u32 (&r)[N], u32* out) {
    for (u32 i = 0; i < N; i++) out[threadIdx.x * N + i] = r[i];
}
KERNEL(golden_load_matrix_x4, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[128];
    u32 r[4];
    load_matrix_x4(r, staged(in, shared));
    store_registers(r, out);
}
KERNEL(golden_load_matrix_x4_transposed, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[128];
    u32 r[4];
    load_matrix_x4_transposed(r, staged(in, shared));
    store_registers(r, out);
}
KERNEL(golden_load_matrix_x2, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[128];
    u32 r[2];
    load_matrix_x2(r, staged(in, shared));
    store_registers(r, out);
}
KERNEL(golden_load_matrix_x2_transposed, 32)(const u32* in, u32* out) {
    __shared__ alignas(16) u32 shared[128];
    u32 r[2];
    load_matrix_x2_transposed(r, staged(in, shared));
    store_registers(r, out);
}

// in [32, 10]: each lane's registers of a, b and d; out [32, 4]: its registers of d.
struct Fragments {
    u32 a[4], b[2];
    float d[4];
};
DEVICE Fragments fragments(const u32* in) {
    Fragments f;
    const u32* own = in + threadIdx.x * 10;
    for (u32 i = 0; i < 4; i++) f.a[i] = own[i];
    for (u32 i = 0; i < 2; i++) f.b[i] = own[4 + i];
    for (u32 i = 0; i < 4; i++) f.d[i] = __uint_as_float(own[6 + i]);
    return f;
}
KERNEL(golden_matrix_multiply_bf16, 32)(const u32* in, float* out) {
    Fragments f = fragments(in);
    matrix_multiply_bf16(f.d, f.a, f.b);
    for (u32 i = 0; i < 4; i++) out[threadIdx.x * 4 + i] = f.d[i];
}
KERNEL(golden_matrix_multiply_tf32, 32)(const u32* in, float* out) {
    Fragments f = fragments(in);
    matrix_multiply_tf32(f.d, f.a, f.b);
    for (u32 i = 0; i < 4; i++) out[threadIdx.x * 4 + i] = f.d[i];
}
// in [32, 4], out [32, 4]
KERNEL(golden_round_tf32, 32)(const u32* in, u32* out) {
    u32 r[4];
    for (u32 i = 0; i < 4; i++) r[i] = in[threadIdx.x * 4 + i];
    round_tf32(r);
    store_registers(r, out);
}
