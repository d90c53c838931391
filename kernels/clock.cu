// What changes from step to step, taken out of tables in memory: which images the batch holds, how many of them count,
// the step's number, the learning rate.
//
// One block. `cursor` holds the step within the tables and the number of the step in all; it is read by every thread and
// then moved on by the first, so that the next replay of the same launch finds the next step. A batch that reaches
// behind the last image is filled up with its own first image. `rates` may be null: an evaluation has none.
#include "prims.cuh"

constexpr u32 THREADS = 256;

KERNEL(clock_tick, THREADS)
(const u32* order, const float* rates, u32* cursor, u32* indices, u32* valid, u32* number, float* rate, u32 images,
 u32 batch) {
    u32 step = cursor[0], steps_done = cursor[1];
    sync_block();
    u32 start = step * batch, left = min(batch, images - start);
    for (u32 place = threadIdx.x; place < batch; place += THREADS) {
        indices[place] = order[start + (place < left ? place : 0)];
    }
    if (threadIdx.x == 0) {
        *valid = left;
        *number = steps_done;
        if (rates) *rate = rates[step];
        cursor[0] += 1;
        cursor[1] += 1;
    }
}
