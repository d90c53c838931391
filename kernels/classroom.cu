// The fused ClassroomKD loss (`src/ops/classroom`): ranks of all networks over the batch, filter, temperatures, every
// loss and the student's logit gradient. N networks of which M = N - 1 are mentors: logits [rows, classes] float32
// each, `logits` a table of N pointers, the student first; labels [rows] u32.
//
// Two launches, nothing goes to the host. `classroom_ranks_f32` (blocks: x rows, y networks) leaves the softmax of
// every row at T = 1, and of every block its part of the ranks' sums. `classroom_loss_f32` (blocks: x rows): each
// warp adds up those parts, all in one order and so with one result, settles who stands where, and takes its rows:
// losses and gradient. The losses' parts meet in the block that finishes last; it adds them in the order of blocks,
// so which one it is does not show. A warp takes every (gridDim.x * ROW_WARPS)-th row.
#include "standing.cuh"

// `softmaxes` [N, rows]. `parts` [2N - 1, gridDim.x]: of every network the sum over the block's rows of ln p(y), or
// of p(y) (ordinal); then of every mentor that of the product of its DTKD temperatures. `ticket` becomes zero for the
// other kernel.
KERNEL(classroom_ranks_f32, ROW_THREADS)
(const float* const* logits, const u32* labels, Softmax* softmaxes, double* parts, u32* ticket, Classroom of,
 float tau) {
    __shared__ double sums[ROW_WARPS], products[ROW_WARPS];
    u32 network = blockIdx.y, warp = threadIdx.x / WARP;
    double sum = 0, product = 0;
    for (u32 row = warp_index(); row < of.rows; row += gridDim.x * ROW_WARPS) {
        const float* z = logits[network] + row * of.classes;
        Softmax softmax = row_softmax(z, of.classes, 1);
        double logarithm = -softmax.surprise(z[labels[row]]);
        sum += of.ordinal ? exp(logarithm) : logarithm;
        if (of.sharpness && network > 0) {
            Sharpness temperatures(tau, row_most(logits[0] + row * of.classes, of.classes), softmax.most);
            product += double(temperatures.for_mentor) * temperatures.for_student;
        }
        if (lane_index() == 0) softmaxes[network * of.rows + row] = softmax;
    }
    if (lane_index() == 0) sums[warp] = sum, products[warp] = product;
    sync_block();
    if (threadIdx.x == 0) {
        for (u32 other = 1; other < ROW_WARPS; other++) sum += sums[other], product += products[other];
        parts[network * gridDim.x + blockIdx.x] = sum;
        if (network > 0) parts[(of.mentors + network) * gridDim.x + blockIdx.x] = product;
        if (network == 0 && blockIdx.x == 0) *ticket = 0;
    }
}

