// Convolution as a matrix product: a row of the left-hand side is the window of one output pixel,
// its columns by (ky, kx, input). The windows are never built: loaders copy them from the map,
// zeros where they leave it.
#include "linear/tile.cuh"

// Few outputs: a tile as wide as a warp's part of it.
typedef Shape<128, 32, 2, 3> Thin;

static_assert(Thin::BYTES == 62592, "the launch knows this number");

// The map that is read, and the windows.
struct Windows {
    u32 height;
    u32 width;
    u32 inputs;
    u32 kernel;
    u32 stride;
    u32 padding;
    u32 to_pixels;
    u32 to_width;
};

// What the launch gives, and the corner of the block's tile. A token is an output pixel, counted
// through all images alive.
struct Convolution {
    const elem* x;
    const u32* x_map;
    const elem* weight;
    const float* bias;
    const elem* residual;
    const u32* residual_map;
    elem* out;
    const u32* out_map;
    Windows windows;
    u32 tokens;
    u32 n;
    u32 k;
    u32 activation;
    u32 token0;
    u32 column0;

    static constexpr bool ACTIVATES_LAST = true;

    __device__ __forceinline__ u32 out_place(u32 token) const { return moved(out_map, token); }

    __device__ __forceinline__ u32 residual_place(u32 token) const {
        return residual ? moved(residual_map, token) : 0;
    }

    // A map has one entry an image.
    __device__ __forceinline__ u32 moved(const u32* map, u32 token) const {
        if (!map)
            return token;
        const u32 image = token / windows.to_pixels;
        return token + (map[image] - image) * windows.to_pixels;
    }
};

// Where the window of an output pixel begins: its first pixel, which may lie outside the map, and
// its first element, counted from the first of x.
struct Corner {
    int y;
    int x;
    int at;

    __device__ __forceinline__ Corner(const Convolution& p, u32 token) {
        const Windows& w = p.windows;
        const u32 image = token / w.to_pixels, pixel = token % w.to_pixels;
        y = (int)(pixel / w.to_width * w.stride) - (int)w.padding;
        x = (int)(pixel % w.to_width * w.stride) - (int)w.padding;
        const int line = (int)(place(p.x_map, image) * w.height) + y;
        at = (line * (int)w.width + x) * (int)w.inputs;
    }
};

// The thread's part of a stage: one column of chunks, every `STEP`th row.
template <class S> struct Part {
    static constexpr int STEP = S::THREADS / K_CHUNKS;
    static constexpr int PIXELS = S::TOKENS / STEP;
    static constexpr int OUTPUTS = S::COLUMNS / STEP;

    u32 row;
    u32 column;
    u32 to;

    __device__ __forceinline__ Part() {
        row = threadIdx.x / K_CHUNKS;
        column = threadIdx.x % K_CHUNKS * CHUNK;
        to = shared_address(shared_bytes) + swizzled<K_CHUNKS>(row, threadIdx.x % K_CHUNKS);
    }

    // The chunk in row `row + i * STEP` of a stage.
    __device__ __forceinline__ u32 chunk(u32 stage, u32 i) const {
        return to + stage * S::STAGE_BYTES + i * STEP * K_CHUNKS * CHUNK_BYTES;
    }
};

// Copies whole chunks: inputs come in multiples of a chunk, so that none spans two pixels.
template <class S> struct ChunkLoader : Part<S> {
    using Part<S>::STEP;
    using Part<S>::PIXELS;
    using Part<S>::OUTPUTS;

    const Convolution& p;
    int at[PIXELS];
    u32 corners[PIXELS]; // y above x, 16 bits each
    u32 live;            // one bit a row: pixels, then outputs
    const elem* weight;
    // The pixel of the window, and the input in it, that the next stage begins with.
    u32 ky;
    u32 kx;
    u32 input;

    __device__ __forceinline__ ChunkLoader(const Convolution& p) : p(p) {
        live = 0;
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const u32 token = p.token0 + this->row + i * STEP;
            const bool lives = token < p.tokens;
            const Corner corner(p, lives ? token : 0);
            at[i] = corner.at;
            corners[i] = (u32)corner.y << 16 | ((u32)corner.x & 0xffff);
            live |= (u32)lives << i;
        }
        const u32 output = p.column0 + this->row;
        weight = p.weight + (u64)output * p.k + this->column;
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++)
            live |= (u32)(output + i * STEP < p.n) << (PIXELS + i);
        ky = kx = 0;
        input = this->column;
        settle();
    }

    // Moves inputs beyond the last on to the next pixels.
    __device__ __forceinline__ void settle() {
        while (input >= p.windows.inputs) {
            input -= p.windows.inputs;
            if (++kx == p.windows.kernel) {
                kx = 0;
                ky++;
            }
        }
    }

    // Starts the copies of a stage and goes on to the next step of k.
    __device__ __forceinline__ void copy(u32 stage) {
        const u32 alive = this->column < p.k ? live : 0;
        const int moved = (int)((ky * p.windows.width + kx) * p.windows.inputs + input);
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const u32 y = (u32)((int)corners[i] >> 16) + ky, x = (u32)(int)(short)corners[i] + kx;
            const bool inside = y < p.windows.height && x < p.windows.width;
            copy_chunk(this->chunk(stage, i), p.x + (at[i] + moved), inside && (alive >> i & 1));
        }
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++)
            copy_chunk(
                this->chunk(stage, PIXELS + i), weight + (u64)(i * STEP) * p.k,
                alive >> (PIXELS + i) & 1
            );
        weight += K_STEP;
        this->column += K_STEP;
        input += K_STEP;
        settle();
    }
};

