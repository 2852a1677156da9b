//! What logits decide, and when two decisions are the same.
//!
//! A decision is one word, so that exits, feedback and records carry it as they carry a class.

use std::fmt;

/// What a head decides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Decision {
    /// One of the classes, through a softmax. The word is the most probable class, the lowest of
    /// them on a tie.
    #[default]
    Class,
    /// Any of the labels, each through a sigmoid of its own: those with a probability above one
    /// half. The word is their set: a bit for each label where there are at most 31, and beyond
    /// that a hash of the set, which two sets share with a probability of 2^-31.
    Labels,
    /// A number, the one logit. The word holds its bits.
    Value {
        /// How far apart the sigmoids of two numbers may be that count as the same answer.
        tolerance: f32,
    },
}

/// Most labels whose set has a bit for each. The last bit stays free, so that a word of all ones
/// is no decision.
const BITS: usize = 31;

impl Decision {
    /// The tolerance where nothing is said.
    pub const TOLERANCE: f32 = 0.02;

    /// The word that stands for what `logits` decide.
    pub fn of(self, logits: &[f32]) -> u32 {
        match self {
            Self::Class => best(logits) as u32,
            Self::Labels => {
                let held = (0..).zip(logits).filter(|(_, logit)| **logit > 0.0);
                held.fold(0, |set, (label, _)| set ^ mark(label, logits.len()))
            }
            Self::Value { .. } => logits.first().map_or(0, |value| value.to_bits()),
        }
    }

    /// Whether two words stand for the same answer. A number that is NaN is like no other.
    pub fn agree(self, one: u32, other: u32) -> bool {
        match self {
            Self::Class | Self::Labels => one == other,
            Self::Value { tolerance } => {
                let [one, other] = [one, other].map(|word| sigmoid(f32::from_bits(word)));
                (one - other).abs() <= f64::from(tolerance)
            }
        }
    }

    /// Whether each logit has a sigmoid of its own, so that none excludes another.
    pub fn is_each(self) -> bool {
        self != Self::Class
    }
}

/// `1 / (1 + e^-x)`.
fn sigmoid(x: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(x)).exp())
}

/// The greatest logit, the first of equals.
pub(super) fn best(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
}

/// What a label that holds adds to the word of its set.
fn mark(label: u32, labels: usize) -> u32 {
    if labels <= BITS { 1 << label } else { mixed(label) & !(1 << BITS) }
}

/// A one-to-one mix of bits (the finaliser of MurmurHash3). `ramp.cu` has the same.
fn mixed(label: u32) -> u32 {
    let mut x = label.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    x ^ (x >> 16)
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class => f.write_str("class"),
            Self::Labels => f.write_str("labels"),
            Self::Value { tolerance } => write!(f, "value within {tolerance}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sets_of_few_labels_are_bits() {
        assert_eq!(Decision::Labels.of(&[0.1, -0.1, 0.0, 3.0]), 0b1001);
        assert_eq!(Decision::Labels.of(&[1.0; 31]), u32::MAX >> 1);
        assert_eq!(Decision::Labels.of(&[]), 0);
    }

    #[test]
    fn sets_of_many_labels_differ_where_one_label_does() {
        for labels in [32, 80, 4000] {
            let mut logits = vec![-1.0; labels];
            let mut seen = HashSet::from([Decision::Labels.of(&logits)]);
            for label in 0..labels {
                logits[label] = 1.0;
                seen.insert(Decision::Labels.of(&logits));
                logits[label] = -1.0;
            }
            assert_eq!(seen.len(), labels + 1);
            assert!(!seen.contains(&u32::MAX));
        }
    }

    #[test]
    fn numbers_agree_within_the_tolerance_of_their_sigmoids() {
        let value = Decision::Value { tolerance: 0.02 };
        let agree = |a: f32, b: f32| value.agree(a.to_bits(), b.to_bits());
        // The sigmoid of 0.08 is 0.51999, that of 0.081 is 0.52024.
        assert!(agree(0.0, 0.08) && agree(0.08, 0.0) && !agree(0.0, 0.081));
        assert!(agree(9.0, 80.0) && agree(-0.0, 0.0) && !agree(2.4976, 2.0));
        assert!(!agree(f32::NAN, f32::NAN) && !agree(0.0, f32::NAN));
        assert_eq!(value.of(&[2.5]), 2.5_f32.to_bits());
    }

    #[test]
    fn classes_and_sets_agree_where_they_are_equal() {
        for decision in [Decision::Class, Decision::Labels] {
            assert!(decision.agree(5, 5) && !decision.agree(5, 4));
        }
        assert_eq!(Decision::Class.of(&[1.0, 3.0, 3.0]), 1);
    }
}
