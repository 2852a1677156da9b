//! AdamW: Adam with the weight decay taken out of the gradient.
//! Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2.

const BETA_FIRST: f32 = 0.9;
const BETA_SECOND: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Running first and second moments of one parameter tensor's gradient.
#[derive(Debug, Clone)]
pub(crate) struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

/// What all tensors share in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    rate: f32,
    first_correction: f32,
    second_correction: f32,
}

impl Step {
    /// The `number`-th step (from 1) at the scheduled learning rate.
    pub(crate) fn new(number: usize, rate: f32) -> Self {
        let exponent = number.min(i32::MAX as usize) as i32;
        Self {
            rate,
            first_correction: 1.0 / (1.0 - BETA_FIRST.powi(exponent)),
            second_correction: 1.0 / (1.0 - BETA_SECOND.powi(exponent)),
        }
    }
}

impl Moments {
    /// Zero moments for a tensor of `len` parameters.
    pub(crate) fn new(len: usize) -> Self {
        Self { first: vec![0.0; len], second: vec![0.0; len] }
    }

    /// Moves `parameters` one step against `gradient` (same lengths) and shrinks them by
    /// `rate * decay`.
    pub(crate) fn update(
        &mut self,
        step: Step,
        decay: f32,
        parameters: &mut [f32],
        gradient: &[f32],
    ) {
        let keep = 1.0 - step.rate * decay;
        let moments = self.first.iter_mut().zip(&mut self.second);
        for ((p, &g), (m, v)) in parameters.iter_mut().zip(gradient).zip(moments) {
            *m = BETA_FIRST * *m + (1.0 - BETA_FIRST) * g;
            *v = BETA_SECOND * *v + (1.0 - BETA_SECOND) * g * g;
            let spread = (*v * step.second_correction).sqrt() + EPSILON;
            *p = keep * *p - step.rate * (*m * step.first_correction) / spread;
        }
    }
}

/// Linear warm-up, then half a cosine down to a hundredth of the peak.
/// (Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017,
/// without the restarts.)
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    /// The highest learning rate.
    pub(crate) peak: f32,
    /// Steps in the whole run.
    pub(crate) steps: usize,
}

impl Schedule {
    const FLOOR: f32 = 0.01;

    /// The rate of the `number`-th step, counted from 1.
    pub(crate) fn rate(&self, number: usize) -> f32 {
        let warm_up = (self.steps / 20).max(1);
        if number <= warm_up {
            return self.peak * number as f32 / warm_up as f32;
        }
        let rest = (self.steps - warm_up.min(self.steps)).max(1);
        let done = ((number - warm_up) as f32 / rest as f32).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f32::consts::PI * done).cos());
        self.peak * (Self::FLOOR + (1.0 - Self::FLOOR) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_steps_match_the_algorithm_worked_by_hand() {
        // g1 = 2: m^ = 2, v^ = 4, so p = (1 - 0.1 * 0.5) * 1 - 0.1 * 2 / 2 = 0.85.
        let (mut p, mut moments) = ([1.0_f32], Moments::new(1));
        moments.update(Step::new(1, 0.1), 0.5, &mut p, &[2.0]);
        assert!((p[0] - 0.85).abs() < 1e-6, "{}", p[0]);
        // g2 = -1: m = 0.9*0.2 - 0.1 = 0.08, m^ = 0.08/0.19; v = 0.999*0.004 + 0.001 = 0.004996,
        // v^ = 0.004996/0.001999; p = 0.85*0.95 - 0.1 * m^ / sqrt(v^) = 0.780866...
        moments.update(Step::new(2, 0.1), 0.5, &mut p, &[-1.0]);
        let expected = 0.85 * 0.95 - 0.1 * (0.08 / 0.19) / (0.004_996_f64 / 0.001_999).sqrt();
        assert!((f64::from(p[0]) - expected).abs() < 1e-5, "{} {expected}", p[0]);
    }

    #[test]
    fn decay_is_decoupled_from_the_gradient() {
        let mut p = [3.0_f32, -3.0];
        Moments::new(2).update(Step::new(1, 0.1), 1.0, &mut p, &[0.0, 0.0]);
        assert!((p[0] - 2.7).abs() < 1e-6 && (p[1] + 2.7).abs() < 1e-6, "{p:?}");
    }

    #[test]
    fn finds_the_bottom_of_a_badly_scaled_bowl() {
        let (mut p, mut moments) = ([5.0_f32, -5.0], Moments::new(2));
        let schedule = Schedule { peak: 0.3, steps: 400 };
        for number in 1..=400 {
            let gradient = [1000.0 * (p[0] - 1.0), 0.01 * (p[1] - 2.0)];
            moments.update(Step::new(number, schedule.rate(number)), 0.0, &mut p, &gradient);
        }
        assert!((p[0] - 1.0).abs() < 1e-2 && (p[1] - 2.0).abs() < 1e-2, "{p:?}");
    }

    #[test]
    fn schedule_climbs_then_falls_to_its_floor() {
        let schedule = Schedule { peak: 2.0, steps: 100 };
        assert_eq!(schedule.rate(5), 2.0);
        assert!(schedule.rate(1) < schedule.rate(4) && schedule.rate(6) > schedule.rate(50));
        assert!((schedule.rate(100) - 0.02).abs() < 1e-6);
        assert!(Schedule { peak: 1.0, steps: 1 }.rate(1).is_finite());
    }
}
