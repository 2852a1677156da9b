//! Pools and multiplies all live rows at once, then decides row by row.

use super::decision::best;
use super::{Decision, Pool, Ramp};
use crate::cpu::gemm::{self, Epilogue, Residual, Rows};
use crate::cpu::simd::vectorised;
use crate::cpu::{Buffer, CpuDevice, Exits, math};
use crate::{Activation, ArenaLayout, Error, ExitRecord, Result, Score};

impl Ramp {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        if self.norm.is_some() {
            let expected = "a value behind its norm, on the CPU";
            return Err(Error::mismatch("ramp", expected, "one before its norm"));
        }
        let rows = device.rows.live();
        device.exits.open(self.exit, rows, self.logits())?;
        if rows == 0 {
            return Ok(());
        }
        self.pool(device)?;
        self.classify(device)?;
        self.decide(device);
        Ok(())
    }

    /// One vector for each live row into `scratch.features`.
    fn pool(&self, device: &mut CpuDevice) -> Result<()> {
        let x = device.arena.slice("ramp x", device.live(self.x, self.tokens, self.width))?;
        let pooled = device.ramp.features.chunks_exact_mut(self.width.max(1));
        for (position, pooled) in (0..device.rows.live()).zip(pooled) {
            let span = device.rows.span(position, self.tokens);
            match self.pool {
                Pool::First => pooled.copy_from_slice(&x[span.start * self.width..][..self.width]),
                Pool::Last => pooled
                    .copy_from_slice(&x[..span.end * self.width][(span.end - 1) * self.width..]),
                Pool::Mean => {
                    mean(device.simd, &x[span.start * self.width..span.end * self.width], pooled);
                }
            }
        }
        Ok(())
    }

    /// From `scratch.features` to `scratch.logits`.
    fn classify(&self, device: &mut CpuDevice) -> Result<()> {
        let (rows, weights) = (device.rows.live(), &device.weights);
        let (simd, team) = (device.simd, &mut device.team);
        let RampScratch { features, hidden, logits, .. } = &mut device.ramp;
        let mut features = &features[..rows * self.width];
        if let Some(layer) = &self.hidden {
            let weight = weights.matrix(layer.weight, layer.n, self.width)?;
            let bias = weights.vector(layer.bias, layer.n)?;
            let epilogue = Epilogue {
                bias,
                activation: layer.activation,
                residual: Residual::None,
                activates_last: false,
            };
            let x = Rows { data: features, count: rows, stride: self.width };
            gemm::multiply(simd, team, x, weight, &epilogue, hidden)?;
            features = &hidden[..rows * layer.n];
        }
        let Some(head) = &self.head else {
            logits[..features.len()].copy_from_slice(features);
            return Ok(());
        };
        let weight = weights.matrix(head.weight, head.classes, self.features())?;
        let bias = weights.vector(head.bias, head.classes)?;
        let epilogue = Epilogue {
            bias,
            activation: Activation::None,
            residual: Residual::None,
            activates_last: false,
        };
        let x = Rows { data: features, count: rows, stride: self.features() };
        gemm::multiply(simd, team, x, weight, &epilogue, logits)
    }

    /// Scores `scratch.logits` and leaves the records.
    fn decide(&self, device: &mut CpuDevice) {
        let CpuDevice { ramp, rows, exits, .. } = device;
        let decision = self.head.as_ref().map(|head| head.decision);
        let logits = ramp.logits.chunks_exact(self.logits().max(1));
        for (position, logits) in (0..rows.live()).zip(logits) {
            let slot = rows.slot(position);
            let verdict = Verdict::new(logits, decision);
            let streak = rows.streak(slot, verdict.label_of_use(), decision.unwrap_or_default());
            let score = verdict.score(rows.score(), streak);
            let record = ExitRecord {
                slot: slot.0,
                exit: self.exit.0,
                label: verdict.label,
                score,
                flags: if verdict.finite { 0 } else { ExitRecord::NOT_FINITE },
            };
            let out = self.lets_out(exits, &verdict, rows.reaches(self.exit.0, slot, score));
            let answers = if out && rows.answer(slot) { ExitRecord::ANSWERS } else { 0 };
            exits.push(ExitRecord { flags: record.flags | answers, ..record }, logits);
        }
    }

    /// The final exit answers whatever comes; a ramp only where it has something to say.
    fn lets_out(&self, exits: &Exits, verdict: &Verdict, reaches: bool) -> bool {
        exits.is_final(self.exit) || (reaches && verdict.label_of_use().is_some())
    }
}

