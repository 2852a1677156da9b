// The largest or the mean of windows of pixels: a thread makes a chunk of channels of one pixel.
#include "norm/chunk.cuh"

#define THREADS 256u

// Pixels of a window along one side.
struct Side {
    u32 first;
    u32 end;
};

// Windows of the largest: `kernel` pixels, `stride` apart. A kernel of 0: windows of the mean,
// which share the side of `from` pixels out to `to`.
__device__ __forceinline__ Side
side(u32 index, u32 from, u32 to, u32 kernel, u32 stride, u32 padding) {
    if (kernel == 0)
        return {index * from / to, ((index + 1) * from + to - 1) / to};
    const u32 start = index * stride;
    return {start - min(start, padding), min(start + kernel - padding, from)};
}

// The sum, or the largest, where a NaN stays.
template <bool MEAN> __device__ __forceinline__ float joined(float so_far, float more) {
    if (MEAN)
        return so_far + more;
    return more > so_far || isnan(more) ? more : so_far;
}

template <u32 STEP, bool MEAN>
__device__ __forceinline__ void
pool(const elem* x, elem* out, Side rows, Side columns, u32 from_width, u32 width) {
    float sums[STEP];
#pragma unroll
    for (u32 i = 0; i < STEP; i++)
        sums[i] = MEAN ? 0.0f : -INFINITY_F;
    for (u32 y = rows.first; y < rows.end; y++) {
        for (u32 at = columns.first; at < columns.end; at++) {
            float v[STEP];
            load_chunk(x + (u64)(y * from_width + at) * width, v);
#pragma unroll
            for (u32 i = 0; i < STEP; i++)
                sums[i] = joined<MEAN>(sums[i], v[i]);
        }
    }
    const u32 count = (rows.end - rows.first) * (columns.end - columns.first);
    if (MEAN) {
#pragma unroll
        for (u32 i = 0; i < STEP; i++)
            sums[i] /= (float)count;
    }
    store_chunk(out, sums);
}

extern "C" __global__ void __launch_bounds__(THREADS)
pool2d(const elem* x, const u32* x_map, elem* out, const u32* out_map, const Live* live,
       u32 from_height, u32 from_width, u32 to_height, u32 to_width, u32 width, u32 kernel,
       u32 stride, u32 padding) {
    wait_for_kernels();
    const bool is_wide = width % WIDE == 0 && is_aligned(x) && is_aligned(out);
    const u32 step = is_wide ? WIDE : 1;
    const u32 chunks = width / step, to_pixels = to_height * to_width;
    const u64 index = (u64)blockIdx.x * THREADS + threadIdx.x;
    const u64 token = index / chunks;
    const u32 row = token / to_pixels;
    if (row >= live->rows)
        return;
    const u32 pixel = token % to_pixels, channel = index % chunks * step;
    const Side rows = side(pixel / to_width, from_height, to_height, kernel, stride, padding);
    const Side columns = side(pixel % to_width, from_width, to_width, kernel, stride, padding);
    x += (u64)place(x_map, row) * from_height * from_width * width + channel;
    out += ((u64)place(out_map, row) * to_pixels + pixel) * width + channel;
    const bool is_mean = kernel == 0;
    if (is_wide && is_mean)
        pool<WIDE, true>(x, out, rows, columns, from_width, width);
    else if (is_wide)
        pool<WIDE, false>(x, out, rows, columns, from_width, width);
    else if (is_mean)
        pool<1, true>(x, out, rows, columns, from_width, width);
    else
        pool<1, false>(x, out, rows, columns, from_width, width);
}
