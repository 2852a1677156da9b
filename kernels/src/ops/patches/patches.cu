// Patches of images to rows of tokens: a warp takes a token, a lane every 32nd element of it.
#include "norm/norm.cuh"

// `first` and `position` are tables `[firsts, width]` and `[firsts + patches, width]`. The first is
// read by the same loads as `x`, which kernels write.
extern "C" __global__ void __launch_bounds__(THREADS)
patches(const elem* x, const Live* live, const elem* first, const elem* __restrict__ position,
        u32 firsts, u32 tokens, u32 width, elem* out, const u32* out_map) {
    wait_for_kernels();
    const u32 t = warp_token();
    if (t >= live->tokens)
        return;
    const u32 row = t / tokens;
    const u32 index = t % tokens;
    const u64 patch = (u64)row * (tokens - firsts) + index - firsts;
    const elem* from = index < firsts ? first + (u64)index * width : x + patch * width;
    const elem* added = position + (u64)index * width;
    elem* to = out + (u64)place(out_map, t) * width;
    for (u32 i = threadIdx.x % LANES; i < width; i += LANES)
        to[i] = to_elem(to_float(from[i]) + to_float(added[i]));
}
