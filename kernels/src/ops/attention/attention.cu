// Self-attention within each row: out[t] = softmax(scale * q[t] . K^T) . V per head.
//
// A block takes 64 queries of a row and a head, a warp 16 of them. Keys and values come in tiles
// of 64; a tile is copied while the one before is computed. The softmax runs along (Dao,
// arXiv 2307.08691): sums so far are scaled down whenever a larger score appears, so that no
// score is too large for e^x.
#include "mma.cuh"

#define QUERIES 64
#define KEYS 64
#define WARP_QUERIES 16
#define THREADS 128
#define LOG2_E 1.4426950408889634f

// A head of a row: what its blocks read and write. `qkv` and `out` point at the head in the first
// token of the span.
struct Head {
    const elem* qkv;
    const u32* qkv_map;
    elem* out;
    const u32* out_map;
    u32 width; // of all heads
    u32 head_dim;
    u32 begin;
    u32 tokens;

    // Part 0, 1 or 2 (queries, keys, values) of the token at a place.
    __device__ __forceinline__ const elem* vector(u32 place, u32 part) const {
        return qkv + ((u64)place * 3 + part) * width;
    }

    __device__ __forceinline__ elem* output(u32 token) const {
        return out + (u64)place(out_map, begin + token) * width;
    }
};

// Tiles of 64 rows in shared memory: queries, then keys and values twice.
template <int DIM> struct Tiles {
    static constexpr int CHUNKS = DIM / CHUNK;
    static constexpr int FRAGMENTS = CHUNKS * CHUNK_BYTES / FRAGMENT_BYTES;
    static constexpr int BYTES = 64 * DIM * (int)sizeof(elem);
    static constexpr int TOTAL_BYTES = 5 * BYTES;
};

// Dynamic shared memory that the launch gives, by elements of two bytes.
static_assert(
    Tiles<32>::TOTAL_BYTES == 10240 * sizeof(elem) &&
        Tiles<64>::TOTAL_BYTES == 20480 * sizeof(elem) &&
        Tiles<128>::TOTAL_BYTES == 40960 * sizeof(elem),
    "the launch knows these numbers"
);

extern __shared__ __align__(1024) u8 shared_bytes[];

// Where the tile of keys from `key` on lies, with its values behind it.
template <int DIM> __device__ __forceinline__ u32 keys_tile(u32 tiles, u32 key) {
    return tiles + (1 + key / KEYS % 2 * 2) * Tiles<DIM>::BYTES;
}

// 2^x, a single instruction: too small results become 0.
__device__ __forceinline__ float power_of_two(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// Copies a thread's chunks of a tile: one column of chunks, every `STEP`th token. Tokens past the
// row and columns past the head become zeros.
template <int DIM> struct Loader {
    static constexpr int CHUNKS = Tiles<DIM>::CHUNKS;
    static constexpr int STEP = THREADS / CHUNKS;
    static constexpr int ROWS = 64 / STEP;

    // Where the tokens of the next copies lie. Looked up one tile ahead.
    u32 places[ROWS];
    u32 live_rows; // one bit each

    __device__ __forceinline__ void find(const Head& head, u32 first) {
        live_rows = 0;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const u32 token = first + threadIdx.x / CHUNKS + i * STEP;
            const bool live = token < head.tokens && threadIdx.x % CHUNKS * CHUNK < head.head_dim;
            places[i] = live ? place(head.qkv_map, head.begin + token) : 0;
            live_rows |= (u32)live << i;
        }
    }

    // One part of the tokens: 0 queries, 1 keys, 2 values.
    __device__ __forceinline__ void copy(const Head& head, u32 part, u32 tile) const {
        const u32 row = threadIdx.x / CHUNKS, chunk = threadIdx.x % CHUNKS;
        const u32 first = tile + swizzled<CHUNKS>(row, chunk);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const bool live = live_rows >> i & 1;
            const elem* from = head.vector(places[i], part) + (live ? chunk * CHUNK : 0);
            // Rows that are eight apart are turned alike.
            const u32 to = STEP % 8 == 0 ? first + i * STEP * CHUNKS * CHUNK_BYTES
                                         : tile + swizzled<CHUNKS>(row + i * STEP, chunk);
            copy_chunk(to, from, live);
        }
    }

    __device__ __forceinline__ void copy_keys_and_values(const Head& head, u32 tile) const {
        copy(head, 1, tile);
        copy(head, 2, tile + Tiles<DIM>::BYTES);
        copies_commit();
    }
};

