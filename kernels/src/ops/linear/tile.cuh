// A tile of a matrix product: tensor cores fill it with sums, an epilogue makes outputs of them.
//
// `accumulate` multiplies what a loader copies into the stages, `finish` turns sums into outputs
// by way of shared memory. Between them the tile is f32 in registers. Every output is one chain
// of products over k in rising order, whatever the tile.
//
// The product gives `tokens` (rows of the tile that live), `n`, `bias`, `out`, `residual`,
// `activation`, the corner of the tile `token0` and `column0`, where a token lies in `out` and
// `residual`, whether the activation comes after the residual, and whether it may take over layer
// norms: of x (`sums`), of the residual (`scale`), and of its output (`out_moments`).
#pragma once

#include "mma.cuh"
#include "norm/moments.cuh"

// Elements of k that a stage holds of every row: 128 bytes, so that a row fills all banks.
#define K_CHUNKS 8
#define K_STEP (K_CHUNKS * CHUNK)
#define K_FRAGMENTS (K_CHUNKS * CHUNK_BYTES / FRAGMENT_BYTES)
// Outputs of a token that a thread makes side by side.
#define RUN 8

// A block's tile: `TOKENS` x `COLUMNS` sums, of which each warp makes `STRIPES` x 16 tokens by
// `WARP_COLUMNS` columns. The more sums a warp makes, the less it reads from shared memory for
// each.
template <int TOKENS_, int COLUMNS_, int STRIPES_, int WARP_COLUMNS_, int STAGES_> struct Shape {
    static constexpr int TOKENS = TOKENS_;
    static constexpr int COLUMNS = COLUMNS_;
    static constexpr int STRIPES = STRIPES_;
    static constexpr int STAGES = STAGES_;
    static constexpr int WARP_TOKENS = 16 * STRIPES;
    static constexpr int WARP_COLUMNS = WARP_COLUMNS_;
    // Fragments of 16 columns, and sums of eight.
    static constexpr int FRAGMENTS = WARP_COLUMNS / 16;
    static constexpr int EIGHTS = WARP_COLUMNS / 8;
    static constexpr int WARPS_ACROSS = COLUMNS / WARP_COLUMNS;
    static constexpr int THREADS = TOKENS / WARP_TOKENS * WARPS_ACROSS * 32;
    // A stage holds the rows of x, then those of the weight.
    static constexpr int STAGE_ROWS = TOKENS + COLUMNS;
    static constexpr int STAGE_BYTES = STAGE_ROWS * K_STEP * sizeof(elem);
    static constexpr int BYTES = STAGES * STAGE_BYTES + (4 * TOKENS + 2 * COLUMNS) * 4;
};

typedef Shape<128, 192, 4, 48, 3> Broad;
typedef Shape<128, 128, 4, 32, 3> Wide;
typedef Shape<64, 64, 2, 32, 4> Few;

// Dynamic shared memory that the launch gives to `linear_broad`, `linear_wide` and `linear_few`.
static_assert(Broad::BYTES == 126464, "the launch knows this number");
static_assert(Wide::BYTES == 101376 && Few::BYTES == 67072, "the launch knows these numbers");

// The sums of a lane: of each stripe, 16 tokens by so many times eight columns.
template <class S> struct Sums {
    float at[S::STRIPES][S::EIGHTS][4];
};

// What the epilogue wants of every token and column, fetched while the product is on its way.
template <class S> struct Edges {
    // Of x or of the residual, where one of them lies before its norm.
    Standard standard[S::TOKENS];
    u32 out[S::TOKENS];
    u32 residual[S::TOKENS];
    // With the shift of the residual's norm: no activation stands between.
    float bias[S::COLUMNS];
    // The sums over the weight where x lies before its norm, the scale where the residual does.
    float factors[S::COLUMNS];

    template <class P> __device__ __forceinline__ void fetch_tokens(const P& p) {
        for (u32 i = threadIdx.x; i < S::TOKENS; i += S::THREADS) {
            const u32 token = p.token0 + i;
            const bool lives = token < p.tokens;
            out[i] = lives ? p.out_place(token) : 0;
            residual[i] = lives ? p.residual_place(token) : 0;
            if constexpr (P::TAKES_NORMS)
                standard[i] = lives && p.moments.at ? p.moments.of(p.normed_place(token))
                                                    : Standard{0.0f, 1.0f};
        }
    }

    // Of weights alone.
    template <class P> __device__ __forceinline__ void fetch_columns(const P& p) {
        for (u32 i = threadIdx.x; i < S::COLUMNS; i += S::THREADS) {
            const u32 column = p.column0 + i;
            const bool lives = column < p.n;
            bias[i] = lives ? p.bias[column] : 0.0f;
            if constexpr (P::TAKES_NORMS) {
                if (p.moments.at)
                    factors[i] = lives ? (p.sums ? p.sums : p.scale)[column] : 0.0f;
                if (p.scale && lives)
                    bias[i] += p.shift[column];
            }
        }
    }
};

