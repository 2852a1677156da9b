//! A slow random walk between bounds.

use fastrand::Rng;

/// Longest step; a thousand steps lead about half way to a bound.
const STEP_MAX: f32 = 1.0 / 32.0;

/// A number from -1 to 1 that turns back at both.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walk(f32);

impl Walk {
    /// Where it is after one more step.
    pub(super) fn step(&mut self, rng: &mut Rng) -> f32 {
        let to = self.0 + (2.0 * rng.f32() - 1.0) * STEP_MAX;
        self.0 = match to {
            to if to > 1.0 => 2.0 - to,
            to if to < -1.0 => -2.0 - to,
            to => to,
        };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_far_in_small_steps_and_stays_in_bounds() {
        let (mut walk, mut rng) = (Walk::default(), Rng::with_seed(2));
        let (mut last, mut least, mut most) = (0.0_f32, 0.0_f32, 0.0_f32);
        for _ in 0..100_000 {
            let at = walk.step(&mut rng);
            assert!((-1.0..=1.0).contains(&at) && (at - last).abs() <= STEP_MAX + 1e-6);
            (last, least, most) = (at, least.min(at), most.max(at));
        }
        assert!(least < -0.9 && most > 0.9, "{least} {most}");
    }
}
