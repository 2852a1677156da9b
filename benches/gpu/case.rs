//! One kernel with operands to run on, declared before any device is there.

use offramp::{Precision, Shape};
use offramp_kernels::{
    ArenaLayout, Device, ExitId, LiveBound, Op, Ramp, Span, WeightForm, WeightId,
};
use offramp_tests::models::BertSize;

use crate::noise::Noise;
use crate::settings::SETS_MAX;
use crate::task::{Task, ahead_of_norm, forget_norms, give_back_norms, ramp};

/// A kernel's task over random operands.
pub(crate) struct Case {
    pub(crate) shape: Shape,
    pub(crate) size: BertSize,
    pub(crate) operands: Operands,
    /// One for each turn. Operands take turns, and so do the exits of ramps, which speak once.
    pub(crate) ops: Vec<Op>,
    /// A ramp that lets rows out, for an op that takes them away; what is in front of a norm, for
    /// an op that takes that over.
    pub(crate) before: Vec<Op>,
    pub(crate) set_elements: usize,
    pub(crate) sets: usize,
}

impl Case {
    /// As many sets of operands as have `cold_elements`, one at least.
    pub(crate) fn new(
        task: Task,
        size: &BertSize,
        shape: Shape,
        cold_elements: usize,
        turns: usize,
    ) -> Self {
        let mut operands = Operands::new(size, shape, turns + 1);
        let mut sets = vec![task.op(&mut operands, size)];
        let set_elements = operands.elements();
        let count = cold_elements.div_ceil(set_elements).clamp(1, SETS_MAX.min(turns));
        while sets.len() < count {
            operands.next_set();
            sets.push(task.op(&mut operands, size));
        }
        let before = match &sets[0] {
            Op::Compact(op) => vec![ramp(&mut operands, op.x, size)],
            Op::Linear(op) => ahead_of_norm(&mut operands, op).into_iter().collect(),
            _ => Vec::new(),
        };
        let ops = (0..turns).map(|turn| at_exit(&sets[turn % count], turn)).collect();
        Self { shape, size: *size, operands, ops, before, set_elements, sets: count }
    }

    /// What the op cannot do without, whoever leaves.
    pub(crate) fn needed(&self) -> impl Iterator<Item = &Op> {
        self.before.iter().filter(|op| matches!(op, Op::Linear(_)))
    }

    /// The CPU's part: one set, one turn, the same numbers, and norms by themselves.
    pub(crate) fn reference(task: Task, size: &BertSize, shape: Shape) -> Self {
        let mut case = Self::new(task, size, shape, 0, 1);
        if let Op::Linear(op) = &mut case.ops[0] {
            let norm = give_back_norms(&mut case.operands, op);
            case.before.iter_mut().for_each(forget_norms);
            case.before.extend(norm);
        }
        case
    }

    pub(crate) fn bound(&self) -> LiveBound {
        let Shape { rows, tokens } = self.shape;
        LiveBound { rows, tokens: rows * tokens }
    }
}

/// A ramp at the exit of its turn; any other op as it is.
fn at_exit(op: &Op, turn: usize) -> Op {
    match op {
        Op::Ramp(ramp) => Ramp { exit: ExitId(turn as u32), ..ramp.clone() }.into(),
        other => other.clone(),
    }
}

/// Spans and weights, and the numbers that fill them.
pub(crate) struct Operands {
    pub(crate) layout: ArenaLayout,
    /// By weight.
    weights: Vec<Noise>,
    inputs: Vec<(Span, Noise)>,
    seed: u64,
}

impl Operands {
    fn new(size: &BertSize, shape: Shape, exits: usize) -> Self {
        let layout = ArenaLayout {
            rows_max: shape.rows,
            tokens_max: shape.rows * shape.tokens,
            row_tokens_max: shape.tokens,
            exits,
            logits_max: size.classes,
            features_max: size.hidden,
            ..ArenaLayout::default()
        };
        Self { layout, weights: Vec::new(), inputs: Vec::new(), seed: 0 }
    }

    /// What follows has the same numbers again, in other places.
    fn next_set(&mut self) {
        self.seed = 0;
    }

    fn elements(&self) -> usize {
        self.layout.activations + self.layout.parameters()
    }

    fn noise(&mut self, mean: f32, spread: f32) -> Noise {
        self.seed += 1;
        Noise { seed: self.seed, mean, spread }
    }

    /// `[tokens, width]` to write.
    pub(crate) fn room(&mut self, width: usize) -> Span {
        let span = Span { at: self.layout.activations, len: self.layout.tokens_max * width };
        self.layout.activations = span.end();
        span
    }

    /// `[tokens, width]` of numbers in -1..1.
    pub(crate) fn input(&mut self, width: usize) -> Span {
        let span = self.room(width);
        let noise = self.noise(0.0, 1.0);
        self.inputs.push((span, noise));
        span
    }

    fn weight(&mut self, form: WeightForm, mean: f32, spread: f32) -> WeightId {
        let noise = self.noise(mean, spread);
        self.weights.push(noise);
        self.layout.weights.push(form);
        WeightId(self.layout.weights.len() - 1)
    }

    /// Scaled so that products are about as large as inputs.
    pub(crate) fn matrix(&mut self, n: usize, k: usize) -> WeightId {
        self.weight(WeightForm::Matrix { n, k }, 0.0, (3.0 / k as f32).sqrt())
    }

    pub(crate) fn table(&mut self, rows: usize, width: usize) -> WeightId {
        self.weight(WeightForm::Table { rows, width }, 0.0, 1.0)
    }

    pub(crate) fn vector(&mut self, len: usize) -> WeightId {
        self.weight(WeightForm::Vector { len }, 0.0, 0.1)
    }

    /// The same number throughout.
    pub(crate) fn constant(&mut self, len: usize, value: f32) -> WeightId {
        self.weight(WeightForm::Vector { len }, value, 0.0)
    }

    /// The scale of a norm.
    pub(crate) fn scale(&mut self, len: usize) -> WeightId {
        self.weight(WeightForm::Vector { len }, 1.0, 0.1)
    }

    /// Reserves, and loads everything but the pass.
    pub(crate) fn load(
        &self,
        device: &mut dyn Device,
        precision: Precision,
    ) -> offramp_kernels::Result<()> {
        device.reserve(&self.layout)?;
        for (index, (form, noise)) in self.layout.weights.iter().zip(&self.weights).enumerate() {
            device.load(WeightId(index), 0, &noise.values(form.len(), precision))?;
        }
        Ok(())
    }

    /// Writes the inputs of a pass.
    pub(crate) fn write(
        &self,
        device: &mut dyn Device,
        precision: Precision,
    ) -> offramp_kernels::Result<()> {
        let mut inputs = self.inputs.iter();
        inputs.try_for_each(|(span, noise)| device.write(*span, &noise.values(span.len, precision)))
    }
}
