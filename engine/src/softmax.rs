//! Logits to probabilities.

/// Appends the probabilities of `logits`.
pub(crate) fn softmax_into(logits: &[f32], probabilities: &mut Vec<f32>) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let from = probabilities.len();
    probabilities.extend(logits.iter().map(|logit| (logit - highest).exp()));
    let sum: f32 = probabilities[from..].iter().sum();
    probabilities[from..].iter_mut().for_each(|p| *p /= sum);
}