// A warp's 16 queries. A lane has two of them, eight apart: their largest scaled score, the sum of
// its powers (over the lane's own keys) and its part of the mixed values.
template <int DIM> struct Queries {
    u32 query_corner;
    float max[2];
    float sum[2];
    float mixed[DIM / 8][4];

    __device__ __forceinline__ void begin(u32 tile) {
        query_corner = row_corner<Tiles<DIM>::CHUNKS>(tile, threadIdx.x / 32 * WARP_QUERIES);
        max[0] = max[1] = -INFINITY_F;
        sum[0] = sum[1] = 0.0f;
#pragma unroll
        for (int i = 0; i < DIM / 8 * 4; i++)
            mixed[i / 4][i % 4] = 0.0f;
    }

    // Scores against a tile of keys. Sixteen keys past the row are not even multiplied.
    template <bool WHOLE>
    __device__ __forceinline__ void score(float (&scores)[KEYS / 8][4], u32 tile, u32 keys) const {
        const u32 corner = column_corner<Tiles<DIM>::CHUNKS>(tile, 0);
#pragma unroll
        for (int i = 0; i < KEYS / 8 * 4; i++)
            scores[i / 4][i % 4] = 0.0f;
#pragma unroll
        for (int step = 0; step < Tiles<DIM>::FRAGMENTS; step++) {
            Fragment q;
            load_fragment(q, fragment<Tiles<DIM>::CHUNKS>(query_corner, 0, step));
#pragma unroll
            for (int group = 0; group < KEYS / 16; group++) {
                if (!WHOLE && group * 16 >= keys)
                    break;
                Fragment b;
                load_fragment(b, fragment<Tiles<DIM>::CHUNKS>(corner, group, step));
                multiply(scores[2 * group], q, b, 0);
                multiply(scores[2 * group + 1], q, b, 1);
            }
        }
    }

    // Raises the maxima to those of the scores and scales down what was summed under the old ones.
    __device__ __forceinline__ void raise(const float (&scores)[KEYS / 8][4], float scale) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
            float top = -INFINITY_F;
#pragma unroll
            for (int j = 0; j < KEYS / 8; j++)
                top = fmaxf(top, fmaxf(scores[j][2 * r], scores[j][2 * r + 1]));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 1));
            top = fmaxf(top, __shfl_xor_sync(ALL_LANES, top, 2));
            const float raised = fmaxf(max[r], top * scale);
            const float factor = power_of_two(max[r] - raised);
            max[r] = raised;
            sum[r] *= factor;
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) {
                mixed[j][2 * r] *= factor;
                mixed[j][2 * r + 1] *= factor;
            }
        }
    }

    // Adds the values of a tile, weighed by the powers of the scores.
    template <bool WHOLE>
    __device__ __forceinline__ void
    mix(const float (&scores)[KEYS / 8][4], u32 tile, u32 keys, float scale) {
#pragma unroll
        for (int group = 0; group < KEYS / 16; group++) {
            if (!WHOLE && group * 16 >= keys)
                break;
            mix_group(&scores[2 * group], tile, group, scale);
        }
    }

#if defined(ELEM_TF32)
    // The power of a score, counted into the sum of its query: the lane's first or second.
    __device__ __forceinline__ u32 weigh(float score, int query, float scale) {
        const float power = power_of_two(fmaf(score, scale, -max[query]));
        sum[query] += power;
        return __float_as_uint(power);
    }

    // Of eight keys a product takes those of even number first, then the others: so a lane's scores
    // are the factors that it must hold.
    __device__ __forceinline__ void
    mix_group(const float (*scores)[4], u32 tile, int group, float scale) {
        constexpr int CHUNKS = Tiles<DIM>::CHUNKS;
        const u32 lane = threadIdx.x % 32;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            Fragment powers;
#pragma unroll
            for (int i = 0; i < 4; i++)
                powers.high[i / 2 + i % 2 * 2] = weigh(scores[half][i], i / 2, scale);
            split(powers);
            const u32 key = group * 16 + half * 8 + lane % 4 * 2;
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) {
                const u32 column = j * 8 + lane / 4, within = column % CHUNK * sizeof(elem);
                Fragment b = {};
#pragma unroll
                for (int i = 0; i < 2; i++)
                    b.high[i] =
                        load_word(tile + swizzled<CHUNKS>(key + i, column / CHUNK) + within);
                split(b);
                multiply(mixed[j], powers, b, 0);
            }
        }
    }

    static __device__ __forceinline__ u32 load_word(u32 from) {
        u32 word;
        asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(from));
        return word;
    }

    // Two outputs of a query side by side, in the rows of the warp.
    static __device__ __forceinline__ void
    put(u8* rows, u32 row, int j, u32 lane, float first, float second) {
        const u32 column = j * 8 + lane % 4 * 2;
        u8* to = rows + swizzled<Tiles<DIM>::CHUNKS>(row, column / CHUNK) + column % CHUNK * 4;
        *(float2*)to = make_float2(first, second);
    }
