// Convolution as a matrix product: a row of the left-hand side is the window of one output pixel,
// its columns by (ky, kx, input). The windows are never built: loaders copy them from the map,
// zeros where they leave it.
#include "linear/epilogue.cuh"

// Few outputs: a tile as wide as a warp's part of it.
typedef Shape<128, 32, 2, 32, 3> Thin;

static_assert(Thin::BYTES == 63744, "the launch knows this number");

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
    const Live* live;
    u32 n;
    u32 k;
    u32 activation;
    u32 token0;
    u32 column0;
    u32 tokens;

    static constexpr bool ACTIVATES_LAST = true;
    static constexpr bool TAKES_NORMS = false;

    // Whether a token of the tile lives.
    __device__ __forceinline__ bool find_tokens() {
        tokens = live->rows * windows.to_pixels;
        return token0 < tokens;
    }

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

// Lines and columns of a window that lie in the map, a bit each, so that two shifts tell of any
// pixel how much of a chunk to read: columns from bit 4 on, lines from bit 20 on. So there is
// room for 12 of each, as the launch knows.
__device__ __forceinline__ u32 inside(int first, u32 size, u32 kernel) {
    const u32 begin = min((u32)max(-first, 0), kernel);
    const u32 end = min((u32)max((int)size - first, 0), kernel);
    return ((1u << end) - 1) & ~((1u << begin) - 1);
}

__device__ __forceinline__ u32 window_mask(const Corner& corner, const Windows& w) {
    return inside(corner.x, w.width, w.kernel) << 4 | inside(corner.y, w.height, w.kernel) << 20;
}

__device__ __forceinline__ u32 bytes_inside(u32 mask, u32 ky, u32 kx) {
    return mask >> kx & mask >> (16 + ky) & CHUNK_BYTES;
}

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
    static constexpr bool COPIES_WEIGHTS = true;

    const Convolution& p;
    int at[PIXELS];
    u32 masks[PIXELS]; // none of a dead pixel
    u32 live;          // outputs, one bit each
    const elem* weight;
    // The pixel of the window, and the input in it, that the next stage begins with.
    u32 ky;
    u32 kx;
    u32 input;

    __device__ __forceinline__ ChunkLoader(const Convolution& p) : p(p) {
        const u32 output = p.column0 + this->row;
        live = 0;
        weight = p.weight + (u64)output * p.k + this->column;
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++)
            live |= (u32)(output + i * STEP < p.n) << i;
        ky = kx = 0;
        input = this->column;
        settle();
    }

    __device__ __forceinline__ void find_tokens(const Convolution&) {
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const u32 token = p.token0 + this->row + i * STEP;
            const bool lives = token < p.tokens;
            const Corner corner(p, lives ? token : 0);
            at[i] = corner.at;
            masks[i] = lives ? window_mask(corner, p.windows) : 0;
        }
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

    // Starts the copies of the weight's part of a stage, so many steps of k ahead.
    __device__ __forceinline__ void copy_weights(u32 stage, u32 ahead) const {
        const u32 alive = this->column + ahead * K_STEP < p.k ? live : 0;
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++)
            copy_chunk(
                this->chunk(stage, PIXELS + i), weight + ahead * K_STEP + (u64)(i * STEP) * p.k,
                alive >> i & 1
            );
    }

    // Starts those of the windows' part and goes on to the next step of k.
    __device__ __forceinline__ void copy_tokens(u32 stage) {
        // Past the last input the window has no more lines, and no bits in the masks.
        const int moved = (int)((ky * p.windows.width + kx) * p.windows.inputs + input);
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const u32 bytes = bytes_inside(masks[i], ky, kx);
            copy_bytes(this->chunk(stage, i), p.x + (at[i] + moved), bytes);
        }
        weight += K_STEP;
        this->column += K_STEP;
        input += K_STEP;
        settle();
    }
};

#if defined(ELEM_TF32)
#define ELEM_BITS "u32"
#else
#define ELEM_BITS "u16"
#endif

// The chunk of a thread, gathered element by element.
struct Gathered {
    u32 words[4] = {};

    __device__ __forceinline__ void add(u32 index, u32 bits) {
        const u32 bytes = sizeof(elem);
        words[index * bytes / 4] |= bits << index * bytes % 4 * 8;
    }
};

