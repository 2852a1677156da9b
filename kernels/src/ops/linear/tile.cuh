// A tile of a matrix product: tensor cores fill it with sums, of which the epilogue (epilogue.cuh)
// makes outputs.
//
// `accumulate` multiplies what a loader copies into the stages. Every output is one chain of
// products over k in rising order, whatever the tile.
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
