// Matrix product with its epilogue: out[t] = act(x[t] . W^T + bias) + residual[t].
//
// `accumulate` fills a block's tile of sums on the tensor cores, `finish` turns sums into outputs
// by way of shared memory. Between them the tile is f32 in registers, so another way to multiply
// needs to replace only the first. Every output is one chain of products over k in rising order,
// the same in every kernel, so a token's result depends neither on the tile nor on its place.
#include "mma.cuh"

// Elements of k that a stage holds of every row: 128 bytes, so that a row fills all banks.
#define K_STEP 64
#define K_CHUNKS (K_STEP / CHUNK)

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
    u32 tokens;
    u32 n;
    u32 k;
    u32 activation;
    u32 token0;
    u32 column0;
};

// A block's tile: `TOKENS` x `COLUMNS` sums, of which each warp makes `STRIPES` x 16 tokens by
// 32 columns.
template <int TOKENS_, int COLUMNS_, int STRIPES_, int STAGES_> struct Shape {
    static constexpr int TOKENS = TOKENS_;
    static constexpr int COLUMNS = COLUMNS_;
    static constexpr int STRIPES = STRIPES_;
    static constexpr int STAGES = STAGES_;
    static constexpr int WARP_TOKENS = 16 * STRIPES;
    static constexpr int WARP_COLUMNS = 32;
    static constexpr int WARPS_ACROSS = COLUMNS / WARP_COLUMNS;
    static constexpr int THREADS = TOKENS / WARP_TOKENS * WARPS_ACROSS * 32;
    // A stage holds the rows of x, then those of the weight.
    static constexpr int STAGE_ROWS = TOKENS + COLUMNS;
    static constexpr int STAGE_BYTES = STAGE_ROWS * K_STEP * sizeof(elem);
    static constexpr int BYTES = STAGES * STAGE_BYTES + (2 * TOKENS + COLUMNS) * 4;
};

typedef Shape<128, 128, 4, 3> Wide;
typedef Shape<64, 64, 2, 4> Few;

// Dynamic shared memory that the launch gives to `linear_wide` and `linear_few`.
static_assert(Wide::BYTES == 99840 && Few::BYTES == 66304, "the launch knows these numbers");

// The sums of a lane: of each stripe, 16 tokens by four times eight columns.
template <class S> struct Sums {
    float at[S::STRIPES][4][4];
};

// What the epilogue wants of every token and column, fetched while the product is on its way.
template <class S> struct Edges {
    u32 out[S::TOKENS];
    u32 residual[S::TOKENS];
    float bias[S::COLUMNS];

    __device__ __forceinline__ void fetch(const Product& p) {
        for (u32 i = threadIdx.x; i < S::TOKENS; i += S::THREADS) {
            const u32 token = p.token0 + i;
            out[i] = token < p.tokens ? place(p.out_map, token) : 0;
            residual[i] = token < p.tokens ? place(p.residual_map, token) : 0;
        }
        for (u32 i = threadIdx.x; i < S::COLUMNS; i += S::THREADS)
            bias[i] = p.column0 + i < p.n ? p.bias[p.column0 + i] : 0.0f;
    }
};

extern __shared__ __align__(1024) u8 shared_bytes[];

template <class S> __device__ __forceinline__ Edges<S>& edges() {
    return *(Edges<S>*)(shared_bytes + S::STAGES * S::STAGE_BYTES);
}

