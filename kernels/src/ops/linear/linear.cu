// Matrix product with its epilogue: out[t] = act(x[t] . W^T + bias) + residual[t].
//
// Every output is one chain of products over k in rising order, the same in every kernel, so a
// token's result depends neither on the tile nor on its place.
#include "linear/epilogue.cuh"

// What the launch gives, and the corner of the block's tile.
struct Product {
    const elem* x;
    const u32* x_map;
    const elem* weight;
    const float* bias;
    const elem* residual;
    const u32* residual_map;
    elem* out;
    const u32* out_map;
    const Live* live;
    u32 n;
    u32 k;
    u32 activation;
    // Of x if there are `sums`, else of the residual.
    MomentTable moments;
    // Over the columns of the weight.
    const float* sums;
    // Of the residual's norm.
    const float* scale;
    const float* shift;
    Moments64* out_moments;
    u32 token0;
    u32 column0;
    u32 tokens;

    static constexpr bool ACTIVATES_LAST = false;
    static constexpr bool TAKES_NORMS = true;

    __device__ __forceinline__ u32 normed_place(u32 token) const {
        return place(sums ? x_map : residual_map, token);
    }

    // Whether a token of the tile lives.
    __device__ __forceinline__ bool find_tokens() {
        tokens = live->tokens;
        return token0 < tokens;
    }

    __device__ __forceinline__ u32 out_place(u32 token) const { return place(out_map, token); }

    __device__ __forceinline__ u32 residual_place(u32 token) const {
        return place(residual_map, token);
    }
};

// Copies a thread's chunks of x and weight into the stages: one column of chunks, every
// `STEP`th row. Rows past the live tokens or past n, and columns past k, become zeros.
template <class S> struct Loader {
    static constexpr int STEP = S::THREADS / K_CHUNKS;
    static constexpr int TOKENS = S::TOKENS / STEP;
    static constexpr int OUTPUTS = S::COLUMNS / STEP;
    static constexpr bool COPIES_WEIGHTS = true;

    const elem* x[TOKENS];
    const elem* weight;
    u32 weight_step; // elements
    u32 live;        // rows of the stage, one bit each
    u32 column;      // the first
    int columns;     // from this thread's on
    u32 to;

    __device__ __forceinline__ Loader(const Product& p, u32 k_begin, u32 k_end) {
        const u32 row = threadIdx.x / K_CHUNKS;
        const u32 chunk = threadIdx.x % K_CHUNKS;
        column = k_begin + chunk * CHUNK;
        columns = (int)k_end - (int)column;
        to = shared_address(shared_bytes) + swizzled<K_CHUNKS>(row, chunk);
        live = 0;
        const u32 output = p.column0 + row;
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++)
            live |= (u32)(output + i * STEP < p.n) << (TOKENS + i);
        weight = p.weight + (u64)output * p.k + column;
        weight_step = STEP * p.k;
        keep(live);
        keep(to);
    }

    __device__ __forceinline__ void find_tokens(const Product& p) {
        const u32 row = threadIdx.x / K_CHUNKS;
#pragma unroll
        for (int i = 0; i < TOKENS; i++) {
            const u32 token = p.token0 + row + i * STEP;
            const bool lives = token < p.tokens;
            x[i] = p.x + (u64)(lives ? place(p.x_map, token) : 0) * p.k + column;
            live |= (u32)lives << i;
        }
        keep(live);
    }

    // Starts the copies of the weight's part of a stage, so many steps of k ahead.
    __device__ __forceinline__ void copy_weights(u32 stage, u32 ahead) const {
        const u32 first = to + stage * S::STAGE_BYTES + TOKENS * STEP * K_CHUNKS * CHUNK_BYTES;
        const u32 alive = columns > (int)(ahead * K_STEP) ? live : 0;
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++)
            copy_chunk(
                first + i * STEP * K_CHUNKS * CHUNK_BYTES,
                weight + ahead * K_STEP + (u64)i * weight_step, alive >> (TOKENS + i) & 1
            );
    }

    // Starts those of the tokens' part and goes on to the next step of k.
    __device__ __forceinline__ void copy_tokens(u32 stage) {
        const u32 first = to + stage * S::STAGE_BYTES;
        const u32 alive = columns > 0 ? live : 0;
#pragma unroll
        for (int i = 0; i < TOKENS; i++) {
            copy_chunk(first + i * STEP * K_CHUNKS * CHUNK_BYTES, x[i], alive >> i & 1);
            x[i] += K_STEP;
        }
        weight += K_STEP;
        columns -= K_STEP;
    }
};

