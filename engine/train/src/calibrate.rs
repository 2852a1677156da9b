//! Temperature scaling: one number that makes a ramp's confidence mean what it says.
//! Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
//!
//! Dividing logits by a temperature never changes a label, only how sure it is said to be. The
//! negative log-likelihood is convex in 1/T, so it has one valley along ln T and a golden-section
//! search finds it.
//!
//! A ramp that is right on every held-out row would be told to be infinitely sure: its scores would
//! all round to 1 and thresholds could no longer tell rows apart. So no label counts as quite
//! certain: with n rows it has probability (n + 1) / (n + 2), the rest is shared by the other
//! classes (Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2).

use crate::network::{binary, log_sum_exp};

/// The temperatures searched.
pub(crate) const TEMPERATURE_RANGE: (f64, f64) = (0.05, 20.0);

const TOLERANCE: f64 = 1e-4;

/// The temperature in [`TEMPERATURE_RANGE`] at which `logits` (`[rows, classes]`, row-major) are
/// least surprised by `labels` (`[rows]`, below `classes`). Exactly 1 where no other is better, as
/// with no rows or flat logits.
pub(crate) fn temperature(logits: &[f32], classes: usize, labels: &[u32]) -> f32 {
    let doubt = 1.0 / (labels.len() as f32 + 2.0);
    let cost = |log_t: f64| surprise(logits, classes, labels, doubt, (-log_t).exp() as f32);
    let (low, high) = TEMPERATURE_RANGE;
    let best = golden_section(cost, low.ln(), high.ln());
    if cost(best) < cost(0.0) { best.exp() as f32 } else { 1.0 }
}

/// The same for labels with a sigmoid each: `logits` of `rows` rows, and by logit whether the full
/// model has the label. One temperature serves all, so that no label is favoured.
pub(crate) fn temperature_each(logits: &[f32], held: &[bool], rows: usize) -> f32 {
    let doubt = 1.0 / (rows as f32 + 2.0);
    let cost = |log_t: f64| -> f64 {
        let sharpness = (-log_t).exp() as f32;
        let one = |(x, held): (&f32, &bool)| {
            binary(sharpness * x, if *held { 1.0 - doubt } else { doubt })
        };
        logits.iter().zip(held).map(one).sum()
    };
    let (low, high) = TEMPERATURE_RANGE;
    let best = golden_section(cost, low.ln(), high.ln());
    if cost(best) < cost(0.0) { best.exp() as f32 } else { 1.0 }
}

/// Summed negative log-likelihood of the labels, each with a share of `doubt`, at logits times
/// `sharpness`.
fn surprise(logits: &[f32], classes: usize, labels: &[u32], doubt: f32, sharpness: f32) -> f64 {
    let share = doubt / classes.saturating_sub(1).max(1) as f32;
    let mut scaled = vec![0.0; classes];
    let mut sum = 0.0;
    for (row, &label) in logits.chunks_exact(classes.max(1)).zip(labels) {
        scaled.iter_mut().zip(row).for_each(|(s, &x)| *s = sharpness * x);
        let norm = log_sum_exp(&scaled);
        let own = norm - scaled[label as usize];
        let all: f32 = scaled.iter().map(|x| norm - x).sum();
        sum += f64::from((1.0 - doubt) * own + share * (all - own));
    }
    sum
}

fn golden_section(cost: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut left, mut right) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut cost_left, mut cost_right) = (cost(left), cost(right));
    while high - low > TOLERANCE {
        if cost_left < cost_right {
            (high, right, cost_right) = (right, left, cost_left);
            left = high - ratio * (high - low);
            cost_left = cost(left);
        } else {
            (low, left, cost_left) = (left, right, cost_right);
            right = low + ratio * (high - low);
            cost_right = cost(right);
        }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows whose label is drawn from softmax(logits); returned logits are `sharper` times those.
    fn drawn(rows: usize, sharper: f32, seed: u64) -> (Vec<f32>, Vec<u32>) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut logits, mut labels) = (Vec::new(), Vec::new());
        for _ in 0..rows {
            let row: [f32; 3] = std::array::from_fn(|_| 4.0 * rng.f32() - 2.0);
            let norm = log_sum_exp(&row);
            let mut left = rng.f32();
            let label = row.iter().position(|x| {
                left -= (x - norm).exp();
                left < 0.0
            });
            labels.push(label.unwrap_or(2) as u32);
            logits.extend(row.map(|x| sharper * x));
        }
        (logits, labels)
    }

    #[test]
    fn recovers_how_over_confident_the_logits_were_made() {
        for sharper in [0.25_f32, 1.0, 3.0, 10.0] {
            let (logits, labels) = drawn(20_000, sharper, 11);
            let found = temperature(&logits, 3, &labels);
            assert!((found / sharper - 1.0).abs() < 0.06, "wanted {sharper}, found {found}");
        }
    }

    #[test]
    fn recovers_how_over_confident_labels_were_made() {
        for sharper in [0.25_f32, 1.0, 4.0] {
            let mut rng = fastrand::Rng::with_seed(5);
            let (mut logits, mut held) = (Vec::new(), Vec::new());
            for _ in 0..30_000 {
                let x = 4.0 * rng.f32() - 2.0;
                held.push(rng.f32() < 1.0 / (1.0 + (-x).exp()));
                logits.push(sharper * x);
            }
            let found = temperature_each(&logits, &held, 10_000);
            assert!((found / sharper - 1.0).abs() < 0.06, "wanted {sharper}, found {found}");
        }
        assert_eq!(temperature_each(&[], &[], 0), 1.0);
    }

    #[test]
    fn stays_at_one_where_nothing_is_better() {
        assert_eq!(temperature(&[], 3, &[]), 1.0);
        assert_eq!(temperature(&[2.0; 12], 3, &[0, 1, 2, 0]), 1.0);
    }

    #[test]
    fn stays_in_range_where_a_ramp_is_always_wrong() {
        let hot = temperature(&[90.0, 0.0, 90.0, 0.0], 2, &[1, 1]);
        assert!((19.0..20.01).contains(&hot), "{hot}");
    }

    #[test]
    fn being_always_right_does_not_make_it_infinitely_sure() {
        for rows in [10, 1000] {
            let logits: Vec<f32> = (0..rows).flat_map(|_| [1.0, 0.0]).collect();
            let t = temperature(&logits, 2, &vec![0; rows]);
            let sure = 1.0 / (1.0 + (-1.0 / f64::from(t)).exp());
            let doubt = (1.0 - sure) * (rows as f64 + 2.0);
            assert!((doubt - 1.0).abs() < 0.02, "{rows} rows: sure {sure}");
        }
    }
}
