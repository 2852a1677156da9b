//! Exit profiles: which share of the rows leaves where, whatever the ramps say.

use std::fmt::{self, Display};

use offramp::ExitWindow;

/// Where rows leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Nowhere: no ramp is run.
    Off,
    /// The same share at every exit.
    Uniform,
    /// Half of the rows at the first ramp, half of the rest at the second, and so on.
    Easy,
}

impl Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Uniform => "uniform",
            Self::Easy => "easy",
        }
    }

    /// One window a row, spread over the rows at random; as `offramp bench --profile-exits`.
    pub(crate) fn windows(self, ramps: usize, rows: usize) -> Vec<ExitWindow> {
        let mut parts: Vec<f64> = (0..rows).map(|row| (row as f64 + 0.5) / rows as f64).collect();
        fastrand::Rng::with_seed(11).shuffle(&mut parts);
        let window = |part: f64| match self.exit(ramps, part) {
            exit if exit < ramps => ExitWindow { first: exit as u32, last: exit as u32 },
            _ => ExitWindow::ANY,
        };
        match self {
            Self::Off => Vec::new(),
            _ => parts.into_iter().map(window).collect(),
        }
    }

    /// Where a row leaves that has `part` of all rows before it, from the earliest exit on.
    fn exit(self, ramps: usize, part: f64) -> usize {
        match self {
            Self::Off => ramps,
            Self::Uniform => (part * (ramps + 1) as f64) as usize,
            Self::Easy => (1.0 - part).log2().abs() as usize,
        }
    }
}