// Copies a thread's chunks of x and weight into the stages: one column of chunks, every
// `STEP`th row. Rows past the live tokens or past n, and columns past k, become zeros.
template <class S> struct Loader {
    static constexpr int STEP = S::THREADS / K_CHUNKS;
    static constexpr int ROWS = S::STAGE_ROWS / STEP;

    const elem* rows[ROWS];
    u32 live_rows; // one bit each
    u32 column;
    u32 k_end;
    u32 to;

    __device__ __forceinline__ Loader(const Product& p, u32 k_begin, u32 k_end) : k_end(k_end) {
        const u32 row0 = threadIdx.x / K_CHUNKS;
        const u32 chunk = threadIdx.x % K_CHUNKS;
        column = k_begin + chunk * CHUNK;
        to = shared_address(shared_bytes) + swizzled<K_CHUNKS>(row0, chunk);
        live_rows = 0;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const bool of_x = i * STEP < S::TOKENS;
            const u32 row = of_x ? p.token0 + row0 + i * STEP
                                 : p.column0 + row0 + i * STEP - S::TOKENS;
            const bool live = row < (of_x ? p.tokens : p.n);
            const u32 at = !live ? 0 : of_x ? place(p.x_map, row) : row;
            rows[i] = (of_x ? p.x : p.weight) + (u64)at * p.k + column;
            live_rows |= (u32)live << i;
        }
    }

    // Starts the copies of a stage and goes on to the next step of k.
    __device__ __forceinline__ void copy(u32 stage) {
        const u32 live = column < k_end ? live_rows : 0;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            copy_chunk(
                to + stage * S::STAGE_BYTES + i * STEP * K_CHUNKS * CHUNK_BYTES, rows[i],
                live >> i & 1
            );
            rows[i] += K_STEP;
        }
        column += K_STEP;
    }
};

// The corner of the warp's part of the tile.
template <class S> __device__ __forceinline__ u32 warp_token() {
    return threadIdx.x / 32 / S::WARPS_ACROSS * S::WARP_TOKENS;
}

template <class S> __device__ __forceinline__ u32 warp_column() {
    return threadIdx.x / 32 % S::WARPS_ACROSS * S::WARP_COLUMNS;
}

