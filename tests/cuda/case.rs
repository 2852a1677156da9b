//! One op on a device, and what the driver counts of it.

use offramp_kernels::{Linear, LinearNorms, MomentsId, Op, RowInput};
use offramp_libcuda::Simulator;
use offramp_tests::suite::{Make, Stage, Start};
use serde::Deserialize;

use crate::machine;

/// Counts of one kernel, as the driver gives them.
#[derive(Deserialize)]
pub(crate) struct Counts {
    pub(crate) kernel: String,
    pub(crate) launches: u64,
    pub(crate) instructions: u64,
    pub(crate) global_load_sectors: u64,
    pub(crate) global_store_sectors: u64,
    pub(crate) shared_accesses: u64,
    pub(crate) shared_bank_conflicts: u64,
    pub(crate) tensor_ops: u64,
}

/// An op on a device, and the bytes it must read and write at least.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) make: Make,
    pub(crate) rows: usize,
    pub(crate) tokens: usize,
    /// Declares spans and weights; gives the op, bytes to read and bytes to write.
    pub(crate) declare: fn(&mut Start) -> (Op, usize, usize),
}

impl Case {
    pub(crate) fn start(&self) -> Start {
        Start::new(&vec![self.tokens; self.rows])
    }

    pub(crate) fn run(&self, driver: &Simulator) -> Counts {
        let suite = machine::suite(self.make);
        let mut start = self.start();
        let (op, ..) = (self.declare)(&mut start);
        let mut stage = start.begin(&suite);
        if matches!(op, Op::Pixels(_)) {
            begin_images(&mut stage, self.rows);
        }
        if let Some(before) = writes_moments(&op) {
            stage.issue(before);
        }
        stage.device.finish().unwrap();
        driver.reset();
        stage.issue(op);
        stage.device.finish().unwrap();
        let counts: Vec<Counts> = serde_json::from_str(&driver.launches()).unwrap();
        let [counts] = counts.try_into().ok().unwrap();
        counts
    }
}

/// A pass over black images.
fn begin_images(stage: &mut Stage, rows: usize) {
    let images = vec![0; rows * stage.layout().row_pixels];
    stage.begin_rows(RowInput::Images(&images), rows).unwrap();
}

/// What writes the moments that a product reads, by the product's own weight.
fn writes_moments(op: &Op) -> Option<Op> {
    let Op::Linear(op) = op else { return None };
    let norms = LinearNorms { out: Some(MomentsId(0)), ..LinearNorms::default() };
    let plain = Linear { residual: None, norms, ..op.clone() };
    match (op.norms.x, op.norms.residual) {
        (Some(_), _) => Some(Linear { x: op.out, out: op.x, ..plain }.into()),
        (_, Some(_)) => Some(plain.into()),
        _ => None,
    }
}
