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
    u32 rows_first;  // whether threads side by side take neighbouring rows
};

// Where a thread works.
struct Worker {
    bool active;         // there is such a column
    u32 outer, at;       // its column
    u32 chunk;
    u32 row;             // among the threads of the column
    u32 first, end;      // its rows: every height-th
    u32 step;            // from one thread of the column to the next
};

DEVICE Worker worker_of(const Reduction& r) {
    Worker worker;
    u32 x = r.rows_first ? threadIdx.x / r.height : threadIdx.x % r.width;
    u32 column = blockIdx.x / r.chunks * r.width + x;
    worker.active = column < r.columns;
    worker.outer = column / r.inner, worker.at = column % r.inner;
    worker.chunk = blockIdx.x % r.chunks;
    worker.row = r.rows_first ? threadIdx.x % r.height : threadIdx.x / r.width;
    worker.first = worker.chunk * r.chunk_rows + worker.row;
    worker.end = worker.active ? min(r.axis, (worker.chunk + 1) * r.chunk_rows) : 0;
    worker.step = r.rows_first ? 1 : r.width;
    return worker;
}

// y [outer, chunks, inner] = factor * sum over the rows of a chunk.
KERNEL(sum_f32, THREADS)(const float* x, float* y, Reduction r, float factor) {
    __shared__ float room[THREADS];
    Worker worker = worker_of(r);
    const float* from = x + worker.outer * r.axis * r.inner + worker.at;
    float sum = 0.0f;
#pragma unroll 4
    for (u32 row = worker.first; row < worker.end; row += r.height) sum += from[row * r.inner];
    room[threadIdx.x] = sum;
    for (u32 half = r.height / 2; half > 0; half /= 2) {
        sync_block();
        if (worker.row < half) room[threadIdx.x] += room[threadIdx.x + half * worker.step];
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

// Whether `a` is to be kept, and not `b`: the larger one, of equal ones the first; what is not a number is larger than all.
DEVICE bool leads(Element a, Element b) {
    bool a_lost = a.value != a.value, b_lost = b.value != b.value;
    if (a_lost != b_lost) return a_lost;
    return a.value > b.value || (!(b.value > a.value) && a.row < b.row);
}

// y [outer, inner], the largest elements, and the rows that they are in; the axis is one chunk.
KERNEL(max_f32, THREADS)(const float* x, float* y, u32* rows, Reduction r) {
    __shared__ float values[THREADS];
    __shared__ u32 places[THREADS];
    Worker worker = worker_of(r);
    const float* from = x + worker.outer * r.axis * r.inner + worker.at;
    Element most = {-__int_as_float(0x7f800000), 0xffffffffu};  // behind every element there is
#pragma unroll 4
    for (u32 row = worker.first; row < worker.end; row += r.height) {
        Element element = {from[row * r.inner], row};
        if (leads(element, most)) most = element;
    }
    values[threadIdx.x] = most.value, places[threadIdx.x] = most.row;
    for (u32 half = r.height / 2; half > 0; half /= 2) {
        sync_block();
        if (worker.row < half) {
            u32 partner = threadIdx.x + half * worker.step;
            Element other = {values[partner], places[partner]};
            if (leads(other, most)) most = other;
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
