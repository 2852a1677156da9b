// Drops the rows that leave: only maps change, no vector moves. Where it appends, the rows that
// stay come behind those that the next table has already.
//
// One block takes rows in chunks of its threads. Within a chunk the new place of a row is a prefix
// sum over rows, that of its tokens one over tokens; what was kept before is carried along.
#include "common.cuh"

#define THREADS 1024u
#define LANES 32u
#define WARPS (THREADS / LANES)

// Rows and their tokens.
struct Count {
    u32 rows;
    u32 tokens;
};

// The rows of a chunk that are kept.
struct Chunk {
    Count warps[WARPS];
    // First token before.
    u32 from[THREADS];
    // First token after, counted from the first of the chunk.
    u32 to[THREADS];
};

__device__ __forceinline__ u32 lane() { return threadIdx.x % LANES; }

// The sum of `v` over this lane and those below.
__device__ __forceinline__ u32 scan(u32 v) {
#pragma unroll
    for (u32 step = 1; step < LANES; step <<= 1) {
        const u32 below = __shfl_up_sync(ALL_LANES, v, step);
        v += lane() >= step ? below : 0;
    }
    return v;
}

// Kept rows and their tokens in threads below this one; `total`: in all threads.
__device__ __forceinline__ Count below(Chunk& chunk, bool keeps, u32 len, Count& total) {
    const u32 warp = threadIdx.x / LANES;
    const u32 kept = __ballot_sync(ALL_LANES, keeps);
    const u32 tokens = scan(len);
    if (lane() == LANES - 1)
        chunk.warps[warp] = {(u32)__popc(kept), tokens};
    __syncthreads();
    // Every warp sums up all of them: cheaper than waiting for one that does.
    const Count of_warp = chunk.warps[lane()];
    const Count sums = {scan(of_warp.rows), scan(of_warp.tokens)};
    total.rows = __shfl_sync(ALL_LANES, sums.rows, LANES - 1);
    total.tokens = __shfl_sync(ALL_LANES, sums.tokens, LANES - 1);
    const u32 rows_before = __shfl_sync(ALL_LANES, sums.rows - of_warp.rows, warp);
    const u32 tokens_before = __shfl_sync(ALL_LANES, sums.tokens - of_warp.tokens, warp);
    const u32 lower = (1u << lane()) - 1;
    return {rows_before + __popc(kept & lower), tokens_before + tokens - len};
}

// The last of the `rows` kept that begins at or before `token`.
__device__ __forceinline__ u32 row_of(const Chunk& chunk, u32 rows, u32 token) {
    u32 low = 0, high = rows;
    while (high - low > 1) {
        const u32 middle = (low + high) / 2;
        if (chunk.to[middle] <= token)
            low = middle;
        else
            high = middle;
    }
    return low;
}

extern "C" __global__ void __launch_bounds__(THREADS)
compact(const Live* live, const u32* offsets, const u32* slots, const u32* origin,
        const u32* local, Live* __restrict__ live_out, u32* __restrict__ offsets_out,
        u32* __restrict__ slots_out, u32* __restrict__ origin_out, u32* __restrict__ local_out,
        const RowState* states, u32 appends) {
    __shared__ Chunk chunk;
    wait_for_kernels();
    const u32 rows = live->rows;
    Count done = {0, 0};
    if (appends)
        done = {live_out->rows, live_out->tokens};
    for (u32 first = 0; first < rows; first += THREADS) {
        const u32 row = first + threadIdx.x;
        u32 slot = 0, from = 0, len = 0;
        bool keeps = false;
        if (row < rows) {
            slot = slots[row];
            from = offsets[row];
            keeps = !states[slot].answered || states[slot].stays;
            len = keeps ? offsets[row + 1] - from : 0;
        }
        Count total;
        const Count at = below(chunk, keeps, len, total);
        if (keeps) {
            chunk.from[at.rows] = from;
            chunk.to[at.rows] = at.tokens;
            slots_out[done.rows + at.rows] = slot;
            offsets_out[done.rows + at.rows] = done.tokens + at.tokens;
        }
        __syncthreads();
        // Threads take tokens, not rows: rows may be of any length.
        for (u32 t = threadIdx.x; t < total.tokens; t += THREADS) {
            const u32 kept = row_of(chunk, total.rows, t);
            const u32 token = chunk.from[kept] + (t - chunk.to[kept]);
            origin_out[done.tokens + t] = place(origin, token);
            local_out[done.tokens + t] = place(local, token);
        }
        // The barrier in `below` holds the next chunk back until all have read this one.
        done = {done.rows + total.rows, done.tokens + total.tokens};
    }
    // Behind the barrier in `below` all have read what was there; without rows it stays the same.
    if (threadIdx.x == 0) {
        offsets_out[done.rows] = done.tokens;
        *live_out = {done.rows, done.tokens};
    }
}