#else
    __device__ __forceinline__ void
    mix_group(const float (*scores)[4], u32 tile, int group, float scale) {
        const u32 corner = row_corner<Tiles<DIM>::CHUNKS>(tile, 0);
        Fragment powers;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float* pair = &scores[i / 2][i % 2 * 2];
            const float first = power_of_two(fmaf(pair[0], scale, -max[i % 2]));
            const float second = power_of_two(fmaf(pair[1], scale, -max[i % 2]));
            sum[i % 2] += first + second;
            powers.high[i] = pack(first, second);
        }
#pragma unroll
        for (int step = 0; step < Tiles<DIM>::FRAGMENTS; step++) {
            Fragment b;
            load_transposed(b, fragment<Tiles<DIM>::CHUNKS>(corner, group, step));
            multiply(mixed[2 * step], powers, b, 0);
            multiply(mixed[2 * step + 1], powers, b, 1);
        }
    }

    // Two outputs of a query side by side, in the rows of the warp.
    static __device__ __forceinline__ void
    put(u8* rows, u32 row, int j, u32 lane, float first, float second) {
        u8* to = rows + swizzled<Tiles<DIM>::CHUNKS>(row, j) + lane % 4 * 4;
        *(u32*)to = pack(first, second);
    }
#endif

    // Takes in a tile of keys and the values behind it. Only the last of a row has fewer than 64
    // keys: the others are spared the questions.
    template <bool WHOLE> __device__ __forceinline__ void take(u32 tile, u32 keys, float scale) {
        float scores[KEYS / 8][4];
        score<WHOLE>(scores, tile, keys);
        if (!WHOLE) {
#pragma unroll
            for (int i = 0; i < KEYS / 8 * 4; i++)
                if (i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2 >= keys)
                    scores[i / 4][i % 4] = -INFINITY_F;
        }
        raise(scores, scale);
        mix<WHOLE>(scores, tile + Tiles<DIM>::BYTES, keys, scale);
    }

    // Divides by the sums and writes the outputs from `query` on, by way of the tile of queries,
    // whose rows of this warp nobody reads any more, so that a token's chunks go out together.
    __device__ __forceinline__ void finish(const Head& head, u32 query) {
        constexpr int CHUNKS = Tiles<DIM>::CHUNKS;
        u8* rows = shared_bytes + threadIdx.x / 32 * WARP_QUERIES * CHUNKS * CHUNK_BYTES;
        const u32 lane = threadIdx.x % 32;
        __syncwarp();
#pragma unroll
        for (int r = 0; r < 2; r++) {
            sum[r] += __shfl_xor_sync(ALL_LANES, sum[r], 1);
            sum[r] += __shfl_xor_sync(ALL_LANES, sum[r], 2);
            const float inverse = 1.0f / sum[r];
#pragma unroll
            for (int j = 0; j < DIM / 8; j++) {
                const float first = mixed[j][2 * r], second = mixed[j][2 * r + 1];
                put(rows, lane / 4 + r * 8, j, lane, first * inverse, second * inverse);
            }
        }
        __syncwarp();
#pragma unroll
        for (u32 i = lane; i < WARP_QUERIES * CHUNKS; i += 32) {
            const u32 row = i / CHUNKS, chunk = i % CHUNKS;
            if (query + row < head.tokens && chunk * CHUNK < head.head_dim)
                *(uint4*)(head.output(query + row) + chunk * CHUNK) =
                    *(const uint4*)(rows + swizzled<CHUNKS>(row, chunk));
        }
    }
};

template <int DIM> __device__ __forceinline__ void attend(const Head& head, float scale) {
    const u32 query0 = blockIdx.x * QUERIES;
    const u32 query = query0 + threadIdx.x / 32 * WARP_QUERIES;
    const u32 tiles = shared_address(shared_bytes);
    Loader<DIM> loader;
    loader.find(head, query0);
    loader.copy(head, 0, tiles);
    loader.find(head, 0);
    loader.copy_keys_and_values(head, keys_tile<DIM>(tiles, 0));
    loader.find(head, KEYS);
    Queries<DIM> queries;
    queries.begin(tiles);
    for (u32 key = 0; key < head.tokens; key += KEYS) {
        // The tile is there for all, and all have left the one whose place the next takes.
        copies_wait<0>();
        __syncthreads();
        if (key + KEYS < head.tokens) {
            loader.copy_keys_and_values(head, keys_tile<DIM>(tiles, key + KEYS));
            loader.find(head, key + 2 * KEYS);
        }
        if (query >= head.tokens)
            continue;
        if (key + KEYS <= head.tokens)
            queries.template take<true>(keys_tile<DIM>(tiles, key), KEYS, scale * LOG2_E);
        else
            queries.template take<false>(
                keys_tile<DIM>(tiles, key), head.tokens - key, scale * LOG2_E
            );
    }
    if (query < head.tokens)
        queries.finish(head, query);
}

