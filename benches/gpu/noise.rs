//! Random numbers that a device of 16 bits and the CPU hold alike.

use offramp::Precision;

/// Uniform numbers around a mean. Equal seeds give equal numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    pub(crate) seed: u64,
    pub(crate) mean: f32,
    pub(crate) spread: f32,
}

impl Noise {
    /// Full mantissas, as trained weights have them: multipliers that switch fewer bits draw less
    /// power, and a GPU would clock higher than it does in earnest.
    pub(crate) fn values(self, len: usize, precision: Precision) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut value = || self.mean + self.spread * (2.0 * random.f32() - 1.0);
        (0..len).map(|_| cut(value(), precision)).collect()
    }
}

/// The mantissa cut to what the format holds; 0 where its exponent is too small for it.
fn cut(value: f32, precision: Precision) -> f32 {
    /// The least number that f16 holds with all its bits.
    const F16_NORMAL_MIN: f32 = 1.0 / 16384.0;
    match precision {
        Precision::F16 if value.abs() < F16_NORMAL_MIN => 0.0,
        Precision::F16 => f32::from_bits(value.to_bits() & !0x1fff),
        Precision::Bf16 => f32::from_bits(value.to_bits() & !0xffff),
        Precision::Tf32 => value,
    }
}
