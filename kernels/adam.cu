// Adam over all parameters in one launch (torch.optim.Adam), and before it a launch that counts the step t:
//   g = gradient + weight_decay * w;  m = m + (1 - beta1) (g - m);  v = beta2 * v + (1 - beta2) * g * g
//   w = w - rate / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
//
// A block takes one piece of PIECE elements, or what is left of its parameter, as in sgd.cu. Memory bound: 16 bytes per
// thread and access, the elements behind the last whole pack one by one. `broken` keeps the first step, counted from 1,
// whose loss or after which a weight was not finite.
#include "prims.cuh"

struct Parameter {
    float* weight;
    float* first;
    float* second;
    const float* gradient;
    u64 count;
};

struct Piece {
    u32 parameter, start;
};

struct Options {
    float weight_decay, take_first, keep_second, take_second, epsilon;
};

constexpr u32 THREADS = 256;
constexpr u32 PIECE = 4096;

// beta^step for a step from 1 on, by squaring, at most 64 products: f64 leaves far more than float32 holds of it.
DEVICE double power(double beta, u32 step) {
    double product = 1;
#pragma unroll 1
    do {
        if (step % 2) product *= beta;
        beta *= beta;
    } while (step /= 2);
    return product;
}

// One thread. `corrections` becomes rate / (1 - beta1^t) and 1 / sqrt(1 - beta2^t).
KERNEL(adam_step_f32, 32)(const float* rate, float* corrections, u32* steps, double beta1, double beta2) {
    u32 step = *steps;
    if (step < 0xffffffff) step++;
    *steps = step;
    corrections[0] = float(*rate / (1 - power(beta1, step)));
    corrections[1] = float(1 / sqrt(1 - power(beta2, step)));
}

KERNEL(adam_f32, THREADS)
(const Parameter* parameters, const Piece* pieces, const float* corrections, const float* loss, const u32* number,
 u32* broken, Options options) {
    Piece piece = pieces[blockIdx.x];
    Parameter parameter = parameters[piece.parameter];
    u32 end = min(u32(parameter.count), piece.start + PIECE);
    float step = corrections[0], scale = corrections[1];
    bool finite = *loss - *loss == 0;  // zero for a finite number, not a number otherwise
    auto update = [&](float& weight, float& first, float& second, float gradient) {
        gradient = fmaf(options.weight_decay, weight, gradient);
        first = fmaf(options.take_first, gradient - first, first);
        second = fmaf(options.keep_second, second, options.take_second * gradient * gradient);
        weight -= step * (first / (sqrtf(second) * scale + options.epsilon));
        finite &= weight - weight == 0;
    };
    for (u32 start = piece.start + threadIdx.x * LANES<float>; start < end; start += THREADS * LANES<float>) {
        if (start + LANES<float> <= end) {
            Pack<float> weight = load_pack(parameter.weight + start), gradient = load_pack(parameter.gradient + start);
            Pack<float> first = load_pack(parameter.first + start), second = load_pack(parameter.second + start);
#pragma unroll
            for (u32 lane = 0; lane < LANES<float>; lane++) {
                update(weight.at[lane], first.at[lane], second.at[lane], gradient.at[lane]);
            }
            store_pack(parameter.weight + start, weight);
            store_pack(parameter.first + start, first);
            store_pack(parameter.second + start, second);
        } else {
#pragma unroll 1
            for (u32 index = start; index < end; index++) {
                update(parameter.weight[index], parameter.first[index], parameter.second[index], parameter.gradient[index]);
            }
        }
    }
    if (!finite) keep_first(broken, *number + 1);
}
