// An exit: one block pools a row, runs the head, and decides. `cpu.rs` says the same in Rust.
#include "norm/chunk.cuh"
#include "norm/moments.cuh"
#include "ramp/verdict.cuh"

#define WARPS 8u
#define THREADS (WARPS * LANES)
// Chunks of a token that a lane sums up at a time.
#define CHUNKS 2u
// Outputs a warp makes at a time: so many reads of the weight are under way, and one of x serves
// them all.
#define OUTPUTS 4u

enum Pool { POOL_FIRST, POOL_MEAN, POOL_LAST };

extern __shared__ float4 shared[];

// `act(x . W^T + bias)`.
struct Layer {
    const elem* weight;
    const float* bias;
    u32 n;
    u32 k;
    u32 activation;
};

// What is known of the row and its group before the logits are.
struct Row {
    u32 slot;
    Settings settings;
    RowState state;
    float threshold;
};

__device__ __forceinline__ u32 warp() { return threadIdx.x / LANES; }

// Room for `len` floats, so that what follows is aligned to 16 bytes.
__device__ __forceinline__ u32 room(u32 len) { return (len + 3) & ~3u; }

// A chunk in shared memory. Neighbouring groups of four lanes take its halves in opposite order:
// so eight lanes touch all banks once.
template <u32 STEP>
__device__ __forceinline__ void read_shared(const float* from, float (&v)[STEP]) {
    if constexpr (STEP == 1) {
        v[0] = *from;
    } else {
        const u32 turned = lane() / 4 & 1;
        const float4* halves = (const float4*)from;
        const float4 a = halves[turned], b = halves[turned ^ 1];
        const float4 low = turned ? b : a, high = turned ? a : b;
        v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
        v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
    }
}

template <u32 STEP>
__device__ __forceinline__ void write_shared(float* to, const float (&v)[STEP]) {
    if constexpr (STEP == 1) {
        *to = v[0];
    } else {
        const u32 turned = lane() / 4 & 1;
        const float4 low = {v[0], v[1], v[2], v[3]}, high = {v[4], v[5], v[6], v[7]};
        float4* halves = (float4*)to;
        halves[turned] = turned ? high : low;
        halves[turned ^ 1] = turned ? low : high;
    }
}

// The norm of a value that lies before it.
struct Norm {
    MomentTable moments;
    const float* scale;
    const float* shift;

    // Of the token at `place`; nothing changes where there is no norm.
    __device__ __forceinline__ Standard of(u32 place) const {
        return moments.at ? moments.of(place) : Standard{0.0f, 1.0f};
    }
};

template <u32 STEP>
__device__ __forceinline__ void
pool_one(const elem* x, u32 token, u32 width, const Norm& norm, float* features) {
    const Standard of = norm.of(token);
    for (u32 at = threadIdx.x * STEP; at < width; at += THREADS * STEP) {
        float v[STEP];
        load_chunk(x + (u64)token * width + at, v);
#pragma unroll
        for (u32 j = 0; j < STEP; j++)
            v[j] = (v[j] - of.mean) * of.inverse;
        write_shared(features + at, v);
    }
    __syncthreads();
}

