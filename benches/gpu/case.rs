//! One kernel with operands to run on, declared before any device is there.

use offramp::Shape;
use offramp_kernels::{ExitId, LiveBound, Op, Ramp};
use offramp_tests::models::BertSize;

use crate::operands::Operands;
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
