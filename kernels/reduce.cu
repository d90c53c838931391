// Sums and maxima of x [outer, axis, inner] over `axis`, float32: y [outer, inner]; and the gradient of maxima.
//
// A block has `width` columns (an `outer` and an `inner`) of `height` threads, which take every height-th row of the axis and
// meet in shared memory in an order that their number alone decides. Threads that lie side by side take neighbouring rows
// where `inner` is short, else neighbouring columns, so that a warp reads whole sectors. A long axis is cut into chunks, by
// shape alone, whose sums are summed by a second launch. Memory bound.
#include "prims.cuh"

constexpr u32 THREADS = 256;

struct Reduction {
    u32 axis, inner;
    u32 columns;     // outer * inner
    u32 chunks;      // of the axis
    u32 chunk_rows;  // rows of a chunk; the last may have less
    u32 width, height;
    u32 column_step, row_step;  // threads from one column to the next, and from one row; one of them is 1
};

// Where a thread works.
struct Worker {
    bool active;         // there is such a column
    u32 outer, at;       // its column
    u32 chunk;
    u32 row;             // among the threads of the column
    u32 first, end;      // its rows: every height-th
};

template <bool CHUNKED>
DEVICE Worker worker_of(const Reduction& r) {
    Worker worker;
    u32 tile = CHUNKED ? blockIdx.x / r.chunks : blockIdx.x;
    u32 column = tile * r.width + threadIdx.x / r.column_step % r.width;
    worker.active = column < r.columns;
    worker.outer = column / r.inner, worker.at = column % r.inner;
    worker.chunk = CHUNKED ? blockIdx.x % r.chunks : 0;
    worker.row = threadIdx.x / r.row_step % r.height;
    worker.first = worker.chunk * r.chunk_rows + worker.row;
    u32 end = CHUNKED ? min(r.axis, (worker.chunk + 1) * r.chunk_rows) : r.axis;
    worker.end = worker.active ? end : 0;
    return worker;
}

// y [outer, chunks, inner] = factor * sum over the rows of a chunk.
KERNEL(sum_f32, THREADS)(const float* x, float* y, Reduction r, float factor) {
    __shared__ float room[THREADS];
    Worker worker = worker_of<true>(r);
    const float* from = x + worker.outer * r.axis * r.inner + worker.at;
    float sum = 0.0f;
#pragma unroll 4
    for (u32 row = worker.first; row < worker.end; row += r.height) sum += from[row * r.inner];
    room[threadIdx.x] = sum;
    for (u32 half = r.height / 2; half > 0; half /= 2) {
        sync_block();
        if (worker.row < half) room[threadIdx.x] += room[threadIdx.x + half * r.row_step];
    }
    if (worker.active && worker.row == 0) {
        y[(worker.outer * r.chunks + worker.chunk) * r.inner + worker.at] = factor * room[threadIdx.x];
    }
}

// An element of a column and the row that it is in.
struct Element {
    float value;
    u32 row;
};

// Whether `a` is larger than `b`; what is not a number is larger than all.
DEVICE bool is_larger(float a, float b) { return a > b || (a != a && b == b); }

// y [outer, inner], the largest elements, and the first rows that they are in. The axis is one chunk, and every thread of a
// column has a row at least.
KERNEL(max_f32, THREADS)(const float* x, float* y, u32* rows, Reduction r) {
    __shared__ float values[THREADS];
    __shared__ u32 places[THREADS];
    Worker worker = worker_of<false>(r);
    const float* from = x + worker.outer * r.axis * r.inner + worker.at;
    Element most = {0.0f, worker.first};
    if (worker.active) most.value = from[worker.first * r.inner];
#pragma unroll 1
    for (u32 row = worker.first + r.height; row < worker.end; row += r.height) {
        float value = from[row * r.inner];
        if (is_larger(value, most.value)) most = {value, row};
    }
    values[threadIdx.x] = most.value, places[threadIdx.x] = most.row;
    for (u32 half = r.height / 2; half > 0; half /= 2) {
        sync_block();
        if (worker.row < half) {
            u32 partner = threadIdx.x + half * r.row_step;
            Element other = {values[partner], places[partner]};
            bool is_behind = is_larger(most.value, other.value) ||
                             (!is_larger(other.value, most.value) && most.row < other.row);
            if (!is_behind) most = other;
            values[threadIdx.x] = most.value, places[threadIdx.x] = most.row;
        }
    }
    if (worker.active && worker.row == 0) {
        u32 column = worker.outer * r.inner + worker.at;
        y[column] = most.value, rows[column] = most.row;
    }
}

// dx [outer, axis, inner]: upstream [outer, inner] in the rows of the largest elements, else zero.
KERNEL(max_gradient_f32, THREADS)
(const float* upstream, const u32* rows, float* dx, u32 axis, u32 inner, u32 count) {
    u32 index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= count) return;
    u32 above = index / inner, outer = above / axis;
    u32 column = outer * inner + index % inner;
    dx[index] = rows[column] == above % axis ? upstream[column] : 0.0f;
}
