//! How bad a disagreement rate may really be, given what was counted.
//! Clopper and Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
//! Binomial", Biometrika 26, 1934: exact, so it holds for few rows and few errors too.

/// The one-sided upper bound of an error rate after `errors` in `rows`: the rate at which seeing
/// so few errors has probability `1 - confidence`. Between 0 and 1; 1 where nothing can be said
/// (no rows, only errors, a confidence that is not below 1).
pub fn clopper_pearson_upper(errors: u64, rows: u64, confidence: f64) -> f64 {
    if errors >= rows || confidence.is_nan() || confidence >= 1.0 {
        return 1.0;
    }
    let doubt = 1.0 - confidence.max(0.0);
    if errors == 0 {
        return -(doubt.ln() / rows as f64).exp_m1();
    }
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high || high - low < 1e-16 {
            return middle;
        }
        if binomial_cdf(errors, rows, middle) > doubt { low = middle } else { high = middle }
    }
}

/// Whether the upper bound of `errors` in `rows` is at most `limit`; cheaper than the bound.
pub(crate) fn is_within(errors: u64, rows: u64, limit: f64, confidence: f64) -> bool {
    if limit >= 1.0 {
        return true;
    }
    let certain = errors < rows && limit > 0.0 && confidence < 1.0;
    certain && binomial_cdf(errors, rows, limit) <= 1.0 - confidence.max(0.0)
}

/// The most errors in `rows` whose upper bound is at most `limit`; none if even 0 is too many.
pub(crate) fn errors_allowed(rows: u64, limit: f64, confidence: f64) -> Option<u64> {
    if !is_within(0, rows, limit, confidence) {
        return None;
    }
    let (mut fits, mut fails) = (0, rows.saturating_add(1));
    while fails - fits > 1 {
        let middle = fits + (fails - fits) / 2;
        if is_within(middle, rows, limit, confidence) { fits = middle } else { fails = middle }
    }
    Some(fits.min(rows))
}

/// Probability of at most `errors` in `rows` at an error rate strictly between 0 and 1;
/// `errors < rows`. Equal to the regularised incomplete beta
/// I(1 - rate; rows - errors, errors + 1).
fn binomial_cdf(errors: u64, rows: u64, rate: f64) -> f64 {
    let (a, b) = ((rows - errors) as f64, errors as f64 + 1.0);
    // The fraction converges fast left of the mean and is mirrored on the right.
    if 1.0 - rate < (a + 1.0) / (a + b + 2.0) {
        beta_tail(a, b, (-rate).ln_1p(), rate.ln(), 1.0 - rate)
    } else {
        1.0 - beta_tail(b, a, rate.ln(), (-rate).ln_1p(), rate)
    }
}

/// `x^a (1-x)^b / (a B(a, b))` times the continued fraction of the incomplete beta.
fn beta_tail(a: f64, b: f64, ln_x: f64, ln_rest: f64, x: f64) -> f64 {
    let ln_beta = ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b);
    (a * ln_x + b * ln_rest - ln_beta).exp() / a * beta_fraction(a, b, x)
}

/// Lentz's evaluation of the continued fraction DLMF 8.17.22.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const TERMS_MAX: u32 = 100_000;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let (mut c, mut d) = (1.0, 1.0 / away(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for term in 1..=TERMS_MAX {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for step in [even, odd] {
            d = 1.0 / away(1.0 + step * d);
            c = away(1.0 + step / c);
            fraction *= c * d;
        }
        if (fraction - before).abs() <= 1e-16 * fraction.abs() {
            break;
        }
    }
    fraction
}

