//! Logits to probabilities, and what they decide.

use offramp_kernels::Decision;
use offramp_weights::Task;

/// Appends the probabilities of `logits`: a softmax over all for a class, else a sigmoid each.
pub fn probabilities_into(decision: Decision, logits: &[f32], probabilities: &mut Vec<f32>) {
    if decision.is_each() {
        probabilities.extend(logits.iter().copied().map(sigmoid));
        return;
    }
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let from = probabilities.len();
    probabilities.extend(logits.iter().map(|logit| (logit - highest).exp()));
    let sum: f32 = probabilities[from..].iter().sum();
    probabilities[from..].iter_mut().for_each(|p| *p /= sum);
}

/// The probabilities of `logits`: a softmax over all for a class, else a sigmoid each.
pub fn probabilities(decision: Decision, logits: &[f32]) -> Vec<f32> {
    let mut all = Vec::with_capacity(logits.len());
    probabilities_into(decision, logits, &mut all);
    all
}

/// `1 / (1 + e^-x)`. Saturates, and never overflows.
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// What a model of this task decides; numbers are alike within `tolerance`.
pub fn decision(task: Task, tolerance: f32) -> Decision {
    match task {
        Task::Classes => Decision::Class,
        Task::Labels => Decision::Labels,
        Task::Value | Task::Score => Decision::Value { tolerance },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_a_sigmoid_of_its_own() {
        let value = Decision::Value { tolerance: 0.02 };
        let cases = [
            (Decision::Labels, vec![0.0, -1.8419, 2.1831], vec![0.5, 0.1368, 0.8987]),
            (value, vec![2.4976], vec![0.924]),
            (Decision::Class, vec![1.0, 1.0, 0.0], vec![0.4223, 0.4223, 0.1554]),
            (Decision::Labels, vec![1e30, -1e30], vec![1.0, 0.0]),
        ];
        for (decision, logits, expected) in cases {
            let found = probabilities(decision, &logits);
            let near = found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near && found.len() == expected.len(), "{decision}: {found:?}");
        }
    }
}
