//! How long a row waits for its answer, by where it leaves: from measured segments and ramps.

use crate::profile::ShapeProfile;

/// Times of one pass, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// By ramp: everything before it but other ramps.
    before_us: Vec<f64>,
    /// By ramp: running it.
    ramp_us: Vec<f64>,
    /// All segments and the final exit.
    forward_us: f64,
}

impl Latency {
    /// Of a model with ramps behind the segments `sites`, at one shape.
    pub fn of(sites: &[usize], shape: &ShapeProfile) -> Self {
        let before = |site: &usize| shape.segment_us.iter().take(site + 1).sum();
        let ramp = |site: &usize| shape.exit_us.get(*site).copied().flatten().unwrap_or(0.0);
        Self {
            before_us: sites.iter().map(before).collect(),
            ramp_us: sites.iter().map(ramp).collect(),
            forward_us: shape.forward_us(),
        }
    }

    /// Of passes of the sizes seen: each is taken for the measured shape nearest in size. Without a
    /// shape every segment costs the same and ramps cost nothing.
    pub fn seen(
        sites: &[usize],
        shapes: &[ShapeProfile],
        pass_rows: impl IntoIterator<Item = u32>,
    ) -> Self {
        let mut seen = vec![0_u64; shapes.len()];
        for rows in pass_rows {
            let distance = |shape: &ShapeProfile| (shape.rows as f64 / f64::from(rows.max(1))).ln();
            let nearest = (0..shapes.len())
                .min_by(|&a, &b| distance(&shapes[a]).abs().total_cmp(&distance(&shapes[b]).abs()));
            nearest.iter().for_each(|&nearest| seen[nearest] += 1);
        }
        let all = seen.iter().sum::<u64>() as f64;
        let mut mean = Self::blank(sites.len());
        for (shape, &rows) in shapes.iter().zip(&seen).filter(|(_, rows)| **rows > 0) {
            mean.add(&Self::of(sites, shape), rows as f64 / all);
        }
        if mean.forward_us > 0.0 { mean } else { Self::even(sites) }
    }

    /// A ramp behind every segment of equal cost, ramps free.
    pub fn even(sites: &[usize]) -> Self {
        let segments = sites.last().map_or(1, |last| last + 2);
        let before_us = sites.iter().map(|site| (site + 1) as f64).collect();
        Self { before_us, ramp_us: vec![0.0; sites.len()], forward_us: segments as f64 }
    }

    fn blank(ramps: usize) -> Self {
        Self { before_us: vec![0.0; ramps], ramp_us: vec![0.0; ramps], forward_us: 0.0 }
    }

    fn add(&mut self, other: &Self, share: f64) {
        let add = |own: &mut Vec<f64>, other: &[f64]| {
            own.iter_mut().zip(other).for_each(|(own, other)| *own += share * other);
        };
        add(&mut self.before_us, &other.before_us);
        add(&mut self.ramp_us, &other.ramp_us);
        self.forward_us += share * other.forward_us;
    }

    /// Number of ramps.
    pub fn ramps(&self) -> usize {
        self.ramp_us.len()
    }

    /// A forward without ramps.
    pub fn forward_us(&self) -> f64 {
        self.forward_us
    }

    /// Everything before a ramp, or before the end, but ramps.
    pub fn before_us(&self, exit: usize) -> f64 {
        self.before_us.get(exit).copied().unwrap_or(self.forward_us)
    }

    /// What is left of the forward behind a ramp.
    pub fn left_us(&self, ramp: usize) -> f64 {
        self.forward_us - self.before_us(ramp)
    }

    /// Running one ramp.
    pub fn ramp_us(&self, ramp: usize) -> f64 {
        self.ramp_us[ramp]
    }

    /// Until an answer at `exit`, where these ramps run.
    pub fn until_us(&self, exit: usize, active: &[bool]) -> f64 {
        let ramps = self.ramp_us.iter().zip(active).take(exit + 1);
        let ramps_us: f64 = ramps.filter(|(_, active)| **active).map(|(us, _)| us).sum();
        self.before_us(exit) + ramps_us
    }

    /// What all active ramps add to a row that never leaves, as a share of the forward.
    pub fn overhead(&self, active: &[bool]) -> f64 {
        self.until_us(self.ramps(), active) / self.forward_us - 1.0
    }

    /// By active ramp: leaving there, as a share of going to the end past all of them.
    pub fn depths(&self, active: &[bool]) -> Vec<f64> {
        let end_us = self.until_us(self.ramps(), active);
        let ramps = (0..self.ramps()).filter(|&ramp| active[ramp]);
        ramps.map(|ramp| (self.until_us(ramp, active) / end_us).min(1.0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(rows: usize, scale: f64) -> ShapeProfile {
        ShapeProfile {
            rows,
            row_tokens: 1,
            segment_us: [10.0, 20.0, 30.0].map(|us| scale * us).to_vec(),
            exit_us: vec![Some(scale), Some(2.0 * scale), Some(5.0 * scale)],
            compact_us: None,
        }
    }

    #[test]
    fn ramps_that_run_delay_whoever_passes_them() {
        let latency = Latency::of(&[0, 1], &shape(8, 1.0));
        let until = |exit, active: [bool; 2]| latency.until_us(exit, &active);
        assert_eq!(until(0, [true, true]), 11.0);
        assert_eq!([until(1, [true, true]), until(1, [false, true])], [33.0, 32.0]);
        assert_eq!([until(2, [true, true]), until(2, [false, false])], [68.0, 65.0]);
        assert_eq!(latency.depths(&[false, true]), [32.0 / 67.0]);
        assert!((latency.overhead(&[true, true]) - 3.0 / 65.0).abs() < 1e-12);
    }

    #[test]
    fn sizes_seen_decide_which_shape_counts() {
        let shapes = [shape(1, 1.0), shape(32, 10.0)];
        let forward =
            |rows: &[u32]| Latency::seen(&[0, 1], &shapes, rows.iter().copied()).forward_us();
        assert_eq!(forward(&[1, 2, 3]), 65.0);
        assert_eq!(forward(&[32, 100, 1, 8]), (65.0 + 3.0 * 650.0) / 4.0);
        assert_eq!(Latency::seen(&[0, 2], &[], [4]), Latency::even(&[0, 2]));
        assert_eq!(Latency::even(&[0, 2]).depths(&[true, true]), [0.25, 0.75]);
    }
}
