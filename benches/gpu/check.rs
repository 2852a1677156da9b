//! Whether a kernel says what the CPU says.

use std::thread::available_parallelism;

use offramp::{Precision, Shape};
use offramp_kernels::cpu::CpuDevice;
use offramp_kernels::{Device, ExitId, Op, RowSlot, Span};

use crate::Result;
use crate::case::Case;
use crate::pass::Pass;
use crate::settings::Settings;
use crate::task::Task;

/// How much further a single element may be off than all together.
pub(crate) const ELEMENT_FACTOR: f64 = 8.0;

/// How far a kernel is from the CPU over the same numbers.
pub(crate) struct Errors {
    /// In the Euclidean norm.
    pub(crate) all: f64,
    /// Of the worst element.
    pub(crate) element: f64,
}

/// `device` holds the operands of `case`.
pub(crate) fn errors(
    task: Task,
    case: &Case,
    device: &mut dyn Device,
    settings: &Settings,
) -> Result<Errors> {
    let reference = Case::reference(task, &case.size, case.shape);
    let mut cpu = CpuDevice::new(available_parallelism().map_or(1, usize::from))?;
    reference.operands.load(&mut cpu, settings.precision)?;
    let expected = outcome(&reference, &mut cpu, settings.precision)?;
    let found = outcome(case, device, settings.precision)?;
    Ok(Errors { all: distance(&found, &expected), element: worst(&found, &expected) })
}

/// Fails beyond a tolerance; a NaN is within none.
pub(crate) fn expect_close(what: &str, error: f64, most: f64) -> Result<()> {
    let is_close = error <= most;
    if !is_close {
        let against = "relative error against the CPU";
        return Err(format!("{what}: {against} {error:.2e}, at most {most:.0e} expected").into());
    }
    Ok(())
}

/// `|found - expected| / |expected|`; NaN where there is nothing to compare.
pub(crate) fn distance(found: &[f32], expected: &[f32]) -> f64 {
    let square = |v: f64| v * v;
    let off = |(&a, &b): (&f32, &f32)| square(f64::from(a) - f64::from(b));
    let off: f64 = found.iter().zip(expected).map(off).sum();
    let norm: f64 = expected.iter().map(|&v| square(f64::from(v))).sum();
    if found.len() == expected.len() { (off / norm).sqrt() } else { f64::NAN }
}

/// The largest difference of an element, relative to itself or to the root mean square of all.
/// NaN shows in the [`distance`].
fn worst(found: &[f32], expected: &[f32]) -> f64 {
    let squares: f64 = expected.iter().map(|&v| f64::from(v).powi(2)).sum();
    let usual = (squares / expected.len() as f64).sqrt();
    let off = |(&a, &b): (&f32, &f32)| {
        let (a, b) = (f64::from(a), f64::from(b));
        (a - b).abs() / b.abs().max(usual)
    };
    found.iter().zip(expected).map(off).fold(0.0, f64::max)
}

/// What the first op of a case leaves behind.
fn outcome(case: &Case, device: &mut dyn Device, precision: Precision) -> Result<Vec<f32>> {
    let pass = Pass::new(case);
    pass.begin_halving(device)?;
    case.operands.write(device, precision)?;
    for op in case.before.iter().chain(&case.ops[..1]) {
        device.issue(op, case.bound())?;
    }
    device.finish()?;
    device.exits(&mut Vec::new())?;
    let Shape { rows, tokens } = case.shape;
    let (span, len) = match &case.ops[0] {
        Op::Embed(op) => (op.out, op.out.len),
        Op::Linear(op) => (op.out, op.out.len),
        Op::Attention(op) => (op.out, op.out.len),
        Op::Norm(op) => (op.out, op.out.len),
        Op::Compact(op) => (op.x, rows.div_ceil(2) * tokens * op.width),
        _ => return Ok(logits(device, rows)),
    };
    read(device, span, len)
}

fn read(device: &mut dyn Device, span: Span, len: usize) -> Result<Vec<f32>> {
    let mut values = vec![0.0; len];
    device.read(span, &mut values)?;
    Ok(values)
}

/// Of all rows at the first exit.
fn logits(device: &dyn Device, rows: usize) -> Vec<f32> {
    (0..rows as u32).flat_map(|row| device.logits(ExitId(0), RowSlot(row)).to_vec()).collect()
}
