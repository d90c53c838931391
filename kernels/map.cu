// Functions of one number, element by element, float32: y = f(x), and dx = upstream f'(x) [+ addend].
//
// Memory bound: 16 bytes per thread and access. The function is the same for all threads of a launch and chosen once per
// pack. The accurate functions of the CUDA library do the work; they are long, so a pack's elements take turns at one copy of
// each. y may be x, and dx may be upstream.
#include "flat.cuh"

// The order of `code` in src/ops/map/cuda.rs.
enum Function : u32 {
    EXP,
    LOG,
    SQRT,
    SQUARE,
    ABS,
    SIGMOID,
    TANH,
    SOFTPLUS,
    SMOOTH_L1,
    RECIPROCAL,
    AFFINE,
    AT_LEAST,
    ABOVE,
};

DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// x^2 / 2, or |x| - 1/2 from 1 on.
DEVICE float smooth_l1(float x) {
    float size = fabsf(x), within = fminf(size, 1.0f);
    return within * (size - 0.5f * within);
}

// x within the bound, 1 above, -1 below. What is not a number stays so.
DEVICE float clamped(float x, float bound) { return x > bound ? 1.0f : x < -bound ? -1.0f : x; }

// f of every element: the first one is taken and put back behind the last, as often as there are elements.
template <typename F>
DEVICE void each(Pack<float>& pack, F f) {
#pragma unroll 1
    for (u32 turn = 0; turn < LANES<float>; turn++) pack = {{pack.at[1], pack.at[2], pack.at[3], f(pack.at[0])}};
}

// f(x) in place of x; `first` and `second` are scale and shift, or the constant that is compared with.
DEVICE void values(Pack<float>& pack, u32 function, float first, float second) {
    switch (function) {
        case EXP: return each(pack, [](float x) { return expf(x); });
        case LOG: return each(pack, [](float x) { return logf(x); });
        case SQRT: return each(pack, [](float x) { return sqrtf(x); });
        case SQUARE: return each(pack, [](float x) { return x * x; });
        case ABS: return each(pack, [](float x) { return fabsf(x); });
        case SIGMOID: return each(pack, [](float x) { return sigmoid(x); });
        case TANH: return each(pack, [](float x) { return tanhf(x); });
        case SOFTPLUS: return each(pack, [](float x) { return (0.0f > x ? 0.0f : x) + log1pf(expf(-fabsf(x))); });
        case SMOOTH_L1: return each(pack, [](float x) { return smooth_l1(x); });
        case RECIPROCAL: return each(pack, [](float x) { return 1.0f / x; });
        case AFFINE: return each(pack, [=](float x) { return fmaf(first, x, second); });
        case AT_LEAST: return each(pack, [=](float x) { return x < first ? first : x; });
        case ABOVE: return each(pack, [=](float x) { return x > first ? 1.0f : 0.0f; });
        default: __builtin_unreachable();
    }
}

// f'(x) in place of x, or of y where that takes less.
DEVICE void slopes(Pack<float>& pack, u32 function, float first) {
    switch (function) {
        case EXP: return;
        case LOG: return each(pack, [](float x) { return 1.0f / x; });
        case SQRT: return each(pack, [](float y) { return 0.5f / y; });
        case SQUARE: return each(pack, [](float x) { return x + x; });
        case ABS: return each(pack, [](float x) { return clamped(x, 0.0f); });
        case SIGMOID: return each(pack, [](float y) { return y * (1.0f - y); });
        case TANH: return each(pack, [](float y) { return 1.0f - y * y; });
        case SOFTPLUS: return each(pack, [](float x) { return sigmoid(x); });
        case SMOOTH_L1: return each(pack, [](float x) { return clamped(x, 1.0f); });
        case RECIPROCAL: return each(pack, [](float y) { return -y * y; });
        case AT_LEAST: return each(pack, [=](float x) { return x > first ? 1.0f : 0.0f; });
        default: __builtin_unreachable();
    }
}

KERNEL(map_f32, 256)(const float* x, float* y, u32 function, float first, float second, u32 count) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<float>;
    if (start >= count) return;
    u32 elements = min(count - start, LANES<float>);
    Pack<float> pack = load_flat(x + start, elements);
    values(pack, function, first, second);
    store_flat(y + start, pack, elements);
}

// `addend` is null or as long as the others. Where nothing flows in, nothing flows out, however steep the function is.
KERNEL(map_gradient_f32, 256)
(const float* upstream, const float* source, const float* addend, float* dx, u32 function, float first, u32 count) {
    u32 start = (blockIdx.x * blockDim.x + threadIdx.x) * LANES<float>;
    if (start >= count) return;
    u32 elements = min(count - start, LANES<float>);
    Pack<float> flow = load_flat(upstream + start, elements), slope = load_flat(source + start, elements);
    Pack<float> added = {};
    if (addend != nullptr) added = load_flat(addend + start, elements);
    slopes(slope, function, first);
#pragma unroll
    for (u32 lane = 0; lane < LANES<float>; lane++) {
        float own = flow.at[lane] == 0.0f ? 0.0f : flow.at[lane] * slope.at[lane];
        flow.at[lane] = own + added.at[lane];
    }
    store_flat(dx + start, flow, elements);
}