// Reads an element where told to, else it is zero. Written out, as the compiler would jump round
// every load.
__device__ __forceinline__ u32 read_if(bool reads, const elem* from) {
    u32 bits;
    asm volatile("{ .reg .pred %%p; setp.ne.u32 %%p, %2, 0; mov.u32 %0, 0; "
                 "@%%p ld.global." ELEM_BITS " %0, [%1]; }"
                 : "=&r"(bits)
                 : "l"(from), "r"((u32)reads));
    return bits;
}

__device__ __forceinline__ void put_chunk(u32 to, const Gathered& chunk) {
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};"
                 :
                 : "r"(to), "r"(chunk.words[0]), "r"(chunk.words[1]), "r"(chunk.words[2]),
                   "r"(chunk.words[3])
                 : "memory");
}

// Gathers element by element: any number of inputs, any alignment. A line of a window is a run of
// elements in the map, of which those from `begin` on, `length` of them, lie in it.
template <class S> struct ElementLoader : Part<S> {
    using Part<S>::STEP;
    using Part<S>::PIXELS;
    using Part<S>::OUTPUTS;
    // It waits for them, so they are not asked for early.
    static constexpr bool COPIES_WEIGHTS = false;

    const Convolution& p;
    int at[PIXELS];
    int y[PIXELS];
    u32 begin[PIXELS];
    u32 length[PIXELS];

    __device__ __forceinline__ ElementLoader(const Convolution& p) : p(p) {}

    __device__ __forceinline__ void find_tokens(const Convolution&) {
        const Windows& w = p.windows;
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const u32 token = p.token0 + this->row + i * STEP;
            const bool lives = token < p.tokens;
            const Corner corner(p, lives ? token : 0);
            const int first = max(-corner.x, 0);
            const int end = min((int)w.kernel, (int)w.width - corner.x);
            at[i] = corner.at;
            y[i] = corner.y;
            begin[i] = first * w.inputs;
            length[i] = lives ? max(end - first, 0) * w.inputs : 0;
        }
    }

    __device__ __forceinline__ void copy_tokens(u32 stage) {
        gather_windows(stage);
        this->column += K_STEP;
    }

    __device__ __forceinline__ void gather_windows(u32 stage) const {
        const Windows& w = p.windows;
        const u32 run = w.kernel * w.inputs;
        u32 line = this->column / run, in_run = this->column % run;
        Gathered chunks[PIXELS];
#pragma unroll
        for (u32 j = 0; j < CHUNK; j++) {
            const int moved = (int)(line * w.width * w.inputs + in_run);
            const bool more = line < w.kernel;
#pragma unroll
            for (int i = 0; i < PIXELS; i++) {
                const bool reads =
                    more && in_run - begin[i] < length[i] && (u32)y[i] + line < w.height;
                chunks[i].add(j, read_if(reads, p.x + (at[i] + moved)));
            }
            in_run++;
            line += in_run == run;
            in_run = in_run == run ? 0 : in_run;
        }
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
            put_chunk(this->chunk(stage, i), chunks[i]);
    }

    __device__ __forceinline__ void copy_weights(u32 stage, u32 ahead) const {
        const u32 column = this->column + ahead * K_STEP;
#pragma unroll
        for (int i = 0; i < OUTPUTS; i++) {
            const u32 output = p.column0 + this->row + i * STEP;
            const elem* row = p.weight + (u64)output * p.k + column;
            const u32 columns = output < p.n ? p.k - min(p.k, column) : 0;
            Gathered chunk;
#pragma unroll
            for (u32 j = 0; j < CHUNK; j++)
                chunk.add(j, read_if(j < columns, row + j));
            put_chunk(this->chunk(stage, PIXELS + i), chunk);
        }
    }
};

// Makes one tile. Blocks side by side read the same pixels: tiles count along the outputs first.
template <class S, class L> __device__ __forceinline__ void convolve(Convolution& p) {
    const u32 across = (p.n + S::COLUMNS - 1) / S::COLUMNS;
    p.token0 = blockIdx.x / across * S::TOKENS;
    p.column0 = blockIdx.x % across * S::COLUMNS;
    Sums<S> sums;
    L loader(p);
    const u32 steps = (p.k + K_STEP - 1) / K_STEP;
    if (!begin_tile<S>(p, loader, steps))
        return;
    accumulate<S>(loader, steps, sums);
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
            live, n, kernel *kernel *inputs, activation, 0, 0, 0                                \
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