extern __shared__ __align__(1024) u8 shared_bytes[];

template <class S> __device__ __forceinline__ Edges<S>& edges() {
    return *(Edges<S>*)(shared_bytes + S::STAGES * S::STAGE_BYTES);
}

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
    for (int step = 0; step < K_FRAGMENTS; step++) {
        Fragment a[S::STRIPES], b[S::FRAGMENTS];
#pragma unroll
        for (int j = 0; j < S::FRAGMENTS; j++)
            load_fragment(b[j], fragment<K_CHUNKS>(weight_corner, j, step));
#pragma unroll
        for (int i = 0; i < S::STRIPES; i++)
            load_fragment(a[i], fragment<K_CHUNKS>(x_corner, i, step));
#pragma unroll
        for (int i = 0; i < S::STRIPES; i++)
#pragma unroll
            for (int j = 0; j < S::EIGHTS; j++)
                multiply(sums.at[i][j], a[i], b[j / 2], j % 2);
    }
}

// Whether a token of the tile lives, when the kernels in front have ended.
template <class P> __device__ __forceinline__ bool find_tokens(P& p) {
    wait_for_kernels();
    return p.find_tokens();
}

// Begins a tile: its first stages and its edges are on their way. False where no token of it lives.
//
// Nobody writes weights, so their copies may start while the kernels in front still run. Where
// there are none to overlap with, what lives is asked for first.
template <class S, class P, class L>
__device__ __forceinline__ bool begin_tile(P& p, L& loader, u32 steps) {
    constexpr bool IS_EARLY = KERNELS_OVERLAP && L::COPIES_WEIGHTS;
    if (!IS_EARLY && !find_tokens(p))
        return false;
    edges<S>().fetch_columns(p);
#pragma unroll
    for (u32 stage = 0; stage < S::STAGES - 1; stage++)
        if (stage < steps)
            loader.copy_weights(stage, stage);
    if (IS_EARLY && !find_tokens(p)) {
        // Nothing may arrive when the block has gone.
        copies_wait_all();
        return false;
    }
    loader.find_tokens(p);
    // The first group of copies holds the weights of all of these stages.
    for (u32 stage = 0; stage < S::STAGES - 1; stage++) {
        if (stage < steps)
            loader.copy_tokens(stage);
        copies_commit();
    }
    edges<S>().fetch_tokens(p);
    return true;
}

// The sums of a tile that has begun over `steps` steps of k. While a stage is multiplied the next
// ones fill.
template <class S, class L>
__device__ __forceinline__ void accumulate(L& loader, u32 steps, Sums<S>& sums) {
    const u32 stages = shared_address(shared_bytes);
    const u32 x_corner = row_corner<K_CHUNKS>(stages, warp_token<S>());
    const u32 weight_corner = column_corner<K_CHUNKS>(stages, S::TOKENS + warp_column<S>());
    sums = Sums<S>();
    // The barrier says that the stage is there for all, and that all have left the one before,
    // which is the next to be filled.
    u32 now = 0;
    for (; steps > 0; steps--) {
        copies_wait<S::STAGES - 2>();
        __syncthreads();
        if (steps >= S::STAGES) {
            const u32 next = now == 0 ? S::STAGES - 1 : now - 1;
            loader.copy_weights(next, 0);
            loader.copy_tokens(next);
        }
        copies_commit();
        const u32 at = now * S::STAGE_BYTES;
        multiply_stage<S>(sums, x_corner + at, weight_corner + at);
        now = now + 1 == S::STAGES ? 0 : now + 1;
    }
    // Every copy was waited for: the stages are free for the epilogue. The edges are there.
    __syncthreads();
}

// Where the f32 tile in the stages keeps four columns of a token. Turned so that neither the
// writing of fragments nor the reading of runs has two lanes at one bank.
template <class S> __device__ __forceinline__ u32 staged(u32 token, u32 column) {
    static_assert(S::TOKENS * S::COLUMNS * 4 <= S::STAGES * S::STAGE_BYTES, "the tile fits");
    const u32 four = column / 4, turn = S::COLUMNS == 32 ? token % 2 : four / 8 % 2;
    return token * S::COLUMNS + (four ^ token % 4 * 2 ^ turn) * 4;
}

