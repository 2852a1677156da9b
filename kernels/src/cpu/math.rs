//! Elementary functions for vector loops: no branches, no tables, no fused multiply-add, so that
//! they vectorise and give the same bits under every instruction set.

/// Adding and subtracting it rounds a small f32 to the nearest whole number.
const ROUND: f32 = 12_582_912.0;

/// `e^x` to about 1e-7 relative; saturates near the ends of the f32 range, never infinite.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.37);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let p = polynomial(
        r,
        [1.987_569_1e-4, 1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5],
    );
    // The low bits of `shifted` are n in two's complement: shift them into the exponent field.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    (p * (r * r) + r + 1.0) * scale
}

/// `tanh(x)` to 5e-7: a rational function, flat where f32 cannot tell it from 1.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let x2 = x * x;
    let p = polynomial(
        x2,
        [
            -2.760_768_5e-16,
            2.000_188e-13,
            -8.604_672e-11,
            5.122_297e-8,
            1.485_722_4e-5,
            6.372_619_3e-4,
            4.893_525e-3,
        ],
    );
    let q = polynomial(x2, [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_6e-3, 4.893_525e-3]);
    x * p / q
}

/// `erf(x)` to 4e-7: a rational function (from XLA), flat where f32 cannot tell it from 1.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-3.832_507, 3.832_507);
    let x2 = x * x;
    let p = polynomial(
        x2,
        [
            2.290_506_6e-4,
            3.408_291e-3,
            5.095_569_5e-2,
            0.185_208_33,
            std::f32::consts::FRAC_2_SQRT_PI,
        ],
    );
    let q = polynomial(
        x2,
        [
            -1.179_160_3e-7,
            2.354_796_6e-5,
            1.017_962_5e-3,
            1.407_047e-2,
            0.110_985_05,
            0.497_469_25,
            1.0,
        ],
    );
    (x * p / q).clamp(-1.0, 1.0)
}

/// `x * Φ(x)`.
#[inline(always)]
pub(crate) fn gelu_erf(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The approximation of [`gelu_erf`] by `tanh` that GPT-2 made common.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    const SQRT_2_OVER_PI: f32 = 0.797_884_6;
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * (x + 0.044_715 * (x * x * x))))
}

/// `max(x, 0)`, but NaN stays NaN.
#[inline(always)]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `x / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// Horner's rule, highest power first.
#[inline(always)]
fn polynomial<const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for &c in &coefficients[1..] {
        sum = sum * x + c;
    }
    sum
}

/// Lanes of a sum: enough to hide the latency of an addition under every instruction set.
const LANES: usize = 32;

/// The sum of `f` over `x` in an order that depends on the length alone.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0_f32; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane += f(v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(tail) {
        *lane += f(v);
    }
    fold(lanes, |a, b| a + b)
}

/// The largest of `x`, or negative infinity where it is empty. NaN is passed over.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, tail) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &v) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, v);
        }
    }
    for (lane, &v) in lanes.iter_mut().zip(tail) {
        *lane = larger(*lane, v);
    }
    fold(lanes, larger)
}

/// `f32::max` without its care for NaN: one instruction.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Folds the upper half onto the lower until one lane is left.
#[inline(always)]
fn fold(mut lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The series with positive terms only: `2x/√π e^{-x²} Σ (2x²)^n / (2n+1)!!`.
    fn erf_reference(x: f64) -> f64 {
        let (mut term, mut sum, mut n) = (x, x, 0.0);
        while term.abs() > 1e-18 * sum.abs() {
            n += 1.0;
            term *= 2.0 * x * x / (2.0 * n + 1.0);
            sum += term;
        }
        (sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI).clamp(-1.0, 1.0)
    }

    fn worst(range: f64, found: fn(f32) -> f32, reference: fn(f64) -> f64) -> f64 {
        let steps = 200_000;
        let at = |i: i32| (f64::from(i) / f64::from(steps) * range) as f32;
        (-steps..=steps)
            .map(|i| (f64::from(found(at(i))) - reference(f64::from(at(i)))).abs())
            .fold(0.0, |worst, error| if error > worst || error.is_nan() { error } else { worst })
    }

    #[test]
    fn functions_are_close_to_their_references() {
        let erf_worst = worst(6.0, erf, erf_reference);
        assert!(erf_worst < 4e-7, "erf {erf_worst:e}");
        let tanh_worst = worst(12.0, tanh, f64::tanh);
        assert!(tanh_worst < 5e-7, "tanh {tanh_worst:e}");
        let exp_worst = worst(80.0, |x| exp(x) / (f64::from(x).exp() as f32), |_| 1.0);
        assert!(exp_worst < 3e-7, "exp {exp_worst:e}");
        let gelu = worst(8.0, gelu_erf, |x| {
            0.5 * x * (1.0 + erf_reference(x * std::f64::consts::FRAC_1_SQRT_2))
        });
        assert!(gelu < 2e-6, "gelu {gelu:e}");
    }

    #[test]
    fn nan_stays_nan() {
        for f in [exp, tanh, erf, gelu_erf, gelu_tanh, relu, silu] {
            assert!(f(f32::NAN).is_nan());
        }
    }

    #[test]
    fn sums_and_maxima_cover_ragged_lengths() {
        for len in [0, 1, 31, 32, 33, 127] {
            let x: Vec<f32> = (0..len).map(|i| i as f32).collect();
            assert_eq!(sum(&x, |v| v), (0..len).sum::<usize>() as f32);
            assert_eq!(max(&x), x.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
