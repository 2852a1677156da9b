//! A token is one pass over the first cache: mean, variance, scale and shift.

use super::Norm;
use crate::cpu::simd::vectorised;
use crate::cpu::{CpuDevice, Shared, Simd, Team, Weights, math};
use crate::{NormWeights, Result, RowTokens, Span};

/// Tokens of a task.
const TOKENS: usize = 16;

impl Norm {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let Self { scale, shift, eps, width, .. } = *self;
        let form = Form::of(&device.weights, &NormWeights { scale, shift, eps }, width)?;
        let live =
            |span: Span| Span { at: span.at, len: device.rows.count(RowTokens::Own) * self.width };
        let (x, out) = (live(self.x), live(self.out));
        let (simd, team) = (device.simd, &mut device.team);
        if self.x.at == self.out.at {
            let x = device.arena.slice_mut("norm", out)?;
            return for_each_token(width, team, x, |_, token| form.normalise(simd, token));
        }
        let ([x], out) = device.arena.views([x], out)?;
        for_each_token(width, team, out, |at, token| {
            token.copy_from_slice(&x[at..at + token.len()]);
            form.normalise(simd, token);
        })
    }
}

/// The parameters of a norm.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) eps: f32,
}

impl<'a> Form<'a> {
    pub(crate) fn of(weights: &'a Weights, norm: &NormWeights, width: usize) -> Result<Self> {
        let scale = weights.vector(norm.scale, width)?;
        Ok(Self { scale, shift: weights.vector(norm.shift, width)?, eps: norm.eps })
    }

    /// Normalises one token in place.
    pub(crate) fn normalise(self, simd: Simd, token: &mut [f32]) {
        norm(simd, token, self);
    }
}

/// Hands out every token of `out`, `width` elements each, with its first element.
pub(crate) fn for_each_token(
    width: usize,
    team: &mut Team,
    out: &mut [f32],
    make: impl Fn(usize, &mut [f32]) + Sync,
) -> Result<()> {
    if width == 0 {
        return Ok(());
    }
    let len = out.len();
    let flops = 10.0 * len as f64;
    let out = Shared::new(out);
    let step = TOKENS * width;
    team.run(len.div_ceil(step), flops, &|task, _| {
        let at = task * step;
        // SAFETY: tasks are disjoint ranges, and each runs once.
        let part = unsafe { out.part(at, step.min(len - at)) };
        for (i, token) in part.chunks_exact_mut(width).enumerate() {
            make(at + i * width, token);
        }
    })
}

vectorised! {
    /// Normalises one token in place.
    fn norm(x: &mut [f32], form: Form<'_>) = norm_body
}

#[inline(always)]
fn norm_body(x: &mut [f32], form: Form<'_>) {
    let share = 1.0 / x.len() as f32;
    let mean = math::sum(x, |v| v) * share;
    let variance = math::sum(x, |v| (v - mean) * (v - mean)) * share;
    let inverse = 1.0 / (variance + form.eps).sqrt();
    for ((x, &scale), &shift) in x.iter_mut().zip(form.scale).zip(form.shift) {
        *x = (*x - mean) * inverse * scale + shift;
    }
}
