// Keeps the first token of every row: only maps change, no vector moves.
#include "common.cuh"

#define THREADS 256u

extern "C" __global__ void __launch_bounds__(THREADS)
narrow(const Live* live, const u32* offsets, const u32* slots, const u32* origin,
       const u32* local, Live* __restrict__ live_out, u32* __restrict__ offsets_out,
       u32* __restrict__ slots_out, u32* __restrict__ origin_out, u32* __restrict__ local_out) {
    wait_for_kernels();
    const u32 row = blockIdx.x * THREADS + threadIdx.x;
    const u32 rows = live->rows;
    if (row > rows)
        return;
    offsets_out[row] = row;
    if (row == 0)
        *live_out = {rows, rows};
    if (row == rows)
        return;
    const u32 token = offsets[row];
    slots_out[row] = slots[row];
    origin_out[row] = place(origin, token);
    local_out[row] = place(local, token);
}
