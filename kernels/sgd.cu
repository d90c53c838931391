// Stochastic gradient descent over all parameters in one launch (torch.optim.SGD):
//   g = gradient + weight_decay * w;  v = momentum * v + g;  w = w - rate * (nesterov ? g + momentum * v : v)
//
// A block takes one piece of PIECE elements, or what is left of its parameter: `pieces` says of which parameter and
// from where on. Memory bound: 16 bytes per thread and access, the elements behind the last whole pack one by one.
// The fused multiply-adds are those of the CPU, so both round alike. `broken` keeps the first step, counted from 1, whose
// loss or after which a weight was not finite.
#include "prims.cuh"

struct Parameter {
    float* weight;
    float* velocity;
    const float* gradient;
    u64 count;
};

struct Piece {
    u32 parameter, start;
};

constexpr u32 THREADS = 256;
constexpr u32 PIECE = 4096;

KERNEL(sgd_f32, THREADS)
(const Parameter* parameters, const Piece* pieces, const float* rate, const float* loss, const u32* number, u32* broken,
 float weight_decay, float momentum, u32 nesterov) {
    Piece piece = pieces[blockIdx.x];
    Parameter parameter = parameters[piece.parameter];
    u32 end = min(u32(parameter.count), piece.start + PIECE);
    float step = -*rate;
    bool finite = *loss - *loss == 0;  // zero for a finite number, not a number otherwise
    auto update = [&](float& weight, float& velocity, float gradient) {
        gradient = fmaf(weight_decay, weight, gradient);
        velocity = fmaf(momentum, velocity, gradient);
        weight = fmaf(step, nesterov ? fmaf(momentum, velocity, gradient) : velocity, weight);
        finite &= weight - weight == 0;
    };
    for (u32 start = piece.start + threadIdx.x * LANES<float>; start < end; start += THREADS * LANES<float>) {
        if (start + LANES<float> <= end) {
            Pack<float> weight = load_pack(parameter.weight + start), velocity = load_pack(parameter.velocity + start);
            Pack<float> gradient = load_pack(parameter.gradient + start);
#pragma unroll
            for (u32 lane = 0; lane < LANES<float>; lane++) {
                update(weight.at[lane], velocity.at[lane], gradient.at[lane]);
            }
            store_pack(parameter.weight + start, weight);
            store_pack(parameter.velocity + start, velocity);
        } else {
#pragma unroll 1
            for (u32 index = start; index < end; index++) {
                update(parameter.weight[index], parameter.velocity[index], parameter.gradient[index]);
            }
        }
    }
    if (!finite) keep_first(broken, *number + 1);
}