// Adds the products of one stage, given this lane's corners in it.
template <class S>
__device__ __forceinline__ void multiply_stage(Sums<S>& sums, u32 x_corner, u32 weight_corner) {
#pragma unroll
    for (int step = 0; step < K_STEP / 16; step++) {
        u32 a[S::STRIPES][4], b[2][4];
#pragma unroll
        for (int j = 0; j < 2; j++)
            load_fragment(b[j], fragment<K_CHUNKS>(weight_corner, j, step));
#pragma unroll
        for (int i = 0; i < S::STRIPES; i++)
            load_fragment(a[i], fragment<K_CHUNKS>(x_corner, i, step));
#pragma unroll
        for (int i = 0; i < S::STRIPES; i++)
#pragma unroll
            for (int j = 0; j < 4; j++)
                multiply(sums.at[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
}

// The sums of the tile over k_begin..k_end. While a stage is multiplied the next ones fill.
template <class S>
__device__ __forceinline__ void
accumulate(const Product& p, u32 k_begin, u32 k_end, Sums<S>& sums) {
    Loader<S> loader(p, k_begin, k_end);
    const u32 stages = shared_address(shared_bytes);
    const u32 x_corner = row_corner<K_CHUNKS>(stages, warp_token<S>());
    const u32 weight_corner = column_corner<K_CHUNKS>(stages, S::TOKENS + warp_column<S>());
    const u32 steps = k_end > k_begin ? (k_end - k_begin + K_STEP - 1) / K_STEP : 0;
    sums = Sums<S>();
    for (u32 stage = 0; stage < S::STAGES - 1; stage++) {
        if (stage < steps)
            loader.copy(stage);
        copies_commit();
    }
    // The barrier says that the stage is there for all, and that all have left the one before,
    // which is the next to be filled.
    u32 now = 0, next = S::STAGES - 1;
    for (u32 step = 0; step < steps; step++) {
        copies_wait<S::STAGES - 2>();
        __syncthreads();
        if (step + S::STAGES - 1 < steps)
            loader.copy(next);
        copies_commit();
        const u32 at = now * S::STAGE_BYTES;
        multiply_stage<S>(sums, x_corner + at, weight_corner + at);
        next = now;
        now = now + 1 == S::STAGES ? 0 : now + 1;
    }
    // Every copy was waited for: the stages are free for the epilogue. The edges are there.
    __syncthreads();
}

// Where the f32 tile in the stages keeps four columns of a token. Turned so that neither the
// writing of fragments nor the reading of runs has two lanes at one bank.
template <class S> __device__ __forceinline__ u32 staged(u32 token, u32 column) {
    static_assert(S::TOKENS * S::COLUMNS * 4 <= S::STAGES * S::STAGE_BYTES, "the tile fits");
    const u32 four = column / 4;
    return token * S::COLUMNS + (four ^ token % 4 * 2 ^ four / 8 % 2) * 4;
}

// Puts sums + bias where whole rows can be read.
template <class S> __device__ __forceinline__ void stage_sums(const Sums<S>& sums) {
    float* tile = (float*)shared_bytes;
    const u32 lane = threadIdx.x % 32;
    const u32 token = warp_token<S>() + lane / 4;
    const u32 column = warp_column<S>() + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const float2 bias = *(const float2*)&edges<S>().bias[column + j * 8];
#pragma unroll
        for (int i = 0; i < S::STRIPES * 2; i++) {
            const float* pair = &sums.at[i / 2][j][i % 2 * 2];
            float* to = tile + staged<S>(token + i * 8, column + j * 8) + column % 4;
            *(float2*)to = make_float2(pair[0] + bias.x, pair[1] + bias.y);
        }
    }
}

// Eight outputs of a token side by side: one chunk.
struct Run {
    float at[CHUNK];
};

// `whole` runs lie at 16 bytes and have all their columns.
__device__ __forceinline__ Run read_run(const elem* from, u32 columns, bool whole) {
    Run run;
    if (whole) {
        const uint4 chunk = *(const uint4*)from;
        const u32 pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float2 pair = unpack(pairs[i]);
            run.at[2 * i] = pair.x;
            run.at[2 * i + 1] = pair.y;
        }
    } else {
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            run.at[i] = i < columns ? to_float(from[i]) : 0.0f;
    }
    return run;
}

__device__ __forceinline__ void write_run(elem* to, const Run& run, u32 columns, bool whole) {
    if (whole) {
        const float* v = run.at;
        store_chunk(to, pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
    } else {
#pragma unroll
        for (int i = 0; i < CHUNK; i++)
            if (i < columns)
                to[i] = to_elem(run.at[i]);
    }
}

template <class S> __device__ __forceinline__ Run staged_run(u32 token, u32 column) {
    const u32 at = staged<S>(token, column);
    const float4 low = *(const float4*)((const float*)shared_bytes + at);
    const float4 high = *(const float4*)((const float*)shared_bytes + (at ^ 4));
    return Run{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

// Turns the staged tile into outputs, a run a thread. Residuals are read `BATCH` at a time before
// any output is written, because they may be the outputs themselves. An activation makes the
// body long and hides the reads: there the batch is one.
template <class S, bool ACTIVATES> __device__ __forceinline__ void write_tile(const Product& p) {
    constexpr u32 RUNS = S::COLUMNS / CHUNK;
    constexpr u32 STEP = S::THREADS / RUNS;
    constexpr int BATCH = ACTIVATES ? 1 : 4;
    const u32 column = threadIdx.x % RUNS * CHUNK;
    const u32 columns = p.n - min(p.n, p.column0 + column);
    const u32 tokens = min((u32)S::TOKENS, p.tokens - p.token0);
    const bool whole = p.n % CHUNK == 0 && ((u64)p.out | (u64)p.residual) % CHUNK_BYTES == 0;
    if (columns == 0)
        return;
#pragma unroll 1
    for (u32 first = threadIdx.x / RUNS; first < tokens; first += BATCH * STEP) {
        Run added[BATCH] = {};
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const u32 token = first + b * STEP;
            if (p.residual && token < tokens) {
                const u64 at = (u64)edges<S>().residual[token] * p.n + p.column0 + column;
                added[b] = read_run(p.residual + at, columns, whole);
            }
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const u32 token = first + b * STEP;
            if (token >= tokens)
                break;
            Run run = staged_run<S>(token, column);
#pragma unroll
            for (int i = 0; i < CHUNK; i++)
                run.at[i] = (ACTIVATES ? activate(run.at[i], p.activation) : run.at[i]) +
                            added[b].at[i];
            const u64 at = (u64)edges<S>().out[token] * p.n + p.column0 + column;
            write_run(p.out + at, run, columns, whole);
        }
    }
}

template <class S> __device__ __forceinline__ void finish(const Product& p, const Sums<S>& sums) {
    stage_sums<S>(sums);
    __syncthreads();
    if (p.activation == ACT_NONE)
        write_tile<S, false>(p);
    else
        write_tile<S, true>(p);
}

extern "C" __global__ void __launch_bounds__(Wide::THREADS, 2) linear_wide(
    const elem* x,
    const u32* x_map,
    const elem* weight,
    const float* bias,
    const elem* residual,
    const u32* residual_map,
    elem* out,
    const u32* out_map,
    const Live* live,
    u32 n,
    u32 k,
    u32 activation
) {
    const u32 token0 = blockIdx.y * Wide::TOKENS, column0 = blockIdx.x * Wide::COLUMNS;
    const u32 tokens = live->tokens;
    if (token0 >= tokens)
        return;
    const Product p = {x,       x_map,  weight, bias, residual,   residual_map, out,
                       out_map, tokens, n,      k,    activation, token0,       column0};
    Sums<Wide> sums;
    edges<Wide>().fetch(p);
    accumulate<Wide>(p, 0, k, sums);
    finish<Wide>(p, sums);
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

// Whether this block is the last of its tile, in which case it sees what the others wrote. The
// count is put back for the next launch.
__device__ __forceinline__ bool arrive_last(u32* arrivals, u32 splits) {
    u32* last = (u32*)shared_bytes;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        u32* count = arrivals + blockIdx.y * gridDim.x + blockIdx.x;
        *last = atomicAdd(count, 1) == splits - 1;
        if (*last)
            *count = 0;
        __threadfence();
    }
    __syncthreads();
    return *last;
}

// With few tokens there are too few tiles to fill the device: blocks share the k of a tile. The
// last to come adds the shares in their order, whoever it is.
extern "C" __global__ void __launch_bounds__(Few::THREADS, 3) linear_few(
    const elem* x,
    const u32* x_map,
    const elem* weight,
    const float* bias,
    const elem* residual,
    const u32* residual_map,
    elem* out,
    const u32* out_map,
    const Live* live,
    u32 n,
    u32 k,
    u32 activation,
    float* partial,
    u32* arrivals,
    u32 splits
) {
    const u32 token0 = blockIdx.y * Few::TOKENS, column0 = blockIdx.x * Few::COLUMNS;
    const u32 tokens = live->tokens;
    if (token0 >= tokens)
        return;
    const Product p = {x,       x_map,  weight, bias, residual,   residual_map, out,
                       out_map, tokens, n,      k,    activation, token0,       column0};
    const u32 steps = (k + K_STEP - 1) / K_STEP, share = blockIdx.z;
    const u32 k_begin = steps * share / splits * K_STEP;
    const u32 k_end = min(k, steps * (share + 1) / splits * K_STEP);
    Sums<Few> sums;
    edges<Few>().fetch(p);
    accumulate<Few>(p, k_begin, k_end, sums);
    if (splits > 1) {
        const Shares shares(p, partial);
        shares.write(sums, share);
        if (!arrive_last(arrivals, splits))
            return;
        sums = Sums<Few>();
        for (u32 z = 0; z < splits; z++)
            shares.add(sums, z);
        // The stages held the word that this block is the last.
        __syncthreads();
    }
    finish<Few>(p, sums);
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

// No tensor cores, no conditions: a thread makes one output.
extern "C" __global__ void __launch_bounds__(ANY_TILE * ANY_TILE) linear_any(
    const elem* x,
    const u32* x_map,
    const elem* weight,
    const float* bias,
    const elem* residual,
    const u32* residual_map,
    elem* out,
    const u32* out_map,
    const Live* live,
    u32 n,
    u32 k,
    u32 activation
) {
    __shared__ float x_tile[ANY_TILE][ANY_STEP + 1];
    __shared__ float weight_tile[ANY_TILE][ANY_STEP + 1];
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