// The sums of the tile over k_begin..k_end; false where no token of it lives.
template <class S>
__device__ __forceinline__ bool
accumulate(Product& p, u32 k_begin, u32 k_end, Sums<S>& sums) {
    Loader<S> loader(p, k_begin, k_end);
    const u32 steps = k_end > k_begin ? (k_end - k_begin + K_STEP - 1) / K_STEP : 0;
    if (!begin_tile<S>(p, loader, steps))
        return false;
    accumulate<S>(loader, steps, sums);
    return true;
}

#define PRODUCT_PARAMETERS                                                                        \
    const elem *x, const u32 *x_map, const elem *weight, const float *bias, const elem *residual, \
        const u32 *residual_map, elem *out, const u32 *out_map, const Live *live, u32 n, u32 k,   \
        u32 activation

#define NORM_PARAMETERS                                                                          \
    const Moments64 *moments, float eps, const float *sums, const float *scale,                  \
        const float *shift, Moments64 *out_moments

#define PRODUCT                                                                                  \
    {                                                                                            \
        x, x_map, weight, bias, residual, residual_map, out, out_map, live, n, k, activation,    \
            {moments, sums ? k : n, eps}, sums, scale, shift, out_moments, 0, 0, 0               \
    }

// Makes one tile.
template <class S> __device__ __forceinline__ void make_tile(Product& p) {
    p.token0 = blockIdx.y * S::TOKENS;
    p.column0 = blockIdx.x * S::COLUMNS;
    Sums<S> sums;
    if (accumulate<S>(p, 0, p.k, sums))
        finish<S>(p, sums);
}

extern "C" __global__ void __launch_bounds__(Broad::THREADS, 1)
linear_broad(PRODUCT_PARAMETERS, NORM_PARAMETERS) {
    Product p = PRODUCT;
    make_tile<Broad>(p);
}

extern "C" __global__ void __launch_bounds__(Wide::THREADS, 2)
linear_wide(PRODUCT_PARAMETERS, NORM_PARAMETERS) {
    Product p = PRODUCT;
    make_tile<Wide>(p);
}

// A block's part of `partial`: [share][tile], each tile as its threads hold it, four sums of each
// thread side by side, so that warps read and write whole lines. Dead tokens are left out.
struct Shares {
    float4* mine;
    u64 stride;
    u32 token;
    u32 tokens;

    __device__ __forceinline__ Shares(const Product& p, float* partial) {
        const u32 tile = blockIdx.y * gridDim.x + blockIdx.x;
        mine = (float4*)partial + (u64)tile * (Few::TOKENS * Few::COLUMNS / 4) + threadIdx.x;
        stride = (u64)gridDim.x * gridDim.y * (Few::TOKENS * Few::COLUMNS / 4);
        token = p.token0 + warp_token<Few>() + threadIdx.x % 32 / 4;
        tokens = p.tokens;
    }

    __device__ __forceinline__ void write(const Sums<Few>& sums, u32 share) const {
#pragma unroll
        for (int i = 0; i < Few::STRIPES * 4; i++) {
            const float* four = sums.at[i / 4][i % 4];
            if (token + i / 4 * 16 < tokens)
                mine[share * stride + i * Few::THREADS] =
                    make_float4(four[0], four[1], four[2], four[3]);
        }
    }

    __device__ __forceinline__ void add(Sums<Few>& sums, u32 share) const {
#pragma unroll
        for (int i = 0; i < Few::STRIPES * 4; i++) {
            float* four = sums.at[i / 4][i % 4];
            if (token + i / 4 * 16 >= tokens)
                continue;
            const float4 added = __ldcg(mine + share * stride + i * Few::THREADS);
            four[0] += added.x;
            four[1] += added.y;
            four[2] += added.z;
            four[3] += added.w;
        }
    }
};

// Adds one, and orders it among the additions of other blocks: what this block wrote before is
// there for whoever counts after it.
__device__ __forceinline__ u32 count_up(u32* count) {
    u32 before;
    asm volatile("atom.add.acq_rel.gpu.global.u32 %0, [%1], 1;"
                 : "=r"(before)
                 : "l"(__cvta_generic_to_global(count))
                 : "memory");
    return before;
}