// Warps take tokens in turn, and then, one after the other, add up what they found: the order of
// the sum depends on the row's length alone.
template <u32 STEP>
__device__ __forceinline__ void
pool_mean(const elem* x, const u32* map, u32 first, u32 last, u32 width, const Norm& norm,
          float* features) {
    constexpr u32 COLUMNS = CHUNKS * LANES * STEP;
    const float share = 1.0f / (last - first);
    for (u32 base = lane() * STEP; base - lane() * STEP < width; base += COLUMNS) {
        float sums[CHUNKS][STEP] = {};
        // Each lane has looked up what one of the warp's next tokens is normalised by.
        for (u32 group = first + warp(); group < last; group += WARPS * LANES) {
            const u32 mine = group + lane() * WARPS;
            const Standard looked_up = norm.of(place(map, min(mine, last - 1)));
#pragma unroll(STEP == 1 ? 1 : 4)
            for (u32 turn = 0; turn < min(LANES, (last - group + WARPS - 1) / WARPS); turn++) {
                const Standard of = {__shfl_sync(ALL_LANES, looked_up.mean, turn),
                                     __shfl_sync(ALL_LANES, looked_up.inverse, turn)};
                const elem* token = x + (u64)place(map, group + turn * WARPS) * width;
#pragma unroll
                for (u32 i = 0; i < CHUNKS; i++) {
                    float v[STEP] = {};
                    const u32 at = base + i * LANES * STEP;
                    if (at < width)
                        load_chunk(token + at, v);
#pragma unroll
                    for (u32 j = 0; j < STEP; j++)
                        sums[i][j] += (v[j] - of.mean) * of.inverse;
                }
            }
        }
        for (u32 turn = 0; turn < min(WARPS, last - first); turn++) {
#pragma unroll
            for (u32 i = 0; i < CHUNKS; i++) {
                const u32 at = base + i * LANES * STEP;
                if (turn != warp() || at >= width)
                    continue;
                float before[STEP] = {};
                if (turn > 0)
                    read_shared(features + at, before);
#pragma unroll
                for (u32 j = 0; j < STEP; j++)
                    before[j] += sums[i][j];
                write_shared(features + at, before);
            }
            __syncthreads();
        }
    }
    for (u32 at = threadIdx.x; at < width; at += THREADS)
        features[at] *= share;
    __syncthreads();
}

// Scale and shift of a norm, once tokens are pooled.
__device__ __forceinline__ void finish_norm(const Norm& norm, u32 width, float* features) {
    for (u32 at = threadIdx.x; at < width; at += THREADS)
        features[at] = features[at] * norm.scale[at] + norm.shift[at];
    __syncthreads();
}

// Outputs `first`, `first + WARPS`, ...: one warp makes N of them.
template <u32 STEP, u32 N>
__device__ __forceinline__ void
outputs(const float* x, const Layer& layer, u32 first, float* out) {
    const elem* weight = layer.weight + (u64)first * layer.k;
    const u64 stride = (u64)WARPS * layer.k;
    float sums[N] = {};
#pragma unroll(STEP == 1 ? 1 : 2)
    for (u32 at = lane() * STEP; at < layer.k; at += LANES * STEP) {
        float v[STEP], w[N][STEP];
#pragma unroll
        for (u32 i = 0; i < N; i++)
            load_chunk(weight + i * stride + at, w[i]);
        read_shared(x + at, v);
#pragma unroll
        for (u32 i = 0; i < N; i++) {
#pragma unroll
            for (u32 j = 0; j < STEP; j++)
                sums[i] = fmaf(v[j], w[i][j], sums[i]);
        }
    }
    float mine = 0.0f;
#pragma unroll
    for (u32 i = 0; i < N; i++) {
        const float sum = warp_sum(sums[i]);
        mine = lane() == i ? sum : mine;
    }
    const u32 output = first + lane() * WARPS;
    if (lane() < N)
        out[output] = activate(mine + layer.bias[output], layer.activation);
}

template <u32 STEP>
__device__ __forceinline__ void multiply_by(const float* x, const Layer& layer, float* out) {
    u32 first = warp();
    for (; first + (OUTPUTS - 1) * WARPS < layer.n; first += OUTPUTS * WARPS)
        outputs<STEP, OUTPUTS>(x, layer, first, out);
    for (; first < layer.n; first += WARPS)
        outputs<STEP, 1>(x, layer, first, out);
    __syncthreads();
}

__device__ __forceinline__ void multiply(const float* x, const Layer& layer, float* out) {
    if (layer.k % WIDE == 0 && is_aligned(layer.weight))
        multiply_by<WIDE>(x, layer, out);
    else
        multiply_by<1>(x, layer, out);
}

// Counts a decision of use; anything else breaks the streak.
__device__ __forceinline__ void
count_streak(RowState& state, const Verdict& verdict, const Head& head, bool of_use) {
    const bool goes_on = of_use && agree(head, state.label, verdict.label);
    state.streak = !of_use ? 0 : !goes_on ? 1 : state.streak + (state.streak != ~0u);
    state.label = of_use ? verdict.label : 0;
}

