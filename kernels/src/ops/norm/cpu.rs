//! A token is one pass over the first cache: mean, variance, scale and shift.

use super::Norm;
use crate::cpu::simd::vectorised;
use crate::cpu::{CpuDevice, Shared, Simd, Team, math};
use crate::{Result, RowTokens, Span};

/// Tokens of a task.
const TOKENS: usize = 16;

impl Norm {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let form = Form {
            scale: device.weights.vector(self.scale, self.width)?,
            shift: device.weights.vector(self.shift, self.width)?,
            eps: self.eps,
        };
        let live =
            |span: Span| Span { at: span.at, len: device.rows.count(RowTokens::Own) * self.width };
        let (x, out) = (live(self.x), live(self.out));
        let (simd, team) = (device.simd, &mut device.team);
        if self.x.at == self.out.at {
            return form.tokens(simd, team, device.arena.slice_mut("norm", out)?, |_, _| {});
        }
        let ([x], out) = device.arena.views([x], out)?;
        form.tokens(simd, team, out, |at, out| out.copy_from_slice(&x[at..at + out.len()]))
    }
}

/// The parameters of a norm.
#[derive(Clone, Copy)]
pub(crate) struct Form<'a> {
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) eps: f32,
}

impl Form<'_> {
    /// Normalises every token of `out` after `fill(element, token)` has put it there.
    pub(crate) fn tokens(
        self,
        simd: Simd,
        team: &mut Team,
        out: &mut [f32],
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Result<()> {
        let width = self.scale.len();
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
                fill(at + i * width, token);
                norm(simd, token, self);
            }
        })
    }
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