// Whether this block is the last of its tile, in which case it sees what the others wrote. The
// count is put back for the next launch. One thread speaks for the block: the barriers carry what
// the others wrote to it, and what it has seen to the others.
__device__ __forceinline__ bool arrive_last(u32* arrivals, u32 splits) {
    u32* last = (u32*)shared_bytes;
    __syncthreads();
    if (threadIdx.x == 0) {
        u32* count = arrivals + blockIdx.y * gridDim.x + blockIdx.x;
        *last = count_up(count) == splits - 1;
        if (*last)
            *count = 0;
    }
    __syncthreads();
    return *last;
}

// With few tokens there are too few tiles to fill the device: blocks share the k of a tile. The
// last to come adds the shares in their order, whoever it is.
extern "C" __global__ void __launch_bounds__(Few::THREADS, 3)
linear_few(PRODUCT_PARAMETERS, NORM_PARAMETERS, float* partial, u32* arrivals, u32 splits) {
    Product p = PRODUCT;
    p.token0 = blockIdx.y * Few::TOKENS;
    p.column0 = blockIdx.x * Few::COLUMNS;
    const u32 steps = (k + K_STEP - 1) / K_STEP, share = blockIdx.z;
    const u32 k_begin = steps * share / splits * K_STEP;
    const u32 k_end = min(k, steps * (share + 1) / splits * K_STEP);
    Sums<Few> tile;
    if (!accumulate<Few>(p, k_begin, k_end, tile))
        return;
    if (splits > 1) {
        const Shares shares(p, partial);
        shares.write(tile, share);
        if (!arrive_last(arrivals, splits))
            return;
        tile = Sums<Few>();
        for (u32 z = 0; z < splits; z++)
            shares.add(tile, z);
        // The stages held the word that this block is the last.
        __syncthreads();
    }
    finish<Few>(p, tile);
}

#define ANY_TILE 16
#define ANY_STEP 32

// Puts `ANY_TILE` rows of a step of k into shared memory as f32, zeros past their ends.
__device__ __forceinline__ void load_any(
    float (&tile)[ANY_TILE][ANY_STEP + 1],
    const elem* from,
    const u32* map,
    u32 row0,
    u32 rows,
    u32 k0,
    u32 k
) {
    for (u32 i = threadIdx.x; i < ANY_TILE * ANY_STEP; i += ANY_TILE * ANY_TILE) {
        const u32 row = row0 + i / ANY_STEP, column = k0 + i % ANY_STEP;
        const bool live = row < rows && column < k;
        tile[i / ANY_STEP][i % ANY_STEP] =
            live ? to_float(from[(u64)place(map, row) * k + column]) : 0.0f;
    }
}

// No tensor cores, no conditions but that norms are ops of their own: a thread makes one output.
extern "C" __global__ void __launch_bounds__(ANY_TILE * ANY_TILE)
linear_any(PRODUCT_PARAMETERS) {
    __shared__ float x_tile[ANY_TILE][ANY_STEP + 1];
    __shared__ float weight_tile[ANY_TILE][ANY_STEP + 1];
    wait_for_kernels();
    const u32 token0 = blockIdx.y * ANY_TILE, column0 = blockIdx.x * ANY_TILE;
    const u32 tokens = live->tokens;
    if (token0 >= tokens)
        return;
    const u32 down = threadIdx.x / ANY_TILE, across = threadIdx.x % ANY_TILE;
    const u32 token = token0 + down, column = column0 + across;
    float sum = 0.0f;
    for (u32 k0 = 0; k0 < k; k0 += ANY_STEP) {
        load_any(x_tile, x, x_map, token0, tokens, k0, k);
        load_any(weight_tile, weight, nullptr, column0, n, k0, k);
        __syncthreads();
#pragma unroll 8
        for (int i = 0; i < ANY_STEP; i++)
            sum = fmaf(x_tile[down][i], weight_tile[across][i], sum);
        __syncthreads();
    }
    if (token >= tokens || column >= n)
        return;
    float value = activate(sum + bias[column], activation);
    if (residual)
        value += to_float(residual[(u64)place(residual_map, token) * n + column]);
    out[(u64)place(out_map, token) * n + column] = to_elem(value);
}
