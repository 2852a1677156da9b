//! Compaction, against a plain vector of rows.

use offramp_kernels::{
    Attention, Compact, Decision, Embed, Error, ExitId, LiveBound, Norm, Pool, Ramp, RampHead,
    RowTokens, Score, Span, WeightForm, WeightId,
};

use super::{Stage, Start, Suite};
use crate::reference;

const WIDTH: usize = 24;

/// A device whose rows leave at a ramp iff their first number is `LEAVE`.
pub struct Herd {
    stage: Stage,
    x: Span,
    out: Span,
    head: RampHead,
    scale: WeightId,
    shift: WeightId,
    tables: [WeightId; 2],
    stays: Vec<usize>,
    /// The rows alive: what the device should hold.
    rows: Vec<Row>,
}

struct Row {
    slot: usize,
    answered: bool,
    values: Vec<f32>,
}

const LEAVE: f32 = 10.0;

impl Herd {
    /// Starts a pass; rows in `stays` never leave.
    pub fn new(suite: &Suite, lens: &[usize], stays: &[usize]) -> Self {
        let mut start = Start::new(lens);
        // Logits (0, first element): the confidence is 1/2 for 0 and nearly 1 for LEAVE.
        let mut head = vec![0.0; 2 * WIDTH];
        head[WIDTH] = 1.0;
        let weight = start.weight(WeightForm::Matrix { n: 2, k: WIDTH }, head);
        let bias = start.weight(WeightForm::Vector { len: 2 }, vec![0.0; 2]);
        let head = RampHead { weight, bias, classes: 2, decision: Decision::Class };
        let (scale, shift) = (start.vector(WIDTH), start.vector(WIDTH));
        let tables = [start.table(50, WIDTH), start.table(64, WIDTH)];
        let (x, out) = (start.span(WIDTH), start.span(WIDTH));
        let mut stage = start.device(suite);
        stage.begin(Score::Confidence, &[0.9; 4], stays);
        let values = stage.fill(x, WIDTH);
        let mut rest = values.as_slice();
        let mut rows = Vec::new();
        for (slot, len) in lens.iter().enumerate() {
            let (values, tail) = rest.split_at(len * WIDTH);
            rows.push(Row { slot, answered: false, values: values.to_vec() });
            rest = tail;
        }
        Self { stage, x, out, head, scale, shift, tables, stays: stays.to_vec(), rows }
    }

    /// Runs an exit at which the rows for which `leaves(slot)` get an answer, then compacts.
    pub fn step(&mut self, exit: u32, leaves: impl Fn(usize) -> bool) {
        for row in &mut self.rows {
            row.values[0] = if leaves(row.slot) { LEAVE } else { 0.0 };
        }
        let values = self.values();
        self.stage.write(self.x, &values);
        self.exit(exit, leaves);
        self.compact();
        self.check();
    }

    fn exit(&mut self, exit: u32, leaves: impl Fn(usize) -> bool) {
        let (exit, pool, head) = (ExitId(exit), Pool::First, Some(self.head.clone()));
        self.stage.issue(Ramp {
            exit,
            x: self.x,
            tokens: RowTokens::Own,
            width: WIDTH,
            norm: None,
            pool,
            hidden: None,
            head,
        });
        let records = self.stage.exits();
        let slots: Vec<_> = records.iter().map(|record| record.slot as usize).collect();
        assert_eq!(slots, self.rows.iter().map(|row| row.slot).collect::<Vec<_>>(), "order");
        for (record, row) in records.iter().zip(&mut self.rows) {
            assert_eq!(record.answers(), leaves(row.slot) && !row.answered, "{record:?}");
            row.answered |= leaves(row.slot);
        }
    }

    fn compact(&mut self) {
        self.stage.issue(Compact { x: self.x, tokens: RowTokens::Own, width: WIDTH });
        let stays = &self.stays;
        self.rows.retain(|row| !row.answered || stays.contains(&row.slot));
    }

    /// Numbers of the rows alive, packed.
    fn values(&self) -> Vec<f32> {
        self.rows.iter().flat_map(|row| row.values.iter().copied()).collect()
    }

