// Layer normalisation: a warp takes a token.
#include "norm.cuh"

struct Vector {
    const elem* x;

    template <u32 STEP>
    __device__ __forceinline__ void operator()(u32 at, float (&v)[STEP]) const {
        load_chunk(x + at, v);
    }
};

// Not named `norm`: CUDA's own maths has a C function of that name.
extern "C" __global__ void __launch_bounds__(THREADS, 6)
layer_norm(const elem* x, const u32* x_map, const Live* live, const float* __restrict__ scale,
           const float* __restrict__ shift, float eps, u32 width, elem* out,
           const u32* out_map) {
    wait_for_kernels();
    const u32 token = warp_token();
    if (token >= live->tokens)
        return;
    const bool is_wide = width % WIDE == 0 && is_aligned(x) && is_aligned(out) &&
                         is_aligned(scale) && is_aligned(shift);
    const Vector from = {x + (u64)place(x_map, token) * width};
    const Form form = {scale, shift, eps, width, 1.0f / width};
    normalise(from, form, is_wide, out + (u64)place(out_map, token) * width);
}
