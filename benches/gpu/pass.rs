//! The pass that kernels are run in.

use offramp::Shape;
use offramp_kernels::{Admission, Device, ExitWindow, Result, RowInput, Score, Token};

use crate::case::Case;

/// No score reaches it.
const NEVER: f32 = 2.0;

/// Rows of equal length and random tokens.
pub(crate) struct Pass {
    tokens: Vec<Token>,
    offsets: Vec<u32>,
    stays: Vec<bool>,
    windows: Vec<ExitWindow>,
    thresholds: Vec<f32>,
}

impl Pass {
    pub(crate) fn new(case: &Case) -> Self {
        let Shape { rows, tokens } = case.shape;
        let mut random = fastrand::Rng::with_seed(5);
        let vocab = case.size.vocab as u32;
        let mut token = |i: usize| {
            let (id, position) = (random.u32(0..vocab), (i % tokens) as u16);
            Token { id, position, kind: 0 }
        };
        let odd_leave = |row: usize| match row % 2 {
            0 => ExitWindow::ANY,
            _ => ExitWindow { first: 0, last: 0 },
        };
        Self {
            tokens: (0..rows * tokens).map(&mut token).collect(),
            offsets: (0..=rows).map(|row| (row * tokens) as u32).collect(),
            stays: vec![false; rows],
            windows: (0..rows).map(odd_leave).collect(),
            thresholds: vec![NEVER; case.operands.layout.exits],
        }
    }

    /// Nobody leaves at any ramp.
    pub(crate) fn begin(&self, device: &mut dyn Device) -> Result<()> {
        self.begin_within(device, &[])
    }

    /// Every second row leaves at the first ramp, the first row not.
    pub(crate) fn begin_halving(&self, device: &mut dyn Device) -> Result<()> {
        self.begin_within(device, &self.windows)
    }

    fn begin_within(&self, device: &mut dyn Device, windows: &[ExitWindow]) -> Result<()> {
        let Self { tokens, offsets, stays, thresholds, .. } = self;
        let score = Score::Confidence;
        device.begin(&Admission {
            input: RowInput::Text { tokens, offsets },
            stays,
            windows,
            score,
            thresholds,
        })
    }
}
