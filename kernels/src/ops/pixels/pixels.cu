// Pixels to vectors: out = pixel * scale + shift, by channel.
#include "norm/chunk.cuh"

#define THREADS 256u

// Elements from `first` on, which a thread makes.
template <u32 STEP>
__device__ __forceinline__ void
convert(const u8* pixels, const float* scale, const float* shift, elem* out, u64 first,
        u32 channels) {
    u8 bytes[STEP];
    if constexpr (STEP == 1)
        bytes[0] = pixels[first];
    else
        *(uint2*)bytes = *(const uint2*)(pixels + first);
    u32 channel = first % channels;
    float v[STEP];
#pragma unroll
    for (u32 i = 0; i < STEP; i++) {
        v[i] = fmaf((float)bytes[i], scale[channel], shift[channel]);
        channel = channel + 1 == channels ? 0 : channel + 1;
    }
    store_chunk(out + first, v);
}

extern "C" __global__ void __launch_bounds__(THREADS)
pixels(const u8* __restrict__ pixels, const Live* __restrict__ live,
       const float* __restrict__ scale, const float* __restrict__ shift, elem* __restrict__ out,
       u32 row_pixels, u32 channels) {
    const u64 first = ((u64)blockIdx.x * THREADS + threadIdx.x) * WIDE;
    const u64 end = (u64)live->rows * row_pixels;
    if (first + WIDE <= end && is_aligned(out)) {
        convert<WIDE>(pixels, scale, shift, out, first, channels);
        return;
    }
    for (u64 at = first; at < min(first + WIDE, end); at++)
        convert<1>(pixels, scale, shift, out, at, channels);
}
