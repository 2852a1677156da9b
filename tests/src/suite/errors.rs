//! What devices must refuse, and stay usable after.

use offramp_kernels::{
    Admission, ArenaLayout, Attention, Compact, Decision, Embed, Error, ExitId, Linear, LiveBound,
    Norm, NormWeights, Op, Pool, Ramp, RampHead, Result, RowInput, RowTokens, Score, Span, Token,
    WeightData, WeightForm, WeightId,
};

use super::linear::product;
use super::{Stage, Start, Suite};

fn is_mismatch(result: &Result<()>) -> bool {
    matches!(result, Err(Error::Mismatch { .. }))
}

fn is_too_large(result: &Result<()>) -> bool {
    matches!(result, Err(Error::TooLarge { .. }))
}

const TOKEN: Token = Token { id: 0, position: 0, kind: 0 };

/// Offsets, flags, thresholds and limits.
pub fn passes(suite: &Suite) {
    let mut stage = Start::new(&[4, 2]).device(suite);
    let tokens = vec![TOKEN; 100];
    let thresholds = [0.0; 9];
    let mut begin = |count: usize, offsets: &[u32], stays: usize, exits: usize, score: Score| {
        let stays = vec![false; stays];
        let (tokens, thresholds) = (&tokens[..count], &thresholds[..exits]);
        stage.device.begin(&Admission {
            input: RowInput::Text { tokens, offsets },
            stays: &stays,
            windows: &[],
            score,
            thresholds,
        })
    };
    let by = Score::Confidence;
    assert!(begin(6, &[0, 4, 6], 2, 4, by).is_ok());
    for (offsets, stays) in [
        (&[1, 4, 6][..], 2),
        (&[0, 4, 5], 2),
        (&[0, 4, 7], 2),
        (&[0, 0, 4], 2),
        (&[0, 4, 4], 2),
        (&[0, 4, 2, 6], 3),
        (&[0, 4, 6], 1),
        (&[0, 4, 6], 3),
        (&[], 0),
        (&[0], 0),
    ] {
        let result = begin(6, offsets, stays, 4, by);
        assert!(is_mismatch(&result), "{offsets:?} {stays} gave {result:?}");
    }
    assert!(is_mismatch(&begin(6, &[0, 4, 6], 2, 3, by)), "thresholds");
    assert!(is_mismatch(&begin(6, &[0, 4, 6], 2, 4, Score::Patience { k: 0 })), "patience");
    assert!(is_too_large(&begin(4, &[0, 1, 2, 3, 4], 4, 4, by)), "rows");
    assert!(is_too_large(&begin(10, &[0, 4, 7, 10], 3, 4, by)), "tokens");
    assert!(is_too_large(&begin(6, &[0, 5, 6], 2, 4, by)), "tokens of a row");
    assert!(begin(6, &[0, 4, 6], 2, 4, by).is_ok(), "usable after refusals");
}

/// Token fields beyond their tables.
pub fn token_ids(suite: &Suite) {
    let width = 8;
    let mut start = Start::new(&[2]);
    let (word, position, kind) =
        (start.table(50, width), start.table(4, width), start.table(2, width));
    let (scale, shift) = (start.vector(width), start.vector(width));
    let out = start.span(width);
    let mut stage = start.device(suite);
    let norm = Some(NormWeights { scale, shift, eps: 1e-5 });
    let embed = |kind| Op::Embed(Embed { word, position, kind, norm, out, width });
    let mut run = |token: Token, kind| {
        let (score, thresholds) = (Score::Confidence, [0.0; 4]);
        stage.begin_with(&[TOKEN, token], &[0, 2], score, &thresholds, &[]);
        stage.device.issue(&embed(kind), LiveBound { rows: 1, tokens: 2 })
    };
    assert!(run(Token { id: 49, position: 3, kind: 1 }, Some(kind)).is_ok());
    for token in [
        Token { id: 50, ..TOKEN },
        Token { id: u32::MAX, ..TOKEN },
        Token { position: 4, ..TOKEN },
        Token { position: u16::MAX, ..TOKEN },
        Token { kind: 2, ..TOKEN },
    ] {
        let result = run(token, Some(kind));
        assert!(is_mismatch(&result), "{token:?} gave {result:?}");
    }
    assert!(run(Token { kind: 9, ..TOKEN }, None).is_ok(), "kinds without a table are not read");
}

