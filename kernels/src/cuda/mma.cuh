// Tensor-core building blocks of compute capability 8.0: tiles in shared memory that are filled
// by asynchronous copies, read as fragments and multiplied 16 x 8 x 16 at a time into f32; 8 of k
// at a time where elements have four bytes. A fragment is 32 bytes of 16 rows in any case.
#pragma once

#include "common.cuh"

// A chunk is 16 bytes: what one copy moves, and what a fragment load takes of one row.
#define CHUNK_BYTES 16
#define CHUNK (CHUNK_BYTES / (int)sizeof(elem))
// Bytes that a fragment takes of each row.
#define FRAGMENT_BYTES 32

__device__ __forceinline__ u32 shared_address(const void* memory) {
    return (u32)__cvta_generic_to_shared(memory);
}

// Makes the compiler hold a value that it would work out again in every turn of a loop.
__device__ __forceinline__ void keep(u32& value) { asm volatile("" : "+r"(value)); }

// Starts the copy of a chunk. A dead one becomes zeros and is not read.
__device__ __forceinline__ void copy_chunk(u32 to, const elem* from, bool live) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(to), "l"(from), "r"(live ? CHUNK_BYTES : 0)
                 : "memory");
}

// The same, told by the bytes to read: all or none.
__device__ __forceinline__ void copy_bytes(u32 to, const elem* from, u32 bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

// Ends a group of copies; groups end in order, and an empty one is at once complete.
__device__ __forceinline__ void copies_commit() {
    asm volatile("cp.async.commit_group;" : : : "memory");
}

// Waits until at most `PENDING` of this thread's groups are under way.
template <int PENDING> __device__ __forceinline__ void copies_wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(PENDING) : "memory");
}

// Waits until all of this thread's copies are there, ended groups or not.
__device__ __forceinline__ void copies_wait_all() {
    asm volatile("cp.async.wait_all;" : : : "memory");
}

// Byte at which a chunk of a row lies in a tile whose rows are `CHUNKS` chunks. Chunks are turned
// from row to row, so that eight rows of one column of chunks lie in different banks, as do eight
// chunks of one row. The tile begins at a multiple of the row's bytes.
template <int CHUNKS> __device__ __forceinline__ u32 swizzled(u32 row, u32 chunk) {
    static_assert(CHUNKS == 4 || CHUNKS % 8 == 0, "rows of 64 bytes, or of some times 128");
    const u32 turn = CHUNKS == 4 ? row / 2 % 4 : row % 8;
    return (row * CHUNKS + (chunk ^ turn)) * CHUNK_BYTES;
}

// Where this lane reads a fragment of a swizzled tile, by its lower left corner: 16 rows times
// `rows16` up and 32 bytes times `columns16` to the right of `at`. Both leave the turn of
// the lane's row as it is, so the column only flips bits.
template <int CHUNKS> __device__ __forceinline__ u32 fragment(u32 at, u32 rows16, u32 columns16) {
    return (at ^ (columns16 * 2 * CHUNK_BYTES)) + rows16 * 16 * CHUNKS * CHUNK_BYTES;
}

// This lane's corner for fragments whose rows are those of the product (`a`), and for values laid
// out [k, n], which `load_transposed` turns into columns.
template <int CHUNKS> __device__ __forceinline__ u32 row_corner(u32 tile, u32 row) {
    const u32 lane = threadIdx.x % 32;
    return tile + swizzled<CHUNKS>(row + lane % 16, lane / 16);
}

// This lane's corner for fragments whose rows are the columns of the product (`b`, laid out
// [n, k]): registers 0 and 1 are the first eight columns, 2 and 3 the others.
template <int CHUNKS> __device__ __forceinline__ u32 column_corner(u32 tile, u32 row) {
    const u32 lane = threadIdx.x % 32;
    return tile + swizzled<CHUNKS>(row + lane % 8 + lane / 16 * 8, lane / 8 % 2);
}

// 16 rows of 32 bytes, spread over a warp. A number of four bytes is kept as the sum of two that
// tensor cores multiply whole: 11 significant bits, and the next 11.
struct Fragment {
    u32 high[4];
#if defined(ELEM_TF32)
    u32 low[4];
#endif
};

__device__ __forceinline__ void split(Fragment& fragment) {
#if defined(ELEM_TF32)
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float whole = __uint_as_float(fragment.high[i]);
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fragment.high[i]) : "f"(whole));
        const float rest = whole - __uint_as_float(fragment.high[i]);
        asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(fragment.low[i]) : "f"(rest));
    }
#endif
}

__device__ __forceinline__ void load_fragment(Fragment& to, u32 from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to.high[0]), "=r"(to.high[1]), "=r"(to.high[2]), "=r"(to.high[3])
                 : "r"(from));
    split(to);
}

#if defined(ELEM_TF32)
#define MMA "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
#elif defined(ELEM_F16)
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#else
#define MMA "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#endif

// sums += a . b. Of the 16 x 8 sums a lane holds row lane / 4, columns lane % 4 * 2 and the next,
// then the same columns eight rows further down.
__device__ __forceinline__ void
multiply(float (&sums)[4], const u32 (&a)[4], u32 b_first, u32 b_second) {
    asm(MMA "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b_first), "r"(b_second));
}

// The same for the first or the second eight columns of b. Of numbers in two parts the product of
// the lower ones is too small to count.
__device__ __forceinline__ void
multiply(float (&sums)[4], const Fragment& a, const Fragment& b, int eight) {
#if defined(ELEM_TF32)
    multiply(sums, a.low, b.high[2 * eight], b.high[2 * eight + 1]);
    multiply(sums, a.high, b.low[2 * eight], b.low[2 * eight + 1]);
#endif
    multiply(sums, a.high, b.high[2 * eight], b.high[2 * eight + 1]);
}

#if !defined(ELEM_TF32)

// A fragment of values laid out [k, n].
__device__ __forceinline__ void load_transposed(Fragment& to, u32 from) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to.high[0]), "=r"(to.high[1]), "=r"(to.high[2]), "=r"(to.high[3])
                 : "r"(from));
}

__device__ __forceinline__ u32 pack(float a, float b) {
    const elem2 pair = to_elem2(a, b);
    return *(const u32*)&pair;
}

#endif

// One store of a chunk. Written out, as the compiler would make four of what it can see through.
__device__ __forceinline__ void store_chunk(elem* to, u32 a, u32 b, u32 c, u32 d) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};"
                 :
                 : "l"(to), "r"(a), "r"(b), "r"(c), "r"(d)
                 : "memory");
}
