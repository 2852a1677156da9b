//! One task is a row, a head and a block of queries: keys and values are packed into panels of
//! the worker's scratch, then both products run on the micro-kernels of the matrix product.
//!
//! ```text
//! scores[q, key] = Q · Kᵀ      softmax without its division      out = scores · V / sum
//! ```

use super::Attention;
use crate::cpu::gemm::{self, PANEL, Panels, ROWS_MAX, Rows};
use crate::cpu::simd::vectorised;
use crate::cpu::{self, Buffer, CpuDevice, Shared, Simd, math};
use crate::{ArenaLayout, Result, RowTokens};

/// Tasks per worker to aim at before queries are cut into blocks: each block packs again.
const TASKS_PER_WORKER: usize = 2;

impl Attention {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let width = self.heads.saturating_mul(self.head_dim);
        if device.rows.live() == 0 || width == 0 {
            return Ok(());
        }
        let (qkv, out) = (device.packed(self.qkv, 3 * width), device.packed(self.out, width));
        let flops =
            self.cost(device.rows.live() as f64, device.rows.count(RowTokens::Own) as f64).flops;
        let ([qkv], out) = device.arena.views([qkv], out)?;
        let rows = &device.rows;
        let (heads, head_dim) = (self.heads, self.head_dim);
        let out = Shared::new(out);
        let kernel = Kernel { simd: device.simd, qkv, out, rows, heads, head_dim };
        let (block, blocks) = kernel.blocks(device.team.threads());
        let scratch = device.attention.shared();
        device.team.run(rows.live() * heads * blocks, flops, &|task, worker| {
            // SAFETY: no two tasks that run at once have the same worker.
            let scratch = unsafe { scratch.worker(worker) };
            let (pair, first) = (task / blocks, task % blocks * block);
            kernel.task(pair / heads, pair % heads, first, block, scratch);
        })
    }
}

/// Panels and scores of one worker each.
#[derive(Default)]
pub(crate) struct AttentionScratch {
    memory: Buffer,
    row_tokens_max: usize,
}

/// The scratch while a team works on it.
struct SharedScratch<'a> {
    memory: Shared<'a>,
    row_tokens_max: usize,
}

/// One worker's part.
struct Scratch<'a> {
    keys: &'a mut [f32],
    values: &'a mut [f32],
    scores: &'a mut [f32],
}

impl AttentionScratch {
    pub(crate) fn new(layout: &ArenaLayout, threads: usize) -> Result<Self> {
        let row_tokens_max = layout.row_tokens_max;
        let len = scratch_lens(row_tokens_max).iter().fold(0_usize, |a, &b| a.saturating_add(b));
        let memory = Buffer::new("attention scratch", len.saturating_mul(threads))?;
        Ok(Self { memory, row_tokens_max })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.memory.bytes()
    }

    fn shared(&mut self) -> SharedScratch<'_> {
        SharedScratch { memory: Shared::new(&mut self.memory), row_tokens_max: self.row_tokens_max }
    }
}

impl SharedScratch<'_> {
    /// # Safety
    /// One at a time for each `worker`.
    unsafe fn worker(&self, worker: usize) -> Scratch<'_> {
        let lens = scratch_lens(self.row_tokens_max);
        let len = lens.iter().sum();
        // SAFETY: workers' parts are disjoint, and this one is taken once at a time.
        let part = unsafe { self.memory.part(worker * len, len) };
        let (keys, rest) = part.split_at_mut(lens[0]);
        let (values, scores) = rest.split_at_mut(lens[1]);
        Scratch { keys, values, scores }
    }
}

/// Elements for keys, values and scores of rows up to `tokens` long.
fn scratch_lens(tokens: usize) -> [usize; 3] {
    let padded = tokens.div_ceil(PANEL).saturating_mul(PANEL);
    let panels = padded.saturating_mul(Attention::HEAD_DIM_MAX);
    [panels, panels, padded.saturating_mul(ROWS_MAX)]
}

struct Kernel<'a> {
    simd: Simd,
    qkv: &'a [f32],
    out: Shared<'a>,
    rows: &'a cpu::Rows,
    heads: usize,
    head_dim: usize,
}

