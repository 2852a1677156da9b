// Layer normalisation of one vector by one warp. `Form` in cpu.rs.
#pragma once

#include "chunk.cuh"

#define LANES 32u
// Chunks that a lane keeps in registers: vectors of up to 1024 elements are read once.
#define CHUNKS 4u

#define WARPS 4u
#define THREADS (WARPS * LANES)

struct Form {
    const float* scale;
    const float* shift;
    float eps;
    u32 width;
    // 1 / width.
    float share;
};

// What the sums over a vector say.
struct Moments {
    float mean;
    // 1 / standard deviation.
    float inverse;
};

// The token of this warp.
__device__ __forceinline__ u32 warp_token() {
    return blockIdx.x * WARPS + threadIdx.x / LANES;
}

__device__ __forceinline__ Moments moments(float mean, float squares, const Form& form) {
    return {mean, rsqrtf(squares * form.share + form.eps)};
}

template <u32 STEP>
__device__ __forceinline__ void
finish(const float (&v)[STEP], const Moments& m, const Form& form, u32 at, elem* out) {
    float scale[STEP], shift[STEP], result[STEP];
    load_chunk(form.scale + at, scale);
    load_chunk(form.shift + at, shift);
#pragma unroll
    for (u32 j = 0; j < STEP; j++)
        result[j] = (v[j] - m.mean) * m.inverse * scale[j] + shift[j];
    store_chunk(out + at, result);
}

// `source(at, chunk)` gives the elements from `at`.
template <class Source>
__device__ __forceinline__ void norm_held(const Source& source, const Form& form, elem* out) {
    const u32 first = threadIdx.x % LANES * WIDE;
    float v[CHUNKS][WIDE];
    float sum = 0.0f, squares = 0.0f;
#pragma unroll
    for (u32 i = 0; i < CHUNKS; i++) {
        // Beyond the end the last chunk is read again: no branch keeps the reads apart.
        source(min(first + i * LANES * WIDE, form.width - WIDE), v[i]);
    }
#pragma unroll
    for (u32 i = 0; i < CHUNKS; i++) {
#pragma unroll
        for (u32 j = 0; j < WIDE; j++)
            sum += first + i * LANES * WIDE < form.width ? v[i][j] : 0.0f;
    }
    const float mean = warp_sum(sum) * form.share;
#pragma unroll
    for (u32 i = 0; i < CHUNKS; i++) {
#pragma unroll
        for (u32 j = 0; j < WIDE; j++) {
            const float d = first + i * LANES * WIDE < form.width ? v[i][j] - mean : 0.0f;
            squares += d * d;
        }
    }
    const Moments m = moments(mean, warp_sum(squares), form);
#pragma unroll
    for (u32 i = 0; i < CHUNKS; i++) {
        const u32 at = first + i * LANES * WIDE;
        if (at < form.width)
            finish(v[i], m, form, at, out);
    }
}

// Longer vectors are read three times.
template <u32 STEP, class Source>
__device__ __forceinline__ void norm_long(const Source& source, const Form& form, elem* out) {
    const u32 first = threadIdx.x % LANES * STEP;
    float v[STEP];
    float sum = 0.0f, squares = 0.0f;
#pragma unroll 2
    for (u32 at = first; at < form.width; at += LANES * STEP) {
        source(at, v);
#pragma unroll
        for (u32 j = 0; j < STEP; j++)
            sum += v[j];
    }
    const float mean = warp_sum(sum) * form.share;
#pragma unroll 2
    for (u32 at = first; at < form.width; at += LANES * STEP) {
        source(at, v);
#pragma unroll
        for (u32 j = 0; j < STEP; j++)
            squares += (v[j] - mean) * (v[j] - mean);
    }
    const Moments m = moments(mean, warp_sum(squares), form);
    for (u32 at = first; at < form.width; at += LANES * STEP) {
        source(at, v);
        finish(v, m, form, at, out);
    }
}

// `is_wide`: every pointer is 16-byte aligned, and the width a multiple of 8.
template <class Source>
__device__ __forceinline__ void
normalise(const Source& source, const Form& form, bool is_wide, elem* out) {
    if (!is_wide)
        norm_long<1>(source, form, out);
    else if (form.width <= CHUNKS * LANES * WIDE)
        norm_held(source, form, out);
    else
        norm_long<WIDE>(source, form, out);
}