// The number tells the host, which reads all the while, that record and logits are there:
// its release covers what this thread wrote, and what its block wrote before the last barrier.
__device__ __forceinline__ void publish(Record* record, const Record& what) {
    record->slot = what.slot;
    record->exit = what.exit;
    record->label = what.label;
    record->score = what.score;
    record->flags = what.flags;
    asm volatile("st.release.sys.global.u32 [%0], %1;" ::"l"(
                     __cvta_generic_to_global(&record->number)),
                 "r"(what.number)
                 : "memory");
}

// One thread: score, state, record.
__device__ __forceinline__ void
decide(Row row, const Verdict& verdict, const Head& head, u32 exit, bool is_final, RowState* states,
       Record* records) {
    const bool of_use = verdict.is_finite && head.classes > 0;
    count_streak(row.state, verdict, head, of_use);
    const float value = of_use ? score(verdict, row.settings, head, row.state.streak) : 0.0f;
    const bool reaches =
        exit >= row.state.first && (exit >= row.state.last || value >= row.threshold);
    const bool leaves = is_final || (reaches && of_use);
    const u32 answers = leaves && !row.state.answered ? RECORD_ANSWERS : 0;
    row.state.answered = row.state.answered || leaves;
    states[row.slot] = row.state;
    const u32 flags = answers | (verdict.is_finite ? 0 : RECORD_NOT_FINITE);
    publish(&records[row.slot],
            {row.slot, exit, verdict.label, value, flags, row.state.number});
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
ramp(const elem* x, const u32* x_map, const u32* offsets, const u32* slots, const Live* live,
     const Settings* settings, const float* thresholds, RowState* states, Record* records, float* logits,
     const elem* __restrict__ hidden_weight, const float* __restrict__ hidden_bias, u32 hidden,
     u32 hidden_activation, const elem* __restrict__ head_weight,
     const float* __restrict__ head_bias, u32 classes, u32 width, u32 pool, u32 exit,
     u32 is_final, u32 logits_stride, u32 row_vectors, u32 decision, float tolerance,
     const Moments64* moments, float eps, const float* __restrict__ scale,
     const float* __restrict__ shift) {
    wait_for_kernels();
    const u32 position = blockIdx.x;
    if (position >= live->rows)
        return;
    u32 first = offsets[position], last = offsets[position + 1];
    if (row_vectors) {
        // An image: one entry of the map, and behind it all its vectors.
        x += (u64)place(x_map, first) * row_vectors * width;
        x_map = nullptr, first = 0, last = row_vectors;
    }
    // Read now: the wait hides behind the head.
    const u32 slot = slots[position];
    const Row row = {slot, *settings, states[slot], thresholds[exit]};

    float* values = (float*)shared;
    u32 count = width;
    const bool is_wide = width % WIDE == 0 && is_aligned(x);
    const Norm norm = {{moments, width, eps}, scale, shift};
    if (pool != POOL_MEAN) {
        const u32 token = place(x_map, pool == POOL_FIRST ? first : last - 1);
        is_wide ? pool_one<WIDE>(x, token, width, norm, values)
                : pool_one<1>(x, token, width, norm, values);
    } else {
        is_wide ? pool_mean<WIDE>(x, x_map, first, last, width, norm, values)
                : pool_mean<1>(x, x_map, first, last, width, norm, values);
    }
    if (moments)
        finish_norm(norm, width, values);
    if (hidden_weight) {
        float* out = values + room(width);
        multiply(values, {hidden_weight, hidden_bias, hidden, width, hidden_activation}, out);
        values = out;
        count = hidden;
    }
    if (head_weight) {
        float* out = values + room(count);
        multiply(values, {head_weight, head_bias, classes, count, ACT_NONE}, out);
        values = out;
        count = classes;
    }
    for (u32 i = threadIdx.x; i < count; i += THREADS)
        logits[(u64)slot * logits_stride + i] = values[i];
    // The release in `publish` covers what the block wrote before this.
    __syncthreads();
    if (warp() > 0)
        return;
    const Head head = {head_weight ? classes : 0, decision, tolerance};
    const Verdict verdict = weigh(values, count, head);
    if (lane() == 0)
        decide(row, verdict, head, exit, is_final, states, records);
}