/// Vectors of all rows of a ramp, packed.
#[derive(Default)]
pub(crate) struct RampScratch {
    features: Buffer,
    hidden: Buffer,
    logits: Buffer,
}

impl RampScratch {
    pub(crate) fn new(layout: &ArenaLayout) -> Result<Self> {
        let room = |width| Buffer::new("ramps", layout.rows_max.saturating_mul(width));
        Ok(Self {
            features: room(layout.features_max)?,
            hidden: room(layout.features_max)?,
            logits: room(layout.logits_max)?,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.features.bytes() + self.hidden.bytes() + self.logits.bytes()
    }
}

/// What one row's logits say.
struct Verdict {
    label: u32,
    finite: bool,
    /// Without a head there is nothing to choose from.
    decision: Option<Decision>,
    classes: usize,
    /// `Σ e^(logit - max)`; with a sigmoid each `Σ ln(1 + e^-|logit|)`, how improbable the decided
    /// set is, in nats.
    sum: f32,
    /// `Σ e^(logit - max) * (logit - max)`; with a sigmoid each what the entropy has beyond `sum`.
    weighted: f32,
    /// How probable the second answer is as a share of the first; 0 where there is one class.
    second: f32,
}

impl Verdict {
    fn new(logits: &[f32], decision: Option<Decision>) -> Self {
        let finite = logits.iter().all(|logit| logit.is_finite());
        let mut verdict = Self {
            label: decision.map_or(0, |decision| decision.of(logits)),
            finite,
            decision,
            classes: logits.len(),
            sum: 0.0,
            weighted: 0.0,
            second: 0.0,
        };
        match decision {
            None => {}
            Some(Decision::Class) => verdict.weigh(logits),
            Some(Decision::Labels | Decision::Value { .. }) => verdict.weigh_each(logits),
        }
        verdict
    }

    fn weigh(&mut self, logits: &[f32]) {
        let best = best(logits);
        let max = logits[best];
        for (i, &logit) in logits.iter().enumerate() {
            let e = math::exp(logit - max);
            self.sum += e;
            self.weighted += e * (logit - max);
            if i != best && e > self.second {
                self.second = e;
            }
        }
    }

    /// The other side of a label is `e^-|logit|` times as probable as the one decided.
    fn weigh_each(&mut self, logits: &[f32]) {
        for &logit in logits {
            let e = math::exp(-logit.abs());
            self.sum += e.ln_1p();
            self.weighted += logit.abs().min(FAR) * e / (1.0 + e);
            self.second = self.second.max(e);
        }
    }

    /// The label, unless there is no sense in it.
    fn label_of_use(&self) -> Option<u32> {
        (self.finite && self.decision.is_some()).then_some(self.label)
    }

    /// In [0, 1]. With one class every score but patience is 1.
    fn score(&self, score: Score, streak: u32) -> f32 {
        if self.label_of_use().is_none() {
            return 0.0;
        }
        let is_each = self.decision.is_some_and(Decision::is_each);
        match score {
            Score::Patience { k } => streak.min(k) as f32 / k as f32,
            Score::Confidence if is_each => math::exp(-self.sum),
            Score::Margin if is_each => math::exp(-self.sum) * (1.0 - self.second),
            Score::Entropy if is_each => {
                let most = self.classes as f32 * std::f32::consts::LN_2;
                (1.0 - (self.sum + self.weighted) / most).clamp(0.0, 1.0)
            }
            _ if self.classes == 1 => 1.0,
            Score::Confidence => 1.0 / self.sum,
            Score::Margin => (1.0 - self.second) / self.sum,
            Score::Entropy => {
                let entropy = self.sum.ln() - self.weighted / self.sum;
                (1.0 - entropy / (self.classes as f32).ln()).clamp(0.0, 1.0)
            }
        }
    }
}

/// A logit so large that the other side is as good as impossible: keeps products finite.
const FAR: f32 = 1e4;

vectorised! {
    /// The mean of the tokens in `x`.
    fn mean(x: &[f32], out: &mut [f32]) = mean_body
}

#[inline(always)]
fn mean_body(x: &[f32], out: &mut [f32]) {
    out.fill(0.0);
    for token in x.chunks_exact(out.len()) {
        for (out, &x) in out.iter_mut().zip(token) {
            *out += x;
        }
    }
    let share = 1.0 / (x.len() / out.len()) as f32;
    for out in out.iter_mut() {
        *out *= share;
    }
}
