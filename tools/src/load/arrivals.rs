//! When requests are due: pure, by seed.

use std::path::Path;

use clap::ValueEnum;

use crate::failure::{Failure, Result};

/// `--arrivals`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    /// Independent of each other
    Poisson,
    /// Evenly spaced
    Constant,
    /// In bursts: gamma-distributed gaps, four times as variable as Poisson's
    Bursty,
    /// A day pressed into the run: Poisson, from a quarter of the rate to seven quarters and back
    Diurnal,
}

/// Shape of the gaps of bursts: their squared coefficient of variation is 4.
const BURST_SHAPE: f64 = 0.25;

/// The busiest time of a day, by its mean.
const BUSIEST: f64 = 1.75;

/// How busy it is at a time of the day, from 0 to 1, by the day's mean.
fn share_of_day(time: f64) -> f64 {
    1.0 - (BUSIEST - 1.0) * (std::f64::consts::TAU * time).cos()
}

/// Seconds from the start at which requests are due, for `seconds` at `rate` a second.
pub(crate) fn drawn(kind: Arrivals, rate: f64, seconds: f64, seed: u64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(seed);
    if kind == Arrivals::Diurnal {
        let mut busiest = drawn(Arrivals::Poisson, BUSIEST * rate, seconds, seed);
        // Thinning (Lewis & Shedler, 1979).
        busiest.retain(|due_s| rng.f64() * BUSIEST < share_of_day(due_s / seconds));
        return busiest;
    }
    let mut due_s = 0.0;
    let next = move || {
        due_s += match kind {
            Arrivals::Constant => 1.0,
            Arrivals::Poisson | Arrivals::Diurnal => exponential(&mut rng),
            Arrivals::Bursty => gamma(&mut rng, BURST_SHAPE) / BURST_SHAPE,
        } / rate;
        Some(due_s)
    };
    std::iter::from_fn(next).take_while(|&due_s| due_s < seconds).collect()
}

/// The arrivals of a trace, a line each with `YYYY-MM-DD hh:mm:ss.fff` in the first column, after a
/// header; pressed together to `rate` a second and cut at `seconds`.
pub(crate) fn traced(path: &Path, rate: f64, seconds: f64) -> Result<Vec<f64>> {
    pressed(&crate::text::read(path)?, path, rate, seconds)
}

/// The same of a trace's text; `path` is for complaints.
pub(crate) fn pressed(text: &str, path: &Path, rate: f64, seconds: f64) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let time = second_of_day(line).ok_or_else(|| Failure::Line {
            file: path.to_owned(),
            line: number as u64 + 1,
            message: "expected a time, YYYY-MM-DD hh:mm:ss.fff, in the first column".to_owned(),
        })?;
        times.push(time);
    }
    let mut days = 0.0;
    for index in 1..times.len() {
        // Past midnight.
        days += if times[index] + days < times[index - 1] - 43_200.0 { 86_400.0 } else { 0.0 };
        times[index] += days;
        if times[index] < times[index - 1] {
            return Err(Failure::Line {
                file: path.to_owned(),
                line: index as u64 + 2,
                message: "a time before that of the line above".to_owned(),
            });
        }
    }
    let (Some(&first), Some(&last)) = (times.first(), times.last()) else {
        return Err(Failure::Failed(format!("{}: no arrivals", path.display())));
    };
    let scale = times.len() as f64 / rate / (last - first).max(1e-9);
    let due = times.iter().map(|time| (time - first) * scale);
    Ok(due.take_while(|&due_s| due_s < seconds).collect())
}

fn second_of_day(line: &str) -> Option<f64> {
    let time = line.split(',').next()?.split(' ').nth(1)?;
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}

fn exponential(rng: &mut fastrand::Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// Marsaglia & Tsang (2000), shapes below 1 by Ahrens & Dieter's boost.
fn gamma(rng: &mut fastrand::Rng, shape: f64) -> f64 {
    let boost = (1.0 - rng.f64()).powf(1.0 / shape);
    let d = shape + 1.0 - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal = (2.0 * exponential(rng)).sqrt() * (std::f64::consts::TAU * rng.f64()).cos();
        let v = (1.0 + c * normal).powi(3);
        if v > 0.0 && (1.0 - rng.f64()).ln() < 0.5 * normal * normal + d * (1.0 - v + v.ln()) {
            return boost * d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean gap and squared coefficient of variation.
    fn gaps(due: &[f64]) -> (f64, f64) {
        let gaps: Vec<f64> = due.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let squares = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
        (mean, squares / gaps.len() as f64 / (mean * mean))
    }

    #[test]
    fn gaps_have_the_rate_and_the_variation_asked_for() {
        let cases = [(Arrivals::Constant, 0.0), (Arrivals::Poisson, 1.0), (Arrivals::Bursty, 4.0)];
        for (kind, variation) in cases {
            let due = drawn(kind, 1000.0, 200.0, 1);
            let (mean, found) = gaps(&due);
            assert!((mean * 1000.0 - 1.0).abs() < 0.02, "{kind:?} {mean}");
            assert!((found - variation).abs() < 0.05 + 0.03 * variation, "{kind:?} {found}");
        }
    }

    #[test]
    fn a_day_is_quiet_at_its_ends_and_busy_in_the_middle() {
        let due = drawn(Arrivals::Diurnal, 1000.0, 100.0, 1);
        let within = |from: f64, to: f64| due.iter().filter(|&&s| s >= from && s < to).count();
        assert!((due.len() as f64 / 1e5 - 1.0).abs() < 0.02, "{}", due.len());
        assert!((within(0.0, 5.0) as f64 / 5e3 - 0.26).abs() < 0.04);
        assert!((within(47.5, 52.5) as f64 / 5e3 - 1.75).abs() < 0.08);
    }

    #[test]
    fn a_trace_keeps_its_shape_at_another_rate() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.csv");
        let lines = "TIME,X\n2023-11-16 23:59:59.0,1\n2023-11-17 00:00:00.0,2\n\
                     2023-11-17 00:00:03.0,3\n2023-11-17 00:00:03.0,4\n";
        std::fs::write(&path, lines).unwrap();
        assert_eq!(traced(&path, 2.0, 10.0).unwrap(), [0.0, 0.5, 2.0, 2.0]);
        assert_eq!(traced(&path, 2.0, 1.0).unwrap(), [0.0, 0.5]);
        let back = "TIME\n2023-11-16 10:00:02.0\n2023-11-16 10:00:01.0\n";
        std::fs::write(&path, back).unwrap();
        assert!(traced(&path, 2.0, 1.0).unwrap_err().to_string().contains("trace.csv:3: a time"));
        std::fs::write(&path, "TIME\nnonsense\n").unwrap();
        assert!(traced(&path, 2.0, 1.0).unwrap_err().to_string().contains("trace.csv:2"));
    }
}