// Gathers element by element: any number of inputs, any alignment.
template <class S> struct ElementLoader : Part<S> {
    using Part<S>::STEP;
    using Part<S>::PIXELS;
    using Part<S>::OUTPUTS;

    const Convolution& p;

    __device__ __forceinline__ ElementLoader(const Convolution& p) : p(p) {}

    __device__ __forceinline__ void copy(u32 stage) {
#pragma unroll 1
        for (int i = 0; i < PIXELS; i++) {
            const u32 token = p.token0 + this->row + i * STEP;
            const bool lives = token < p.tokens;
            gather_window(Corner(p, lives ? token : 0), lives, this->chunk(stage, i));
        }
#pragma unroll 1
        for (int i = 0; i < OUTPUTS; i++)
            gather_weight(p.column0 + this->row + i * STEP, this->chunk(stage, PIXELS + i));
        this->column += K_STEP;
    }

    __device__ __forceinline__ void gather_window(const Corner& corner, bool lives, u32 to) const {
        const Windows& w = p.windows;
        const u32 pixel = this->column / w.inputs;
        u32 input = this->column % w.inputs, ky = pixel / w.kernel, kx = pixel % w.kernel;
        u16 bits[CHUNK];
#pragma unroll
        for (u32 j = 0; j < CHUNK; j++) {
            const u32 y = (u32)corner.y + ky, x = (u32)corner.x + kx;
            const bool reads = lives && ky < w.kernel && y < w.height && x < w.width;
            const int at = corner.at + (int)((ky * w.width + kx) * w.inputs + input);
            bits[j] = reads ? ((const u16*)p.x)[at] : 0;
            if (++input == w.inputs) {
                input = 0;
                kx = kx + 1 == w.kernel ? 0 : kx + 1;
                ky += kx == 0;
            }
        }
        put_chunk(to, bits);
    }

    __device__ __forceinline__ void gather_weight(u32 output, u32 to) const {
        const u16* row = (const u16*)p.weight + (u64)output * p.k;
        u16 bits[CHUNK];
#pragma unroll
        for (u32 j = 0; j < CHUNK; j++) {
            const u32 at = this->column + j;
            bits[j] = output < p.n && at < p.k ? row[at] : 0;
        }
        put_chunk(to, bits);
    }

    __device__ __forceinline__ static void put_chunk(u32 to, const u16 (&bits)[CHUNK]) {
        u32 pairs[CHUNK / 2];
#pragma unroll
        for (u32 j = 0; j < CHUNK / 2; j++)
            pairs[j] = bits[2 * j] | (u32)bits[2 * j + 1] << 16;
        asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};"
                     :
                     : "r"(to), "r"(pairs[0]), "r"(pairs[1]), "r"(pairs[2]), "r"(pairs[3])
                     : "memory");
    }
};

// Makes one tile. Blocks side by side read the same pixels: tiles count along the outputs first.
template <class S, class L> __device__ __forceinline__ void convolve(Convolution& p) {
    const u32 across = (p.n + S::COLUMNS - 1) / S::COLUMNS;
    p.token0 = blockIdx.x / across * S::TOKENS;
    p.column0 = blockIdx.x % across * S::COLUMNS;
    if (p.token0 >= p.tokens)
        return;
    Sums<S> sums;
    edges<S>().fetch(p);
    L loader(p);
    accumulate<S>(loader, (p.k + K_STEP - 1) / K_STEP, sums);
    finish<S>(p, sums);
}

#define CONVOLUTION_PARAMETERS                                                                    \
    const elem *x, const u32 *x_map, const elem *weight, const float *bias, const elem *residual, \
        const u32 *residual_map, elem *out, const u32 *out_map, const Live *live, u32 height,     \
        u32 width, u32 inputs, u32 kernel, u32 stride, u32 padding, u32 to_pixels, u32 to_width,  \
        u32 n, u32 activation

#define CONVOLUTION                                                                             \
    {                                                                                           \
        x, x_map, weight, bias, residual, residual_map, out, out_map,                           \
            {height, width, inputs, kernel, stride, padding, to_pixels, to_width},              \
            live->rows *to_pixels, n, kernel *kernel *inputs, activation, 0, 0                  \
    }

extern "C" __global__ void __launch_bounds__(Wide::THREADS, 2)
conv2d_wide(CONVOLUTION_PARAMETERS) {
    Convolution p = CONVOLUTION;
    convolve<Wide, ChunkLoader<Wide>>(p);
}

extern "C" __global__ void __launch_bounds__(Few::THREADS, 3)
conv2d_few(CONVOLUTION_PARAMETERS) {
    Convolution p = CONVOLUTION;
    convolve<Few, ChunkLoader<Few>>(p);
}

extern "C" __global__ void __launch_bounds__(Thin::THREADS, 3)
conv2d_thin(CONVOLUTION_PARAMETERS) {
    Convolution p = CONVOLUTION;
    convolve<Thin, ChunkLoader<Thin>>(p);
}

extern "C" __global__ void __launch_bounds__(Few::THREADS, 3)
conv2d_any(CONVOLUTION_PARAMETERS) {
    Convolution p = CONVOLUTION;
    convolve<Few, ElementLoader<Few>>(p);
}