    /// Rows alive.
    pub fn live(&self) -> usize {
        self.rows.len()
    }

    fn check(&mut self) {
        let values = self.values();
        assert_eq!(self.stage.read(self.x, values.len()), values, "rows after compaction");
        let began = self.stage.tokens() * WIDTH;
        self.stage.check_untouched(self.x, began);
    }

    /// Ops see the rows that are left and nothing else.
    fn check_ops(&mut self, suite: &Suite) {
        let lens: Vec<_> = self.rows.iter().map(|row| row.values.len() / WIDTH).collect();
        let live = self.values();
        self.stage.poison(self.out, WIDTH);
        self.stage.issue(Attention { qkv: self.x, out: self.out, heads: 1, head_dim: WIDTH / 3 });
        let values: Vec<f64> = live.iter().copied().map(f64::from).collect();
        let expected = reference::attention(&values, &lens, 1, WIDTH / 3);
        let found = self.stage.read(self.out, expected.len());
        suite.tolerance.check("attention after compaction", &found, &expected);

        self.check_norm(suite, &values);
        self.check_embed();
    }

    fn check_norm(&mut self, suite: &Suite, values: &[f64]) {
        self.stage.poison(self.out, WIDTH);
        let (x, out, scale, shift) = (self.x, self.out, self.scale, self.shift);
        self.stage.issue(Norm { x, scale, shift, eps: 1e-5, out, width: WIDTH });
        let (scale, shift) = (self.stage.weight(scale), self.stage.weight(shift));
        let expected = reference::norm(values, scale, shift, 1e-5);
        let began = self.stage.tokens() * WIDTH;
        let found = self.stage.read(out, began);
        suite.tolerance.check("norm after compaction", &found[..values.len()], &expected);
        assert!(found[values.len()..].iter().all(|v| v.is_nan()), "norm wrote beyond live tokens");
    }

    /// What rows are made of is read before any of them leaves.
    fn check_embed(&mut self) {
        let [word, position] = self.tables;
        let (kind, norm, out) = (None, None, self.out);
        let embed = Embed { word, position, kind, norm, out, width: WIDTH };
        let bound = LiveBound { rows: self.rows.len(), tokens: self.stage.tokens() };
        let refused = self.stage.device.issue(&embed.into(), bound);
        assert!(matches!(refused, Err(Error::Mismatch { .. })), "{refused:?}");
    }

    fn check_ops_on_nothing(&mut self) {
        let before = self.stage.read(self.out, self.out.len);
        let (x, out, scale, shift) = (self.x, self.out, self.scale, self.shift);
        self.stage.issue(Norm { x, scale, shift, eps: 1e-5, out, width: WIDTH });
        self.stage.issue(Attention { qkv: x, out, heads: 1, head_dim: WIDTH / 3 });
        assert_eq!(self.stage.read(self.out, self.out.len), before);
    }
}

/// Random rows leave, in several rounds; some stay although answered.
pub fn sequences(suite: &Suite) {
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..30 {
        let rows = random.usize(1..12);
        let lens: Vec<_> = (0..rows).map(|_| random.usize(1..9)).collect();
        let stays: Vec<_> = (0..rows).filter(|_| random.u8(0..4) == 0).collect();
        let mut herd = Herd::new(suite, &lens, &stays);
        for exit in 0..3 {
            let leaving: Vec<_> = (0..rows).map(|_| random.u8(0..3) == 0).collect();
            herd.step(exit, |slot| leaving[slot]);
        }
    }
}

/// All rows leave, and what follows has nothing to do.
pub fn everything(suite: &Suite) {
    let mut herd = Herd::new(suite, &[3, 1, 5], &[]);
    herd.step(0, |_| true);
    assert_eq!(herd.live(), 0);
    herd.step(1, |_| true);
    herd.check_ops_on_nothing();
}

/// Ops after a compaction.
pub fn ops_after(suite: &Suite) {
    let mut herd = Herd::new(suite, &[3, 33, 1, 17, 5], &[3]);
    herd.step(0, |slot| slot == 1 || slot == 3);
    herd.check_ops(suite);
    herd.step(1, |slot| slot == 0);
    herd.check_ops(suite);
}