/// Operands outside memory, of other sizes, overlapping, or with weights of another role.
pub fn ops(suite: &Suite) {
    let width = 8;
    let mut start = Start::new(&[2, 1]);
    let (weight, vector, table) =
        (start.matrix(width, width), start.vector(width), start.table(4, width));
    let (x, out, wide) = (start.span(width), start.span(width), start.span(3 * width));
    let end = start.layout.activations;
    let mut stage = start.begin(suite);
    let good = Broken { x, out, weight, vector, table };
    for op in good.all(wide, width) {
        let result = issue(&mut stage, &op);
        assert!(result.is_ok(), "{op} gave {result:?}");
    }
    let far = Span { at: end, ..x };
    let huge = Span { at: usize::MAX - 4, ..x };
    let short = Span { len: x.len - 1, ..x };
    for x in [far, huge, short] {
        for op in (Broken { x, ..good }).all(x, width) {
            let result = issue(&mut stage, &op);
            assert!(is_mismatch(&result), "{op} gave {result:?}");
        }
    }
    for id in [WeightId(99), table] {
        for op in (Broken { weight: id, vector: id, table: weight, ..good }).weighted(width) {
            let result = issue(&mut stage, &op);
            assert!(is_mismatch(&result), "{op} gave {result:?}");
        }
    }
    overlaps(&mut stage, &good, width);
    limits(&mut stage, &good, wide, width);
}

fn issue(stage: &mut Stage, op: &Op) -> Result<()> {
    stage.device.issue(op, LiveBound { rows: 2, tokens: 3 })?;
    stage.exits();
    Ok(())
}

/// Operands of one op of each sort.
#[derive(Clone, Copy)]
struct Broken {
    x: Span,
    out: Span,
    weight: WeightId,
    vector: WeightId,
    table: WeightId,
}

impl Broken {
    fn norm(self, width: usize) -> Norm {
        let (scale, shift) = (self.vector, self.vector);
        Norm { x: self.x, scale, shift, eps: 1e-5, out: self.out, width }
    }

    fn linear(self, width: usize) -> Linear {
        product(self.x, [self.weight, self.vector], self.out, [width; 2])
    }

    fn ramp(self, width: usize) -> Ramp {
        let head = RampHead {
            weight: self.weight,
            bias: self.vector,
            classes: width,
            decision: Decision::Class,
        };
        Ramp {
            tokens: RowTokens::Own,
            exit: ExitId(0),
            x: self.x,
            width,
            norm: None,
            pool: Pool::First,
            hidden: None,
            head: Some(head),
        }
    }

    fn weighted(self, width: usize) -> Vec<Op> {
        let embed = Embed {
            word: self.table,
            position: self.table,
            kind: None,
            norm: Some(NormWeights { scale: self.vector, shift: self.vector, eps: 1e-5 }),
            out: self.out,
            width,
        };
        vec![
            embed.into(),
            self.norm(width).into(),
            self.linear(width).into(),
            self.ramp(width).into(),
        ]
    }

    /// Ops that read `x`, or `qkv` for attention.
    fn all(self, qkv: Span, width: usize) -> Vec<Op> {
        let compact = Compact { x: self.x, tokens: RowTokens::Own, width };
        vec![
            self.norm(width).into(),
            self.linear(width).into(),
            Attention { qkv, out: self.out, heads: 2, head_dim: width / 2 }.into(),
            self.ramp(width).into(),
            compact.into(),
        ]
    }
}

