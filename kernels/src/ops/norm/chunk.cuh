// Vectors move in chunks of STEP elements: 8 by 16-byte accesses where the memory allows it, else
// 1.
#pragma once

#include "common.cuh"

// Elements that move together.
#define WIDE 8u

__device__ __forceinline__ bool is_aligned(const void* p) { return ((u64)p & 15) == 0; }

template <u32 STEP>
__device__ __forceinline__ void load_chunk(const float* from, float (&v)[STEP]) {
    if constexpr (STEP == 1) {
        v[0] = *from;
    } else {
#pragma unroll
        for (u32 j = 0; j < STEP; j += 4) {
            const float4 four = *(const float4*)(from + j);
            v[j] = four.x;
            v[j + 1] = four.y;
            v[j + 2] = four.z;
            v[j + 3] = four.w;
        }
    }
}

#if defined(ELEM_TF32)

template <u32 STEP>
__device__ __forceinline__ void store_chunk(elem* to, const float (&v)[STEP]) {
    if constexpr (STEP == 1) {
        *to = v[0];
    } else {
#pragma unroll
        for (u32 j = 0; j < STEP; j += 4)
            *(float4*)(to + j) = make_float4(v[j], v[j + 1], v[j + 2], v[j + 3]);
    }
}

#else

template <u32 STEP>
__device__ __forceinline__ void load_chunk(const elem* from, float (&v)[STEP]) {
    if constexpr (STEP == 1) {
        v[0] = to_float(*from);
    } else {
        const uint4 bits = *(const uint4*)from;
        const elem2* pairs = (const elem2*)&bits;
#pragma unroll
        for (u32 j = 0; j < STEP / 2; j++) {
            const float2 pair = to_float2(pairs[j]);
            v[2 * j] = pair.x;
            v[2 * j + 1] = pair.y;
        }
    }
}

template <u32 STEP>
__device__ __forceinline__ void store_chunk(elem* to, const float (&v)[STEP]) {
    if constexpr (STEP == 1) {
        *to = to_elem(v[0]);
    } else {
        uint4 bits;
        elem2* pairs = (elem2*)&bits;
#pragma unroll
        for (u32 j = 0; j < STEP / 2; j++)
            pairs[j] = to_elem2(v[2 * j], v[2 * j + 1]);
        *(uint4*)to = bits;
    }
}

#endif
