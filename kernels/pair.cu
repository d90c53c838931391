// Functions of two values, element by element, float32, of which either may be repeated along some axes; and repetition
// alone.
//
// The output is [e0, e1, e2, e3]: neighbouring axes along which both operands go on alike are one. An operand has a stride
// for each axis, 0 where it is repeated; along the innermost one that is 0 or 1. Memory bound: where rows are whole packs,
// or there is a single row, a thread moves 16 bytes per access, otherwise an element. y may be a where that is not repeated.
#include "flat.cuh"

// The order of `code` in src/ops/broadcast/cuda.rs.
enum Function : u32 { FIRST, ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, SHARE, GREATER, LESS_OR_EQUAL };

struct Layout {
    u32 count;       // elements of the output
    u32 extents[4];  // outermost first
    u32 a[4];        // strides
    u32 b[4];
};

template <u32 WIDTH, typename F>
DEVICE void each(Pack<float, WIDTH>& a, const Pack<float, WIDTH>& b, F f) {
#pragma unroll
    for (u32 lane = 0; lane < WIDTH; lane++) a.at[lane] = f(a.at[lane], b.at[lane]);
}

// f(a, b) in place of a.
template <u32 WIDTH>
DEVICE void values(Pack<float, WIDTH>& a, const Pack<float, WIDTH>& b, u32 function) {
    switch (function) {
        case FIRST: return;
        case ADD: return each(a, b, [](float a, float b) { return a + b; });
        case SUBTRACT: return each(a, b, [](float a, float b) { return a - b; });
        case MULTIPLY: return each(a, b, [](float a, float b) { return a * b; });
        case DIVIDE: return each(a, b, [](float a, float b) { return a / b; });
        // What is not a number is the larger one.
        case MAXIMUM: return each(a, b, [](float a, float b) { return a > b || a != a ? a : b; });
        case SHARE: return each(a, b, [](float a, float b) { return a > b ? 1.0f : a == b ? 0.5f : 0.0f; });
        case GREATER: return each(a, b, [](float a, float b) { return a > b ? 1.0f : 0.0f; });
        case LESS_OR_EQUAL: return each(a, b, [](float a, float b) { return a <= b ? 1.0f : 0.0f; });
        default: __builtin_unreachable();
    }
}

// The first `elements` of a row's pack of an operand, or the one element that is repeated along the row.
DEVICE Pack<float, 1> load_operand(const float* from, u32, u32, Pack<float, 1>) { return {{*from}}; }
DEVICE Pack<float> load_operand(const float* from, u32 stride, u32 elements, Pack<float>) {
    if (stride != 0) return load_flat(from, elements);
    float x = *from;
    return {{x, x, x, x}};
}
DEVICE void store_result(float* to, const Pack<float, 1>& y, u32) { *to = y.at[0]; }
DEVICE void store_result(float* to, const Pack<float>& y, u32 elements) { store_flat(to, y, elements); }

template <u32 WIDTH>
DEVICE void pair(const float* a, const float* b, float* y, u32 function, const Layout& layout) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * WIDTH;
    if (start >= layout.count) return;
    u32 rest = start;
#pragma unroll
    for (int axis = 3; axis >= 0; axis--) {
        u32 outer = axis > 0 ? rest / layout.extents[axis] : 0;
        u32 at = rest - outer * layout.extents[axis];
        a += at * layout.a[axis], b += at * layout.b[axis];
        rest = outer;
    }
    // Less than a pack are only at the end of a single row.
    u32 elements = min(layout.count - start, WIDTH);
    Pack<float, WIDTH> first = load_operand(a, layout.a[3], elements, Pack<float, WIDTH>{});
    values(first, load_operand(b, layout.b[3], elements, Pack<float, WIDTH>{}), function);
    store_result(y + start, first, elements);
}

KERNEL(pair_packs_f32, 256)(const float* a, const float* b, float* y, u32 function, Layout layout) {
    pair<LANES<float>>(a, b, y, function, layout);
}
KERNEL(pair_f32, 256)(const float* a, const float* b, float* y, u32 function, Layout layout) {
    pair<1>(a, b, y, function, layout);
}
