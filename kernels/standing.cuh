// Who stands where in the classroom: from ranks to weights, filter and temperatures
// (`src/ops/classroom/standing.rs`). A few numbers per batch or sample, in f64, by one warp in its own shared memory:
// lane l takes networks l, l + 32, ...
#pragma once

#include "rows.cuh"

// The operation's options; flags are 0 or 1.
struct Classroom {
    u32 rows, classes, mentors;
    u32 asking;       // 0: every weight, temperature and factor is 1
    u32 ordinal;      // weights by order of ranks, not by share
    u32 adaptive;     // temperatures rise with the gap
    u32 per_sample;   // ranks of each sample, not of the batch
    u32 sharpness;    // temperatures from the largest logits (DTKD)
    u32 homogeneous;  // (1 + r_S) CE
    u32 extra;        // mentors, from the first, that are compared once more at T = 1
};

// Network 0 is the student; mentor m is network m + 1. What the batch shows of it stands side by side: weights,
// temperatures, active.
struct Standing {
    double* weights;       // [1 + M]
    double* temperatures;  // [M], 1 where not active
    double* active;        // [M]: 1 where asked
    double* factors;       // [M]: of the divergence, zero where not active
    double* ranks;         // [1 + M]

    DEVICE Standing(double* memory, u32 mentors)
        : weights(memory),
          temperatures(weights + 1 + mentors),
          active(temperatures + mentors),
          factors(active + mentors),
          ranks(factors + mentors) {}

    // The memory behind it.
    DEVICE double* end(u32 mentors) const { return ranks + 1 + mentors; }

    // Fills in everything from the ranks; returns the weight of the student's cross-entropy.
    DEVICE double settle(const Classroom& of, double tau, double digits) {
        sync_warp();
        u32 networks = 1 + of.mentors;
        double sum = 0;
        for (u32 n = 0; n < networks; n++) sum += ranks[n];
        for (u32 n = lane_index(); n < networks; n += WARP) {
            weights[n] = 1;
            if (of.asking) weights[n] = of.ordinal ? weight_by_order(n, networks) : weight_by_share(n, sum, digits, of);
        }
        sync_warp();
        double own = weights[0];
        for (u32 m = lane_index(); m < of.mentors; m += WARP) {
            double weight = weights[1 + m], temperature = 1, factor = 1;
            bool is_active = true;
            if (of.asking && of.ordinal) {
                is_active = ranks[1 + m] > ranks[0];
                double rise = tau * (of.adaptive ? fabs(weight - own) : 0.1);
                temperature += rise;
                factor = weight * rise * rise;
            } else if (of.asking) {
                is_active = weight >= own;
                // Weights of zero: nobody knows anything, so there is no gap.
                if (of.adaptive && weight > 0) temperature += tau * (1 - own / weight);
                factor = weight * temperature * temperature;
            }
            temperatures[m] = is_active ? temperature : 1;
            factors[m] = is_active ? factor : 0;
            active[m] = is_active;
        }
        sync_warp();
        return of.asking ? ranks[0] + of.homogeneous : 1;
    }

   private:
    // The share of the sum of ranks, rounded to decimal digits (`digits` is 10^digits; 0: not rounded), halves to
    // even.
    DEVICE double weight_by_share(u32 network, double sum, double digits, const Classroom& of) const {
        double share = sum > 0 ? ranks[network] / sum : 0;
        if (digits > 0) share = rint(share * digits) / digits;
        return share * of.mentors;
    }

    // The k-th from below weighs k / 10; of equal ranks the first is below.
    DEVICE double weight_by_order(u32 network, u32 networks) const {
        double own = ranks[network];
        u32 below = 0;
        for (u32 n = 0; n < networks; n++) below += ranks[n] < own || (ranks[n] == own && n < network);
        return (1 + below) / 10.0;
    }
};

// The DTKD temperatures of one sample from the largest logits of both.
struct Sharpness {
    float for_mentor, for_student;

    DEVICE Sharpness(float tau, float student, float mentor) {
        // Early in training a largest logit may be negative; a temperature must stay positive.
        student = fmaxf(student, 1e-3f), mentor = fmaxf(mentor, 1e-3f);
        float scale = 2 * tau / (student + mentor);
        for_mentor = scale * student, for_student = scale * mentor;
    }
};