// Puts sums + bias where whole rows can be read. Where x lies before its norm, the weight has its
// scale and the bias its shift, and with `sums` over the columns of the weight
// (x - mean) * inverse . W^T = inverse * (x . W^T - mean * sums).
template <class S, bool OF_STANDARD>
__device__ __forceinline__ void stage_sums(const Sums<S>& sums) {
    float* tile = (float*)shared_bytes;
    const u32 lane = threadIdx.x % 32;
    const u32 token = warp_token<S>() + lane / 4;
    const u32 column = warp_column<S>() + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < S::EIGHTS; j++) {
        const float2 bias = *(const float2*)&edges<S>().bias[column + j * 8];
#pragma unroll
        for (int i = 0; i < S::STRIPES * 2; i++) {
            const float* pair = &sums.at[i / 2][j][i % 2 * 2];
            float* to = tile + staged<S>(token + i * 8, column + j * 8) + column % 4;
            float2 value = make_float2(pair[0], pair[1]);
            if constexpr (OF_STANDARD) {
                const Standard of = edges<S>().standard[token + i * 8];
                const float2 of_weight = *(const float2*)&edges<S>().factors[column + j * 8];
                value.x = fmaf(of.inverse, fmaf(-of.mean, of_weight.x, value.x), bias.x);
                value.y = fmaf(of.inverse, fmaf(-of.mean, of_weight.y, value.y), bias.y);
            } else {
                value.x += bias.x;
                value.y += bias.y;
            }
            *(float2*)to = value;
        }
    }
}

// An activation that only the launch knows.
#define ACT_ANY -1

struct Run {
    float at[RUN];
};

// Whole runs, which lie at 16 bytes.
__device__ __forceinline__ void read_whole(const elem* from, Run& run) {
#if defined(ELEM_TF32)
    const float4 low = *(const float4*)from, high = *(const float4*)(from + 4);
    run = {{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
#else
    const uint4 chunk = *(const uint4*)from;
    const u32 pairs[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = unpack(pairs[i]);
        run.at[2 * i] = pair.x;
        run.at[2 * i + 1] = pair.y;
    }
#endif
}

__device__ __forceinline__ void write_whole(elem* to, const Run& run) {
    const float* v = run.at;
#if defined(ELEM_TF32)
#pragma unroll
    for (int i = 0; i < RUN; i += 4)
        store_chunk(
            to + i, __float_as_uint(v[i]), __float_as_uint(v[i + 1]), __float_as_uint(v[i + 2]),
            __float_as_uint(v[i + 3])
        );
#else
    store_chunk(to, pack(v[0], v[1]), pack(v[2], v[3]), pack(v[4], v[5]), pack(v[6], v[7]));
#endif
}

// `whole` runs lie at 16 bytes and have all their columns.
__device__ __forceinline__ Run read_run(const elem* from, u32 columns, bool whole) {
    Run run;
    if (whole) {
        read_whole(from, run);
    } else {
#pragma unroll
        for (int i = 0; i < RUN; i++)
            run.at[i] = i < columns ? to_float(from[i]) : 0.0f;
    }
    return run;
}

__device__ __forceinline__ void write_run(elem* to, const Run& run, u32 columns, bool whole) {
    if (whole) {
        write_whole(to, run);
    } else {
#pragma unroll
        for (int i = 0; i < RUN; i++)
            if (i < columns)
                to[i] = to_elem(run.at[i]);
    }
}

// The residual behind its norm, but for the shift.
template <class S>
__device__ __forceinline__ void normalise(Run& run, const Standard& of, u32 column) {
    const float4* scale = (const float4*)&edges<S>().factors[column];
    const float4 low = scale[0], high = scale[1];
    const float factors[RUN] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int i = 0; i < RUN; i++)
        run.at[i] = __fmul_rn(__fmul_rn(run.at[i] - of.mean, of.inverse), factors[i]);
}

// The moments of what eight threads side by side write of a token; `columns` are this thread's,
// `all` those of the eight. Of the elements as they are stored.
__device__ __forceinline__ Moments64 moments_of(const Run& run, u32 columns, u32 all) {
    float sum = 0.0f, squares = 0.0f;
    float stored[RUN];
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        stored[i] = to_float(to_elem(run.at[i]));
        sum += i < columns ? stored[i] : 0.0f;
    }
    const float mean = sum_of_eight(sum) / all;
#pragma unroll
    for (int i = 0; i < RUN; i++) {
        const float apart = i < columns ? stored[i] - mean : 0.0f;
        squares += apart * apart;
    }
    return {mean, sum_of_eight(squares)};
}