// The head of a block, with no tokens where the row is no longer alive.
__device__ __forceinline__ Head head_of_block(
    const elem* qkv,
    const u32* qkv_map,
    const u32* offsets,
    const Live* live,
    elem* out,
    const u32* out_map,
    u32 heads,
    u32 head_dim
) {
    const u32 first = blockIdx.y * head_dim;
    Head head = {qkv + first, qkv_map, out + first, out_map, heads * head_dim, head_dim, 0, 0};
    if (blockIdx.z < live->rows) {
        head.begin = offsets[blockIdx.z];
        head.tokens = offsets[blockIdx.z + 1] - head.begin;
    }
    return head;
}

#define ATTENTION_KERNEL(NAME, DIM, BLOCKS)                                                        \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(                            \
        const elem* qkv, const u32* qkv_map, const u32* offsets, const Live* live, elem* out,      \
        const u32* out_map, u32 heads, u32 head_dim, float scale                                   \
    ) {                                                                                            \
        wait_for_kernels();                                                                        \
        const Head head =                                                                          \
            head_of_block(qkv, qkv_map, offsets, live, out, out_map, heads, head_dim);             \
        if (blockIdx.x * QUERIES < head.tokens)                                                    \
            attend<DIM>(head, scale);                                                              \
    }

// Elements of four bytes take twice the shared memory, and more registers.
#define BLOCKS(OF_TWO_BYTES, OF_FOUR) (sizeof(elem) == 2 ? OF_TWO_BYTES : OF_FOUR)

ATTENTION_KERNEL(attention_32, 32, BLOCKS(5, 3))
ATTENTION_KERNEL(attention_64, 64, BLOCKS(4, 2))
ATTENTION_KERNEL(attention_128, 128, BLOCKS(2, 1))

#define ANY_WARPS (THREADS / 32)
#define ANY_PER_LANE 8

// No tensor cores, no conditions but head_dim <= 256: a warp takes a query, a lane every 32nd
// element of the head.
extern "C" __global__ void __launch_bounds__(THREADS) attention_any(
    const elem* qkv,
    const u32* qkv_map,
    const u32* offsets,
    const Live* live,
    elem* out,
    const u32* out_map,
    u32 heads,
    u32 head_dim,
    float scale
) {
    wait_for_kernels();
    const Head head = head_of_block(qkv, qkv_map, offsets, live, out, out_map, heads, head_dim);
    const u32 token = blockIdx.x * ANY_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (token >= head.tokens)
        return;
    float q[ANY_PER_LANE], mixed[ANY_PER_LANE];
    const elem* query = head.vector(place(head.qkv_map, head.begin + token), 0);
#pragma unroll
    for (int i = 0; i < ANY_PER_LANE; i++) {
        q[i] = lane + i * 32 < head_dim ? to_float(query[lane + i * 32]) * scale * LOG2_E : 0.0f;
        mixed[i] = 0.0f;
    }
    float max = -INFINITY_F, sum = 0.0f;
    for (u32 t = 0; t < head.tokens; t++) {
        const u32 at = place(head.qkv_map, head.begin + t);
        const elem *key = head.vector(at, 1), *value = head.vector(at, 2);
        float score = 0.0f;
#pragma unroll
        for (int i = 0; i < ANY_PER_LANE; i++)
            if (lane + i * 32 < head_dim)
                score = fmaf(q[i], to_float(key[lane + i * 32]), score);
        score = warp_sum(score);
        const float raised = fmaxf(max, score);
        const float factor = exp2f(max - raised), power = exp2f(score - raised);
        max = raised;
        sum = sum * factor + power;
#pragma unroll
        for (int i = 0; i < ANY_PER_LANE; i++)
            if (lane + i * 32 < head_dim)
                mixed[i] = mixed[i] * factor + power * to_float(value[lane + i * 32]);
    }
    elem* to = head.output(token);
#pragma unroll
    for (int i = 0; i < ANY_PER_LANE; i++)
        if (lane + i * 32 < head_dim)
            to[lane + i * 32] = to_elem(mixed[i] / sum);
}
