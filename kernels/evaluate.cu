// Counters of a classifier over the first `valid` rows of logits [rows, classes] float32, with u32 labels [rows].
//
// The first kernel has a warp for each row: its cross-entropy, and how many classes come before the label's (equal
// logits rank by class; a label's logit that is not a number comes last). The second has a warp for each class and one
// for the batch, so every counter has one writer and its sum a fixed order. Counters (f64, state): images, loss, hits,
// hits among the first five, hits per class, images per class.
#include "rows.cuh"

KERNEL(evaluate_rows_f32, ROW_THREADS)
(const float* logits, const u32* labels, const u32* valid, float* losses, u32* ranks, u32 rows, u32 classes) {
    u32 row = warp_index();
    if (row >= min(rows, *valid)) return;
    logits += row * classes;
    u32 label = labels[row];
    float own = logits[label];
    u32 rank = 0;
    for (u32 c = lane_index(); c < classes; c += WARP) {
        float z = logits[c];
        rank += c != label && !(own > z || (own == z && label < c));
    }
    rank = warp_sum(rank);
    float loss = row_softmax(logits, classes, 1).surprise(own);
    if (lane_index() == 0) losses[row] = loss, ranks[row] = rank;
}

KERNEL(evaluate_counters, ROW_THREADS)
(const float* losses, const u32* ranks, const u32* labels, const u32* valid, double* counters, u32 rows, u32 classes) {
    u32 class_index = warp_index();
    rows = min(rows, *valid);
    if (class_index < classes) {
        u32 hits = 0, images = 0;
        for (u32 row = lane_index(); row < rows; row += WARP) {
            bool is_own = labels[row] == class_index;
            images += is_own;
            hits += is_own && ranks[row] == 0;
        }
        hits = warp_sum(hits), images = warp_sum(images);
        if (lane_index() == 0) {
            counters[4 + class_index] += hits;
            counters[4 + classes + class_index] += images;
        }
    } else if (class_index == classes) {
        double loss = 0;
        u32 first = 0, first_five = 0;
        for (u32 row = lane_index(); row < rows; row += WARP) {
            loss += losses[row];
            first += ranks[row] == 0;
            first_five += ranks[row] < 5;
        }
        loss = warp_sum(loss), first = warp_sum(first), first_five = warp_sum(first_five);
        if (lane_index() == 0) {
            counters[0] += rows;
            counters[1] += loss;
            counters[2] += first;
            counters[3] += first_five;
        }
    }
}
