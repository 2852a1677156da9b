//! How common each class is.

use fastrand::Rng;

/// Keeps every class possible, so that no mix is all zero.
const WEIGHT_MIN: f32 = 0.01;

/// One share a class; they sum to 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mix(Vec<f32>);

impl Mix {
    /// A few classes of many are common: weights are fourth powers of uniform numbers.
    pub(super) fn random(classes: usize, rng: &mut Rng) -> Self {
        let weight = |_| {
            let uniform = rng.f32();
            uniform * uniform * uniform * uniform + WEIGHT_MIN
        };
        Self::of((0..classes).map(weight).collect())
    }

    fn of(weights: Vec<f32>) -> Self {
        let sum: f32 = weights.iter().sum();
        Self(weights.into_iter().map(|weight| weight / sum).collect())
    }

    /// The commonest class changes places with the rarest, the second with the last but one.
    pub(super) fn upended(&self) -> Self {
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_by(|&a, &b| self.0[a].total_cmp(&self.0[b]));
        let mut shares = self.0.clone();
        for (&class, &other) in order.iter().zip(order.iter().rev()) {
            shares[class] = self.0[other];
        }
        Self(shares)
    }

    /// On the straight way to another mix, `way` from 0 to 1.
    pub(super) fn towards(&self, other: &Self, way: f32) -> Self {
        let between = |(from, to): (&f32, &f32)| from + (to - from) * way;
        Self(self.0.iter().zip(&other.0).map(between).collect())
    }

    /// A class, as often as it is common.
    pub(super) fn draw(&self, rng: &mut Rng) -> usize {
        let mut left = rng.f32();
        let hit = self.0.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        // Shares may sum to a little less than 1.
        hit.unwrap_or(self.0.len() - 1)
    }

    /// By class.
    pub(crate) fn shares(&self) -> &[f32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_1_and_classes_come_as_often() {
        let mut rng = Rng::with_seed(1);
        let mix = Mix::random(5, &mut rng);
        assert!((mix.0.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let mut counts = [0_u32; 5];
        (0..20_000).for_each(|_| counts[mix.draw(&mut rng)] += 1);
        for (count, share) in counts.iter().zip(&mix.0) {
            let found = *count as f32 / 20_000.0;
            assert!((found - share).abs() < 0.02, "{share}: {found}");
        }
    }

    #[test]
    fn an_upended_mix_has_the_same_shares_the_other_way_round() {
        let mix = Mix(vec![0.5, 0.1, 0.15, 0.25]);
        assert_eq!(mix.upended(), Mix(vec![0.1, 0.5, 0.25, 0.15]));
        assert_eq!(Mix(vec![1.0]).upended(), Mix(vec![1.0]));
    }

    #[test]
    fn a_way_leads_from_one_mix_to_the_other() {
        let (from, to) = (Mix(vec![1.0, 0.0]), Mix(vec![0.0, 1.0]));
        assert_eq!(from.towards(&to, 0.0), from);
        assert_eq!(from.towards(&to, 0.25), Mix(vec![0.75, 0.25]));
        assert_eq!(from.towards(&to, 1.0), to);
    }
}
