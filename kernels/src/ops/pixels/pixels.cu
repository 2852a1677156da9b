// Pixels to vectors: out = pixel * scale + shift, by channel. `pixels` writes pixel by pixel,
// `pixel_blocks` blocks of pixels with all their channels; `fold.rs` says which element is which.
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
pixels(const u8* pixels, const Live* live, const float* __restrict__ scale,
       const float* __restrict__ shift, elem* __restrict__ out, u32 row_pixels, u32 channels) {
    wait_for_kernels();
    const u64 first = ((u64)blockIdx.x * THREADS + threadIdx.x) * WIDE;
    const u64 end = (u64)live->rows * row_pixels;
    if (first + WIDE <= end && is_aligned(out)) {
        convert<WIDE>(pixels, scale, shift, out, first, channels);
        return;
    }
    for (u64 at = first; at < min(first + WIDE, end); at++)
        convert<1>(pixels, scale, shift, out, at, channels);
}

// The image, and the blocks made of it.
struct Blocks {
    u32 height;
    u32 width;
    u32 channels;
    u32 side;
    u32 padding;
    u32 to_pixels;
    u32 to_width;
    u32 depth;
};

// The first pixel of a block. What lies before the first line or pixel of the image has wrapped,
// and is larger than any.
struct Corner {
    const u8* image;
    u32 y;
    u32 x;

    __device__ __forceinline__ Corner(const u8* pixels, const Blocks& b, u32 block) {
        const u32 at = block % b.to_pixels;
        image = pixels + (u64)(block / b.to_pixels) * b.height * b.width * b.channels;
        y = at / b.to_width * b.side - b.padding;
        x = at % b.to_width * b.side - b.padding;
    }
};

// Chunks of a block.
template <u32 SIDE, u32 CHANNELS>
constexpr u32 CHUNKS = (SIDE * SIDE * CHANNELS + WIDE - 1) / WIDE;

// Whether blocks have this shape, and whole chunks.
template <u32 SIDE, u32 CHANNELS>
__device__ __forceinline__ bool is(const Blocks& b, const elem* out) {
    return b.side == SIDE && b.channels == CHANNELS && b.depth == CHUNKS<SIDE, CHANNELS> * WIDE &&
           is_aligned(out);
}

// A block of a shape that the compiler knows.
template <u32 SIDE, u32 CHANNELS>
__device__ __forceinline__ void
convert_known(const Corner& corner, const float* scale, const float* shift, elem* out,
              const Blocks& b) {
    float v[CHUNKS<SIDE, CHANNELS>][WIDE] = {};
#pragma unroll
    for (u32 pixel = 0; pixel < SIDE * SIDE; pixel++) {
        const u32 y = corner.y + pixel / SIDE, x = corner.x + pixel % SIDE;
        if (y >= b.height || x >= b.width)
            continue;
        const u8* bytes = corner.image + (y * b.width + x) * CHANNELS;
#pragma unroll
        for (u32 c = 0; c < CHANNELS; c++) {
            const u32 at = pixel * CHANNELS + c;
            v[at / WIDE][at % WIDE] = fmaf((float)bytes[c], scale[c], shift[c]);
        }
    }
#pragma unroll
    for (u32 i = 0; i < CHUNKS<SIDE, CHANNELS>; i++)
        store_chunk(out + i * WIDE, v[i]);
}

// Any block, element by element.
__device__ __forceinline__ void
convert_any(const Corner& corner, const float* scale, const float* shift, elem* out,
            const Blocks& b) {
    for (u32 at = 0; at < b.depth; at++) {
        const u32 pixel = at / b.channels, channel = at % b.channels;
        const u32 y = corner.y + pixel / b.side, x = corner.x + pixel % b.side;
        float v = 0.0f;
        if (pixel < b.side * b.side && y < b.height && x < b.width) {
            const u8 byte = corner.image[(y * b.width + x) * b.channels + channel];
            v = fmaf((float)byte, scale[channel], shift[channel]);
        }
        out[at] = to_elem(v);
    }
}

// A thread makes a block.
extern "C" __global__ void __launch_bounds__(THREADS)
pixel_blocks(const u8* pixels, const Live* live, const float* __restrict__ scale,
             const float* __restrict__ shift, elem* __restrict__ out, u32 height, u32 width,
             u32 channels, u32 side, u32 padding, u32 to_pixels, u32 to_width, u32 depth) {
    wait_for_kernels();
    const Blocks b = {height, width, channels, side, padding, to_pixels, to_width, depth};
    const u32 block = blockIdx.x * THREADS + threadIdx.x;
    if (block >= live->rows * to_pixels)
        return;
    const Corner corner(pixels, b, block);
    elem* to = out + (u64)block * depth;
    if (is<2, 3>(b, out))
        convert_known<2, 3>(corner, scale, shift, to, b);
    else if (is<1, 3>(b, out))
        convert_known<1, 3>(corner, scale, shift, to, b);
    else if (is<2, 1>(b, out))
        convert_known<2, 1>(corner, scale, shift, to, b);
    else if (is<1, 1>(b, out))
        convert_known<1, 1>(corner, scale, shift, to, b);
    else
        convert_any(corner, scale, shift, to, b);
}
