// The epilogue of a tile: sums go from registers to outputs by way of shared memory, so that whole
// rows are read and written.
#pragma once

#include "linear/tile.cuh"
#include "norm/chunk.cuh"

// Outputs of a token that a thread makes side by side.
#define RUN 8

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

// A whole run, which lies at 16 bytes.
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
        load_chunk(from, run.at);
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
    float factors[RUN];
    load_chunk(&edges<S>().factors[column], factors);
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
                    const u64 row = (u64)edges<S>().out[token] * moment_blocks(p.n);
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
