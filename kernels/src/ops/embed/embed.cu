// Tokens to vectors: a warp takes a token.
#include "norm/norm.cuh"

// A token's rows of the tables; their sum lives in registers alone.
struct Rows {
    const elem* word;
    const elem* position;
    const elem* kind;

    template <u32 STEP>
    __device__ __forceinline__ void operator()(u32 at, float (&v)[STEP]) const {
        float other[STEP];
        load_chunk(word + at, v);
        load_chunk(position + at, other);
#pragma unroll
        for (u32 j = 0; j < STEP; j++)
            v[j] += other[j];
        if (!kind)
            return;
        load_chunk(kind + at, other);
#pragma unroll
        for (u32 j = 0; j < STEP; j++)
            v[j] += other[j];
    }
};

// The sum as it is.
template <u32 STEP>
__device__ __forceinline__ void store_sum(const Rows& rows, u32 width, elem* to) {
    for (u32 at = threadIdx.x % LANES * STEP; at < width; at += LANES * STEP) {
        float v[STEP];
        rows(at, v);
        store_chunk(to + at, v);
    }
}

// Elements of four bytes take more registers.
extern "C" __global__ void __launch_bounds__(THREADS, sizeof(elem) == 4 ? 5 : 6)
embed(const Token* tokens, const Live* live, const elem* __restrict__ word,
      const elem* __restrict__ position, const elem* __restrict__ kind,
      const float* __restrict__ scale, const float* __restrict__ shift, float eps, u32 width,
      elem* out, const u32* out_map) {
    wait_for_kernels();
    const u32 t = warp_token();
    if (t >= live->tokens)
        return;
    const bool is_wide = width % WIDE == 0 && is_aligned(word) && is_aligned(position) &&
                         is_aligned(kind) && is_aligned(out) && is_aligned(scale) &&
                         is_aligned(shift);
    const Token token = tokens[t];
    const Rows rows = {
        word + (u64)token.id * width,
        position + (u64)token.position * width,
        kind ? kind + (u64)token.kind * width : nullptr,
    };
    elem* to = out + (u64)place(out_map, t) * width;
    if (!scale) {
        is_wide ? store_sum<WIDE>(rows, width, to) : store_sum<1>(rows, width, to);
        return;
    }
    const Form form = {scale, shift, eps, width, 1.0f / width};
    normalise(rows, form, is_wide, to);
}