impl Kernel<'_> {
    /// Queries of a block, and blocks of the longest row.
    fn blocks(&self, threads: usize) -> (usize, usize) {
        let (longest, tile) = (self.rows.longest(), gemm::rows_max(self.simd));
        let wanted = (threads * TASKS_PER_WORKER).div_ceil(self.rows.live() * self.heads);
        let block = longest.div_ceil(wanted).next_multiple_of(tile);
        (block, longest.div_ceil(block))
    }

    /// Elements from one token to the next.
    fn stride(&self) -> usize {
        3 * self.heads * self.head_dim
    }

    /// Part 0, 1 or 2 (queries, keys, values) of a head from a token on.
    fn part(&self, token: usize, part: usize, head: usize) -> &[f32] {
        &self.qkv[token * self.stride() + (part * self.heads + head) * self.head_dim..]
    }

    /// Queries `first .. first + block` of a row, as far as there are any.
    fn task(&self, row: usize, head: usize, first: usize, block: usize, scratch: Scratch<'_>) {
        let span = self.rows.span(row, RowTokens::Own);
        let end = span.end.min(span.start + first + block);
        if span.start + first >= end {
            return;
        }
        let tokens = span.len();
        let Scratch { keys, values, scores } = scratch;
        let keys = &mut keys[..tokens.div_ceil(PANEL) * PANEL * self.head_dim];
        let values = &mut values[..tokens * self.head_dim.div_ceil(PANEL) * PANEL];
        self.pack_keys(self.part(span.start, 1, head), tokens, keys);
        self.pack_values(self.part(span.start, 2, head), tokens, values);
        let step = gemm::rows_max(self.simd);
        for query in (span.start + first..end).step_by(step) {
            let queries = Rows {
                data: self.part(query, 0, head),
                count: step.min(end - query),
                stride: self.stride(),
            };
            let sums = self.score(queries, keys, tokens, scores);
            self.mix(&sums, values, tokens, scores, query, head);
        }
    }

    /// Keys as columns: panels of 32 keys.
    fn pack_keys(&self, keys: &[f32], tokens: usize, panels: &mut [f32]) {
        let stride = self.stride();
        for (p, panel) in panels.chunks_exact_mut(PANEL * self.head_dim).enumerate() {
            let count = PANEL.min(tokens - p * PANEL);
            if count < PANEL {
                panel.fill(0.0);
            }
            gemm::interleave(&keys[p * PANEL * stride..], stride, count, panel, 0);
        }
    }

    /// Values as they are: panels of 32 elements of the head.
    fn pack_values(&self, values: &[f32], tokens: usize, panels: &mut [f32]) {
        for (p, panel) in panels.chunks_exact_mut(PANEL * tokens).enumerate() {
            let count = PANEL.min(self.head_dim - p * PANEL);
            for (t, line) in panel.chunks_exact_mut(PANEL).enumerate() {
                line[..count].copy_from_slice(&values[t * self.stride() + p * PANEL..][..count]);
                line[count..].fill(0.0);
            }
        }
    }

    /// Fills the scores of a tile of queries with `e^(score - max)` and gives their sums.
    fn score(&self, queries: Rows<'_>, keys: &[f32], tokens: usize, scores: &mut [f32]) -> Sums {
        let stride = tokens.next_multiple_of(PANEL);
        for (p, panel) in keys.chunks_exact(PANEL * self.head_dim).enumerate() {
            let c = &mut scores[p * PANEL..];
            gemm::tile(self.simd, queries, self.head_dim, Panels::whole(panel), c, stride, false);
        }
        let scale = 1.0 / (self.head_dim as f32).sqrt();
        let mut sums = Sums { count: queries.count, values: [0.0; ROWS_MAX] };
        for (sum, scores) in sums.values[..queries.count].iter_mut().zip(scores.chunks_mut(stride))
        {
            *sum = softmax(self.simd, &mut scores[..tokens], scale);
        }
        sums
    }

    /// Multiplies a tile of scores with the values, divides by the sums, writes the outputs.
    fn mix(
        &self,
        sums: &Sums,
        values: &[f32],
        tokens: usize,
        scores: &[f32],
        query: usize,
        head: usize,
    ) {
        let rows = Rows { data: scores, count: sums.count, stride: tokens.next_multiple_of(PANEL) };
        let mut tile = [0.0; ROWS_MAX * PANEL];
        for (p, panel) in values.chunks_exact(PANEL * tokens).enumerate() {
            gemm::tile(self.simd, rows, tokens, Panels::whole(panel), &mut tile, PANEL, false);
            let count = PANEL.min(self.head_dim - p * PANEL);
            for (i, (mixed, sum)) in tile.chunks_exact(PANEL).zip(sums.iter()).enumerate() {
                let at = ((query + i) * self.heads + head) * self.head_dim + p * PANEL;
                // SAFETY: tasks share no query and head, and a task writes each once.
                let out = unsafe { self.out.part(at, count) };
                let inverse = 1.0 / sum;
                for (out, mixed) in out.iter_mut().zip(mixed) {
                    *out = mixed * inverse;
                }
            }
        }
    }
}

/// Divisors of the queries of a tile.
struct Sums {
    count: usize,
    values: [f32; ROWS_MAX],
}

impl Sums {
    fn iter(&self) -> impl Iterator<Item = f32> {
        self.values[..self.count].iter().copied()
    }
}

vectorised! {
    /// Replaces scores by `e^(scale * (score - max))` and gives the sum.
    fn softmax(scores: &mut [f32], scale: f32) -> f32 = softmax_body
}

#[inline(always)]
fn softmax_body(scores: &mut [f32], scale: f32) -> f32 {
    let max = math::max(scores);
    for score in scores.iter_mut() {
        *score = math::exp((*score - max) * scale);
    }
    math::sum(scores, |v| v)
}