// `totals` [Q, gridDim.x] with the Q = 2N + 2M numbers that the batch shows, summed over a block's rows: terms [N],
// weights [N], temperatures [M], active [M]. Shared memory per warp: a standing, M products, Q sums. `share` is 1 /
// rows.
KERNEL(classroom_loss_f32, ROW_THREADS, 4)
(const float* const* logits, const u32* labels, const Softmax* softmaxes, const double* parts, double* totals,
 u32* ticket, float* loss, float* d_logits, float* terms, float* ranks, float* weights, float* temperatures,
 float* active, Classroom of, double tau, double digits, double share) {
    extern __shared__ double memory[];
    u32 mentors = of.mentors, networks = 1 + mentors, quantities = 2 * (networks + mentors);
    u32 lane = lane_index(), warp = threadIdx.x / WARP;
    u32 stride = 2 * networks + 4 * mentors + quantities;
    Standing standing(memory + warp * stride, mentors);
    double* products = standing.end(mentors);
    double* sums = products + mentors;

    // The batch's ranks: geometric means of true-class probabilities, or the arithmetic ones of the older version.
    for (u32 n = 0; n < networks; n++) {
        double mean = column_sum(parts + n * gridDim.x, gridDim.x) * share;
        double rank = of.ordinal ? mean : exp(mean);
        if (lane == n % WARP) standing.ranks[n] = rank;
        if (threadIdx.x == 0 && blockIdx.x == 0) ranks[n] = float(rank);
    }
    for (u32 m = 0; m < mentors; m++) {
        double mean = column_sum(parts + (networks + m) * gridDim.x, gridDim.x) * share;
        if (lane == 0) products[m] = mean;
    }
    for (u32 q = lane; q < quantities; q += WARP) sums[q] = 0;

    double own_weight = 0;
    for (u32 row = warp_index(); row < of.rows; row += gridDim.x * ROW_WARPS) {
        const float* student = logits[0] + row * of.classes;
        float* gradient = d_logits + row * of.classes;
        u32 label = labels[row];
        if (of.per_sample) {
            for (u32 n = lane; n < networks; n += WARP) {
                float z = logits[n][row * of.classes + label];
                standing.ranks[n] = exp(-double(softmaxes[n * of.rows + row].surprise(z)));
            }
        }
        if (of.per_sample || row == warp_index()) own_weight = standing.settle(of, tau, digits);
        Softmax own = softmaxes[row];
        float own_slope = float(own_weight * share);
        for (u32 c = lane; c < of.classes; c += WARP) {
            gradient[c] = own_slope * (own.probability(student[c]) - (c == label ? 1.0f : 0.0f));
        }
        if (lane == 0) sums[0] += own_weight * own.surprise(student[label]);
        for (u32 comparison = 0; comparison < mentors + of.extra; comparison++) {
            bool again = comparison >= mentors;  // once more, at T = 1
            u32 m = again ? comparison - mentors : comparison;
            const float* mentor = logits[1 + m] + row * of.classes;
            float mentor_most = softmaxes[(1 + m) * of.rows + row].most;
            double factor = again ? 1 : standing.factors[m];
            if (!(factor > 0)) continue;
            float for_mentor = again ? 1 : float(standing.temperatures[m]), for_student = for_mentor;
            if (of.sharpness && !again) {
                Sharpness by_logits(float(tau), own.most, mentor_most);
                for_mentor = by_logits.for_mentor, for_student = by_logits.for_student;
                factor *= products[m];
            }
            Softmax by_student = row_softmax(student, of.classes, own.most, 1 / for_student);
            Softmax by_mentor = row_softmax(mentor, of.classes, mentor_most, 1 / for_mentor);
            float slope = float(factor * share) / for_student;
            double divergence =
                row_divergence<true>(student, by_student, mentor, by_mentor, of.classes, slope, gradient);
            sync_warp();
            if (lane == 0) {
                sums[1 + m] += factor * divergence;
                if (of.sharpness && !again) standing.temperatures[m] = for_mentor;
            }
        }
        sync_warp();
        for (u32 q = networks + lane; q < quantities; q += WARP) sums[q] += standing.weights[q - networks];
    }

    __shared__ u32 finished_before;
    sync_block();
    for (u32 q = threadIdx.x; q < quantities; q += ROW_THREADS) {
        double sum = 0;
        for (u32 other = 0; other < ROW_WARPS; other++) sum += sums[(other - warp) * stride + q];
        totals[q * gridDim.x + blockIdx.x] = sum;
    }
    sync_block();
    if (threadIdx.x == 0) finished_before = draw_ticket(ticket);
    sync_block();
    if (finished_before + 1 < gridDim.x) return;

    // The last block: every part is there.
    for (u32 q = warp; q < quantities; q += ROW_WARPS) {
        double mean = column_sum(totals + q * gridDim.x, gridDim.x) * share;
        if (lane > 0) continue;
        memory[q] = mean;
        if (q < networks) {
            terms[q] = float(mean);
        } else if (q < 2 * networks) {
            weights[q - networks] = float(mean);
        } else if (q < 2 * networks + mentors) {
            temperatures[q - 2 * networks] = float(mean);
        } else {
            active[q - 2 * networks - mentors] = float(mean);
        }
    }
    sync_block();
    if (threadIdx.x == 0) {
        double total = 0;
        for (u32 n = 0; n < networks; n++) total += memory[n];
        *loss = float(total);
    }
}