template <class S> __device__ __forceinline__ Run staged_run(u32 token, u32 column) {
    const u32 at = staged<S>(token, column);
    const float4 low = *(const float4*)((const float*)shared_bytes + at);
    const float4 high = *(const float4*)((const float*)shared_bytes + (at ^ 4));
    return Run{{low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w}};
}

// Turns the staged tile into outputs, a run a thread. Residuals are read `BATCH` at a time before
// any output is written, because they may be the outputs themselves. An activation out of many
// makes the body long and hides the reads: there the batch is one.
template <class S, int ACTIVATION, class P>
__device__ __forceinline__ void write_tile(const P& p) {
    constexpr u32 RUNS = S::COLUMNS / RUN;
    constexpr u32 STEP = S::THREADS / RUNS;
    constexpr int BATCH = ACTIVATION == ACT_ANY ? 1 : P::TAKES_NORMS ? 2 : 4;
    const u32 activation = ACTIVATION == ACT_ANY ? p.activation : ACTIVATION;
    const u32 column = threadIdx.x % RUNS * RUN;
    const u32 columns = p.n - min(p.n, p.column0 + column);
    const u32 tokens = min((u32)S::TOKENS, p.tokens - p.token0);
    const bool whole = p.n % RUN == 0 && ((u64)p.out | (u64)p.residual) % CHUNK_BYTES == 0;
    // Eight threads make moments together. The last of them stay though they have no columns.
    const u32 block = p.column0 + column - column % MOMENT_COLUMNS;
    const bool stays = columns > 0 || (P::TAKES_NORMS && block < p.n);
    // Where runs do not divide the threads, the last of these have none.
    if (!stays || (S::THREADS % RUNS != 0 && threadIdx.x >= STEP * RUNS))
        return;
#pragma unroll 1
    for (u32 first = threadIdx.x / RUNS; first < tokens; first += BATCH * STEP) {
        Run added[BATCH] = {};
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const u32 token = first + b * STEP;
            if (p.residual && token < tokens) {
                const u64 at = (u64)edges<S>().residual[token] * p.n + p.column0 + column;
                added[b] = read_run(p.residual + at, columns, whole && columns > 0);
                if constexpr (P::TAKES_NORMS)
                    if (p.scale)
                        normalise<S>(added[b], edges<S>().standard[token], column);
            }
        }
#pragma unroll
        for (int b = 0; b < BATCH; b++) {
            const u32 token = first + b * STEP;
            if (token >= tokens)
                break;
            Run run = staged_run<S>(token, column);
#pragma unroll
            for (int i = 0; i < RUN; i++) {
                const float sum = run.at[i], more = added[b].at[i];
                run.at[i] = P::ACTIVATES_LAST ? activate(sum + more, activation)
                                              : activate(sum, activation) + more;
            }
            const u64 at = (u64)edges<S>().out[token] * p.n + p.column0 + column;
            write_run(p.out + at, run, columns, whole && columns > 0);
            if constexpr (P::TAKES_NORMS) {
                if (p.out_moments) {
                    const u32 all = min(MOMENT_COLUMNS, p.n - block);
                    const Moments64 moments = moments_of(run, columns, all);
                    const u64 row = (u64)edges<S>().out[token] * p.moment_blocks();
                    if (threadIdx.x % 8 == 0)
                        p.out_moments[row + block / MOMENT_COLUMNS] = moments;
                }
            }
        }
    }
}

template <class S, class P>
__device__ __forceinline__ void finish(const P& p, const Sums<S>& sums) {
    if constexpr (P::TAKES_NORMS) {
        if (p.sums)
            stage_sums<S, true>(sums);
        else
            stage_sums<S, false>(sums);
    } else {
        stage_sums<S, false>(sums);
    }
    __syncthreads();
    if (p.activation == ACT_NONE)
        write_tile<S, ACT_NONE>(p);
    else if (P::ACTIVATES_LAST && p.activation == ACT_RELU)
        write_tile<S, ACT_RELU>(p);
    else
        write_tile<S, ACT_ANY>(p);
}
