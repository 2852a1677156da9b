// What a row's logits say: what they decide, and how surely. One warp each. `decision.rs` and
// `cpu.rs` say the same in Rust.
#pragma once

#include "common.cuh"

#define LANES 32u

enum Score { SCORE_CONFIDENCE, SCORE_ENTROPY, SCORE_MARGIN, SCORE_PATIENCE };
// A softmax over all; a sigmoid each; one number. `decision.rs`.
enum Decision { DECIDES_CLASS, DECIDES_LABELS, DECIDES_VALUE };

// Labels of a set that have a bit each.
#define BITS 31u

__device__ __forceinline__ u32 lane() { return threadIdx.x % LANES; }

// What one row's logits say.
struct Verdict {
    u32 label;
    // All of them are.
    bool is_finite;
    // Of e^(logit - max). With a sigmoid each of ln(1 + e^-|logit|).
    float sum;
    // Of e^(logit - max) * (logit - max). With a sigmoid each what the entropy has beyond `sum`.
    float weighted;
    // The second answer's probability as a share of the first's; 0 where there is one class.
    float second;
};

// What a head decides, and how far apart the sigmoids of two numbers may be that are the same.
struct Head {
    u32 classes;
    u32 decision;
    float tolerance;
};

// One warp: the greatest logit, the lowest class where there are several. A NaN is never greater,
// and nothing is greater than one that comes first.
__device__ __forceinline__ u32 best(const float* logits, u32 count) {
    float most = -INFINITY_F;
    u32 label = count;
    for (u32 i = lane(); i < count; i += LANES) {
        if (logits[i] > most || (logits[i] == most && i < label)) {
            most = logits[i];
            label = i;
        }
    }
#pragma unroll
    for (int step = 16; step; step >>= 1) {
        const float other = __shfl_xor_sync(ALL_LANES, most, step);
        const u32 other_label = __shfl_xor_sync(ALL_LANES, label, step);
        if (other > most || (other == most && other_label < label)) {
            most = other;
            label = other_label;
        }
    }
    return isnan(logits[0]) ? 0 : label;
}

// One warp: a softmax over all.
__device__ __forceinline__ void weigh_all(const float* logits, u32 count, Verdict& verdict) {
    verdict.label = best(logits, count);
    const float most = logits[verdict.label];
    for (u32 i = lane(); i < count; i += LANES) {
        // Finite logits may lie infinitely far apart.
        const float below = fmaxf(logits[i] - most, -1e30f);
        const float e = expf(below);
        verdict.sum += e;
        verdict.weighted += e * below;
        if (i != verdict.label)
            verdict.second = fmaxf(verdict.second, e);
    }
}

// What a label that holds adds to the word of its set.
__device__ __forceinline__ u32 mark(u32 label, u32 labels) {
    if (labels <= BITS)
        return 1u << label;
    u32 x = label + 0x9e3779b9u;
    x = (x ^ x >> 16) * 0x85ebca6bu;
    x = (x ^ x >> 13) * 0xc2b2ae35u;
    return (x ^ x >> 16) & ~(1u << BITS);
}

// One warp: a sigmoid each. The other side of a label is e^-|logit| times as probable as the one
// that is decided.
__device__ __forceinline__ void
weigh_each(const float* logits, u32 count, u32 decision, Verdict& verdict) {
    u32 set = 0;
    for (u32 i = lane(); i < count; i += LANES) {
        const float size = fminf(fabsf(logits[i]), 1e4f);
        const float e = expf(-size);
        verdict.sum += log1pf(e);
        verdict.weighted += size * e / (1.0f + e);
        verdict.second = fmaxf(verdict.second, e);
        set ^= logits[i] > 0.0f ? mark(i, count) : 0;
    }
#pragma unroll
    for (int step = 16; step; step >>= 1)
        set ^= __shfl_xor_sync(ALL_LANES, set, step);
    verdict.label = decision == DECIDES_VALUE ? __float_as_uint(logits[0]) : set;
}

// One warp reads all logits; without a head there are no classes to choose from.
__device__ __forceinline__ Verdict weigh(const float* logits, u32 count, const Head& head) {
    Verdict verdict = {0, true, 0.0f, 0.0f, 0.0f};
    bool is_finite = true;
    for (u32 i = lane(); i < count; i += LANES)
        is_finite = is_finite && isfinite(logits[i]);
    verdict.is_finite = __all_sync(ALL_LANES, is_finite);
    if (head.classes == 0)
        return verdict;
    if (head.decision == DECIDES_CLASS)
        weigh_all(logits, count, verdict);
    else
        weigh_each(logits, count, head.decision, verdict);
    verdict.sum = warp_sum(verdict.sum);
    verdict.weighted = warp_sum(verdict.weighted);
    verdict.second = warp_max(verdict.second);
    return verdict;
}

// In [0, 1]. With one class every score but patience is 1.
__device__ __forceinline__ float
score(const Verdict& verdict, const Settings& settings, const Head& head, u32 streak) {
    if (settings.score == SCORE_PATIENCE)
        return (float)min(streak, settings.patience) / (float)settings.patience;
    const float classes = (float)head.classes;
    if (head.decision != DECIDES_CLASS) {
        if (settings.score == SCORE_ENTROPY) {
            const float most = classes * 0.69314718055994531f;
            return __saturatef(1.0f - (verdict.sum + verdict.weighted) / most);
        }
        const float first = expf(-verdict.sum);
        return settings.score == SCORE_MARGIN ? first * (1.0f - verdict.second) : first;
    }
    if (head.classes == 1)
        return 1.0f;
    if (settings.score == SCORE_CONFIDENCE)
        return 1.0f / verdict.sum;
    if (settings.score == SCORE_MARGIN)
        return (1.0f - verdict.second) / verdict.sum;
    const float entropy = logf(verdict.sum) - verdict.weighted / verdict.sum;
    return __saturatef(1.0f - entropy / logf(classes));
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// Whether two words stand for the same answer.
__device__ __forceinline__ bool agree(const Head& head, u32 one, u32 other) {
    if (head.decision != DECIDES_VALUE)
        return one == other;
    const float apart = sigmoid(__uint_as_float(one)) - sigmoid(__uint_as_float(other));
    return fabsf(apart) <= head.tolerance;
}