/// Lanczos' approximation, g = 7 with nine terms: about 15 digits for x > 0.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let terms = COEFFICIENTS.iter().zip(1..).map(|(c, i)| c / (x + f64::from(i)));
    let series = 0.999_999_999_999_809_9 + terms.sum::<f64>();
    let t = x + 7.5;
    0.5 * std::f64::consts::TAU.ln() + (x + 0.5) * t.ln() - t + series.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bisection over the exact binomial sum in 60-digit decimal arithmetic.
    const KNOWN: [(u64, u64, f64, f64); 11] = [
        (0, 100, 0.95, 0.029_513_049_607_039_935),
        (1, 2, 0.5, std::f64::consts::FRAC_1_SQRT_2),
        (1, 10, 0.95, 0.394_163_302_436_504_78),
        (7, 20, 0.9, 0.518_030_757_318_205_5),
        (3, 500, 0.95, 0.015_433_734_876_752_689),
        (4, 1000, 0.95, 0.009_129_952_563_871_468),
        (5, 1000, 0.95, 0.010_484_076_911_415_654),
        (50, 1000, 0.95, 0.062_863_403_512_379_74),
        (999, 1000, 0.95, 0.999_948_708_021_091),
        (5, 5000, 0.99, 0.002_619_571_593_218_142),
        (10, 100_000, 0.999, 0.000_241_322_656_408_838),
    ];

    #[test]
    fn matches_exact_arithmetic() {
        for (errors, rows, confidence, expected) in KNOWN {
            let found = clopper_pearson_upper(errors, rows, confidence);
            let off = (found / expected - 1.0).abs();
            assert!(off < 1e-10, "{errors}/{rows} at {confidence}: {found}, expected {expected}");
        }
    }

    #[test]
    fn no_errors_has_a_closed_form() {
        for rows in [1_u64, 2, 59, 299, 100_000, 10_000_000] {
            let found = clopper_pearson_upper(0, rows, 0.95);
            let expected = 1.0 - 0.05_f64.powf(1.0 / rows as f64);
            assert!((found / expected - 1.0).abs() < 1e-7, "{rows}: {found} {expected}");
        }
    }

    #[test]
    fn edges() {
        assert_eq!(clopper_pearson_upper(0, 0, 0.95), 1.0);
        assert_eq!(clopper_pearson_upper(7, 7, 0.95), 1.0);
        assert_eq!(clopper_pearson_upper(9, 7, 0.95), 1.0);
        assert_eq!(clopper_pearson_upper(0, 7, 1.0), 1.0);
        assert_eq!(clopper_pearson_upper(0, 7, f64::NAN), 1.0);
        assert_eq!(clopper_pearson_upper(0, 7, 0.0), 0.0);
    }

    #[test]
    fn grows_with_errors_and_confidence_and_shrinks_with_rows() {
        for rows in [10_u64, 321, 5000] {
            for errors in 0..9 {
                let at = |errors, rows, confidence| clopper_pearson_upper(errors, rows, confidence);
                let bound = at(errors, rows, 0.95);
                assert!(bound > errors as f64 / rows as f64);
                assert!(at(errors + 1, rows, 0.95) > bound && at(errors, rows, 0.99) > bound);
                assert!(at(errors, rows + 1, 0.95) < bound);
            }
        }
    }

    #[test]
    fn allowed_errors_are_the_last_whose_bound_fits() {
        assert_eq!(errors_allowed(1000, 0.01, 0.95), Some(4));
        assert_eq!(errors_allowed(298, 0.01, 0.95), None);
        assert_eq!(errors_allowed(299, 0.01, 0.95), Some(0));
        assert_eq!(errors_allowed(50, 1.0, 0.95), Some(50));
        assert_eq!(errors_allowed(50, 0.0, 0.95), None);
        assert_eq!(errors_allowed(0, 0.5, 0.95), None);
        for rows in [40_u64, 777, 20_000] {
            for limit in [0.003, 0.02, 0.2, 0.9] {
                let Some(most) = errors_allowed(rows, limit, 0.9) else { continue };
                assert!(clopper_pearson_upper(most, rows, 0.9) <= limit, "{most}/{rows}");
                assert!(clopper_pearson_upper(most + 1, rows, 0.9) > limit, "{most}/{rows}");
            }
        }
    }

    #[test]
    fn covers_the_true_rate_as_often_as_promised() {
        let mut rng = fastrand::Rng::with_seed(4);
        let (rate, trials) = (0.02, 4000);
        let covered = (0..trials).filter(|_| {
            let errors = (0..200).filter(|_| rng.f64() < rate).count() as u64;
            clopper_pearson_upper(errors, 200, 0.9) >= rate
        });
        let share = covered.count() as f64 / f64::from(trials);
        assert!((0.89..0.97).contains(&share), "{share}");
    }
}
