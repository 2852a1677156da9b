// What every kernel shares: elements, what lies in device memory, and sums over a warp.
//
// ELEM_F16, ELEM_BF16 or ELEM_TF32 chooses the storage of activations, matrices and tables; with the
// last they are f32, which tensor cores multiply in two parts of 11 significant bits. Vectors (bias, scale,
// shift), sums and logits are f32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#if defined(ELEM_F16)
typedef __half elem;
typedef __half2 elem2;
#elif defined(ELEM_BF16)
typedef __nv_bfloat16 elem;
typedef __nv_bfloat162 elem2;
#elif defined(ELEM_TF32)
typedef float elem;
typedef float2 elem2;
#else
#error "define ELEM_F16, ELEM_BF16 or ELEM_TF32"
#endif

#define INFINITY_F __int_as_float(0x7f800000)
#define ALL_LANES 0xffffffffu

// One token: rows of the word, position and kind tables. `Token` in pass.rs.
struct Token {
    u32 id;
    u16 position;
    u16 kind;
};

// What is alive. Lies in device memory, so that rows can leave without the host being asked.
struct Live {
    u32 rows;
    u32 tokens;
};

// What a group meets at ramps: the score (0 confidence, 1 entropy, 2 margin, 3 patience) and the
// patience.
struct Settings {
    u32 score;
    u32 patience;
};

// A row by slot. `first` and `last` are its exit window; `label` and `streak` its run of equal
// labels; `number` that of its admission, never 0.
struct RowState {
    u32 answered;
    u32 stays;
    u32 first;
    u32 last;
    u32 label;
    u32 streak;
    u32 number;
};

// What an exit says about a row, in memory that the host reads while kernels run. `number` is
// that of the row's admission; it is stored last, released to the system.
struct Record {
    u32 slot;
    u32 exit;
    u32 label;
    float score;
    u32 flags;
    u32 number;
};

#define RECORD_ANSWERS 1u
#define RECORD_NOT_FINITE 2u

// Activations as the launches number them.
enum Activation { ACT_NONE, ACT_GELU_ERF, ACT_GELU_TANH, ACT_RELU, ACT_TANH, ACT_SILU };

__device__ __forceinline__ float to_float(__half v) { return __half2float(v); }
__device__ __forceinline__ float to_float(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ __forceinline__ float to_float(float v) { return v; }
__device__ __forceinline__ float2 to_float2(__half2 v) { return __half22float2(v); }
__device__ __forceinline__ float2 to_float2(__nv_bfloat162 v) { return __bfloat1622float2(v); }

#if defined(ELEM_F16)
__device__ __forceinline__ elem to_elem(float v) { return __float2half_rn(v); }
__device__ __forceinline__ elem2 to_elem2(float a, float b) { return __floats2half2_rn(a, b); }
#elif defined(ELEM_TF32)
__device__ __forceinline__ elem to_elem(float v) { return v; }
#else
__device__ __forceinline__ elem to_elem(float v) { return __float2bfloat16_rn(v); }
__device__ __forceinline__ elem2 to_elem2(float a, float b) { return __floats2bfloat162_rn(a, b); }
#endif

// Where token `t` of a value lies. Compaction moves no vectors: it leaves a map from live tokens
// to the places they were written to. No map: they lie packed.
__device__ __forceinline__ u32 place(const u32* map, u32 t) { return map ? map[t] : t; }

#define KERNELS_OVERLAP (__CUDA_ARCH__ >= 900)

// Waits for the kernels in front of this one. Where they overlap, a launch may begin while they
// still run (programmatic dependent launch), so every thread of every kernel calls this once:
//
// - Before it nothing may be read that kernels write (only weights are not), and nothing written.
// - Whoever returns from it finds the kernel in front ended and all that it wrote. That kernel had
//   waited for the one in front of it, and so on: all have ended that were launched before. So what
//   this kernel overwrites nobody reads any more, however early it began.
// - What kernels write may change while this one is there. So it is not read through pointers that
//   are `const` and `__restrict__`: those loads may come from a cache that does not see it.
//
// The next launch may begin as soon as all blocks have come here: by then none of them needs room
// any more, so it takes none from them. A launch that begins behind all others does not wait here.
__device__ __forceinline__ void wait_for_kernels() {
#if KERNELS_OVERLAP
    asm volatile("griddepcontrol.wait;" : : : "memory");
    asm volatile("griddepcontrol.launch_dependents;" : : : "memory");
#endif
}

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int step = 16; step; step >>= 1)
        v += __shfl_xor_sync(ALL_LANES, v, step);
    return v;
}

__device__ __forceinline__ float warp_max(float v) {
#pragma unroll
    for (int step = 16; step; step >>= 1)
        v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, step));
    return v;
}

__device__ __forceinline__ float activate(float x, u32 activation) {
    switch (activation) {
    case ACT_GELU_ERF:
        return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
    case ACT_GELU_TANH:
        return 0.5f * x * (1.0f + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
    case ACT_RELU:
        // A NaN must stay one; fmaxf would drop it.
        return x < 0.0f ? 0.0f : x;
    case ACT_TANH:
        return tanhf(x);
    case ACT_SILU:
        return x / (1.0f + __expf(-x));
    default:
        return x;
    }
}