fn overlaps(stage: &mut Stage, good: &Broken, width: usize) {
    let aside = Span { at: good.x.at + 1, ..good.x };
    let linear = good.linear(width);
    for op in [
        Op::Norm(Norm { out: aside, ..good.norm(width) }),
        Linear { out: linear.x, ..linear.clone() }.into(),
        Linear { out: aside, ..linear.clone() }.into(),
        Linear { residual: Some(Span { at: linear.out.at + 1, ..linear.out }), ..linear }.into(),
        Attention { qkv: aside, out: good.x, heads: 1, head_dim: 2 }.into(),
    ] {
        let result = issue(stage, &op);
        assert!(is_mismatch(&result), "{op} gave {result:?}");
    }
}

fn limits(stage: &mut Stage, good: &Broken, wide: Span, width: usize) {
    let ramp = good.ramp(width);
    assert!(is_mismatch(&issue(stage, &Ramp { exit: ExitId(4), ..ramp.clone() }.into())));
    let result = issue(stage, &Ramp { width: usize::MAX, head: None, ..ramp.clone() }.into());
    assert!(result.is_err(), "a width that overflows");
    let none = Some(RampHead { classes: 0, ..ramp.head.clone().expect("it has a head") });
    assert!(is_mismatch(&issue(stage, &Ramp { head: none, ..ramp.clone() }.into())));
    let two = Some(RampHead {
        classes: 2,
        decision: Decision::Value { tolerance: 0.02 },
        ..ramp.head.clone().expect("it has a head")
    });
    assert!(is_mismatch(&issue(stage, &Ramp { head: two, ..ramp.clone() }.into())));
    let (heads, head_dim) = (usize::MAX, 2);
    let result = issue(stage, &Attention { qkv: wide, out: good.out, heads, head_dim }.into());
    assert!(result.is_err(), "heads that overflow");
    // Records that nobody fetches fill up: an error, not growth.
    let bound = LiveBound { rows: 2, tokens: 3 };
    let all: Result<()> = (0..99).try_for_each(|_| stage.device.issue(&ramp.clone().into(), bound));
    assert!(is_too_large(&all), "{all:?}");
    stage.exits();
    assert!(issue(stage, &ramp.into()).is_ok());
}

/// Rows that do not fit the declared form.
pub fn weights(suite: &Suite) {
    let mut start = Start::new(&[1]);
    let ids = [start.matrix(5, 3), start.table(5, 3), start.vector(3)];
    let mut stage = start.device(suite);
    for (id, rows) in ids.into_iter().zip([5, 5, 1]) {
        let mut load = |first: usize, len: usize| {
            stage.device.load(id, first, WeightData::F32(&vec![0.0; len]))
        };
        assert!(load(0, 3 * rows).is_ok());
        assert!(load(rows - 1, 3).is_ok());
        for (first, len) in [(0, 2), (0, 3 * rows + 3), (rows, 3), (usize::MAX, 3)] {
            assert!(is_mismatch(&load(first, len)), "{id} {first} {len}");
        }
    }
    assert!(is_mismatch(&stage.device.load(WeightId(3), 0, WeightData::F32(&[0.0]))));
    let weights = vec![WeightForm::Matrix { n: 1 << 40, k: 1 << 40 }];
    let layout = ArenaLayout { weights, ..ArenaLayout::default() };
    assert!(matches!(suite.device().reserve(&layout), Err(Error::OutOfMemory { .. })));
}

/// Copies beyond a span or the arena.
pub fn copies(suite: &Suite) {
    let mut start = Start::new(&[1]);
    let span = start.span(4);
    let end = start.layout.activations;
    let mut device = start.device(suite).device;
    let mut values = vec![0.0; span.len + 1];
    assert!(is_mismatch(&device.write(span, &values)));
    assert!(is_mismatch(&device.read(span, &mut values)));
    for at in [end - 1, usize::MAX] {
        let span = Span { at, len: 2 };
        assert!(is_mismatch(&device.write(span, &[0.0; 2])));
        assert!(is_mismatch(&device.read(span, &mut [0.0; 2])));
    }
    assert!(device.write(span, &values[..span.len]).is_ok());
}
