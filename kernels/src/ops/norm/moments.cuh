// Layer norms that the ops around them take over. A value lies before its norm, beside the moments
// of every 64 of its columns, and whoever reads it normalises it. The moments of a token depend on
// nothing but the token, whatever tile wrote them.
#pragma once

#include "common.cuh"

// Columns of a pair of moments.
#define MOMENT_COLUMNS 64u

// Variance as a part of the squared mean that rounding makes of elements which are all equal: 2^-42.
// Elements that differ have more, unless it is by single units of the last place of an f32.
#define FLAT 2.2737368e-13f

__device__ __forceinline__ u32 moment_blocks(u32 width) {
    return (width + MOMENT_COLUMNS - 1) / MOMENT_COLUMNS;
}

// Mean of so many columns, and the sum of their squared distances from it.
struct __align__(8) Moments64 {
    float mean;
    float squares;
};

// What a norm without scale and shift makes of a vector: (v - mean) * inverse.
struct Standard {
    float mean;
    // 1 / standard deviation.
    float inverse;
};

// The moments of all vectors of a value: [place][block of columns].
struct MomentTable {
    const Moments64* at;
    u32 width;
    float eps;

    __device__ __forceinline__ u32 blocks() const { return moment_blocks(width); }

    __device__ __forceinline__ float columns(u32 block) const {
        return min(MOMENT_COLUMNS, width - block * MOMENT_COLUMNS);
    }

    // Of the vector at `place`.
    __device__ __forceinline__ Standard of(u32 place) const {
        const Moments64* moments = at + (u64)place * blocks();
        float sum = 0.0f, squares = 0.0f;
#pragma unroll 1
        for (u32 i = 0; i < blocks(); i++)
            sum += moments[i].mean * columns(i);
        const float mean = sum / width;
#pragma unroll 1
        for (u32 i = 0; i < blocks(); i++)
            squares += spread(moments[i], mean, columns(i));
        // Where all elements are equal the norm is 0. A product behind it would otherwise multiply
        // its rounding by as much as 1 / sqrt(eps).
        const float variance = squares / width;
        return {mean, variance < mean * mean * FLAT ? 0.0f : rsqrtf(variance + eps)};
    }

    // Squared distances of a block's columns from the mean of all.
    static __device__ __forceinline__ float
    spread(const Moments64& moments, float mean, float columns) {
        const float apart = moments.mean - mean;
        return moments.squares + columns * apart * apart;
    }
};

// The sum over eight lanes side by side.
__device__ __forceinline__ float sum_of_eight(float v) {
    const u32 lanes = 0xffu << (threadIdx.x & 24);
#pragma unroll
    for (int step = 4; step; step >>= 1)
        v += __shfl_xor_sync(lanes, v, step);
    return v;
}
