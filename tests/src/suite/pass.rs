//! Whole passes: what one leaves to the next, and that rows do not see each other.

use offramp_kernels::{
    Activation, Attention, Compact, Decision, Embed, Error, ExitId, ExitRecord, Hidden, Linear,
    LinearNorms, LiveBound, MomentsId, Norm, NormWeights, Normalised, Op, Pool, Ramp, RampHead,
    RowSlot, RowTokens, Score, Span, Standardised, Token, WeightId,
};

use super::linear::product;
use super::{Stage, Start, Suite, lens_to_offsets, tokens};

/// Two blocks of moments, the second broken.
const WIDTH: usize = 72;
const HEADS: usize = 3;
const MIDDLE: usize = 104;
const EPS: f32 = 1e-5;
/// Moments of what lies before the norm, where the device takes norms over.
const MOMENTS: MomentsId = MomentsId(0);
const CLASSES: usize = 5;

/// One encoder layer between an embedding and two exits.
struct Model {
    stage: Stage,
    tables: [WeightId; 3],
    norm: [WeightId; 2],
    linears: [(WeightId, WeightId); 4],
    ramp: Ramp,
    x: Span,
    qkv: Span,
    mixed: Span,
    middle: Span,
    takes_norms: bool,
}

impl Model {
    /// Weights do not depend on the rows.
    fn new(suite: &Suite, lens: &[usize]) -> Self {
        let mut start = Start::new(lens);
        start.random.seed(5);
        start.layout.moments = vec![WIDTH];
        let tables = [start.table(50, WIDTH), start.table(64, WIDTH), start.table(2, WIDTH)];
        let norm = [start.vector(WIDTH), start.vector(WIDTH)];
        let sizes = [(3 * WIDTH, WIDTH), (WIDTH, WIDTH), (MIDDLE, WIDTH), (WIDTH, MIDDLE)];
        let linears = sizes.map(|(n, k)| (start.matrix(n, k), start.vector(n)));
        let hidden = Hidden {
            weight: start.matrix(31, WIDTH),
            bias: start.vector(31),
            activation: Activation::Tanh,
            n: 31,
        };
        let head = RampHead {
            weight: start.matrix(CLASSES, 31),
            bias: start.vector(CLASSES),
            classes: CLASSES,
            decision: Decision::Class,
        };
        let widths = [WIDTH, 3 * WIDTH, WIDTH, MIDDLE];
        let [x, qkv, mixed, middle] = widths.map(|width| start.aligned(width));
        let (hidden, head) = (Some(hidden), Some(head));
        let ramp = Ramp {
            exit: ExitId(0),
            x,
            tokens: RowTokens::Own,
            width: WIDTH,
            norm: None,
            pool: Pool::Mean,
            hidden,
            head,
        };
        let stage = start.device(suite);
        let takes_norms = stage.device.preferences().takes_norms;
        Self { stage, tables, norm, linears, ramp, x, qkv, mixed, middle, takes_norms }
    }

    /// Runs a pass and gives each slot's records and logits, as bits.
    fn run(&mut self, tokens: &[Token], lens: &[usize], thresholds: &[f32]) -> Vec<Vec<u32>> {
        let offsets = lens_to_offsets(lens);
        self.stage.begin_with(tokens, &offsets, Score::Confidence, thresholds, &[]);
        self.embed();
        let mut bits = vec![Vec::new(); lens.len()];
        for exit in [ExitId(0), ExitId(3)] {
            self.layer();
            self.stage.issue(Ramp { exit, ..self.ramp.clone() });
            self.stage.issue(Compact { x: self.x, tokens: RowTokens::Own, width: WIDTH });
            for record in self.stage.exits() {
                let ExitRecord { slot, label, score, flags, .. } = record;
                let logits = self.stage.device.logits(exit, RowSlot(slot));
                let bits = &mut bits[slot as usize];
                bits.extend([label, score.to_bits(), flags]);
                bits.extend(logits.iter().map(|logit| logit.to_bits()));
            }
        }
        bits
    }

    fn embed(&mut self) {
        let ([word, position, kind], [scale, shift]) = (self.tables, self.norm);
        let (kind, out) = (Some(kind), self.x);
        let norm = Some(NormWeights { scale, shift, eps: EPS });
        self.stage.issue(Embed { word, position, kind, norm, out, width: WIDTH });
    }

    fn layer(&mut self) {
        let Self { x, qkv, mixed, middle, .. } = *self;
        let [scale, shift] = self.norm;
        self.linear(0, x, qkv, Activation::None, None);
        let (heads, head_dim) = (HEADS, WIDTH / HEADS);
        self.stage.issue(Attention { qkv, out: mixed, heads, head_dim });
        self.linear(1, mixed, x, Activation::None, Some(x));
        if !self.takes_norms {
            self.stage.issue(Norm { x, scale, shift, eps: EPS, out: x, width: WIDTH });
        }
        self.linear(2, x, middle, Activation::GeluErf, None);
        self.linear(3, middle, x, Activation::None, Some(x));
    }

    /// What the products around the norm take over. Scale and shift are not in the weight: any
    /// numbers will do.
    fn norms(&self, index: usize) -> LinearNorms {
        let [scale, shift] = self.norm;
        let standard = Standardised { moments: MOMENTS, eps: EPS };
        let none = LinearNorms::default();
        match index {
            1 if self.takes_norms => LinearNorms { out: Some(MOMENTS), ..none },
            2 if self.takes_norms => LinearNorms { x: Some(standard), ..none },
            3 if self.takes_norms => {
                LinearNorms { residual: Some(Normalised { standard, scale, shift }), ..none }
            }
            _ => none,
        }
    }

    fn linear(
        &mut self,
        index: usize,
        x: Span,
        out: Span,
        activation: Activation,
        residual: Option<Span>,
    ) {
        let (weight, bias) = self.linears[index];
        let n = self.stage.weight(bias).len();
        let k = self.stage.weight(weight).len() / n;
        let (plain, norms) = (product(x, [weight, bias], out, [k, n]), self.norms(index));
        self.stage.issue(Linear { activation, residual, norms, ..plain });
    }
}

/// The bits of everything that several passes of a small model say: equal for equal arithmetic.
pub fn transcript(suite: &Suite) -> Vec<u32> {
    let lens = [31, 1, 64, 17, 2, 2, 9, 33, 40];
    let mut model = Model::new(suite, &lens);
    let tokens = tokens(&mut fastrand::Rng::with_seed(3), &lens);
    let mut bits = Vec::new();
    for threshold in [2.0, 0.5, 0.0] {
        bits.extend(model.run(&tokens, &lens, &[threshold, 2.0, 2.0, 0.0]).concat());
    }
    bits
}

/// A row says the same to the bit alone, in company, and in another place.
pub fn independent(suite: &Suite) {
    let lens = [31, 1, 64, 17, 2, 2, 9, 33, 40];
    let tokens = tokens(&mut fastrand::Rng::with_seed(4), &lens);
    let offsets = lens_to_offsets(&lens);
    let row = |slot: usize| &tokens[offsets[slot] as usize..offsets[slot + 1] as usize];
    let thresholds = [0.5, 2.0, 2.0, 0.0];
    let mut model = Model::new(suite, &lens);
    let together = model.run(&tokens, &lens, &thresholds);
    for slot in 0..lens.len() {
        let alone = model.run(row(slot), &lens[slot..=slot], &thresholds);
        assert_eq!(alone[0], together[slot], "row {slot} alone");
    }
    let reversed: Vec<Token> = (0..lens.len()).rev().flat_map(row).copied().collect();
    let lens: Vec<usize> = lens.into_iter().rev().collect();
    let mut backwards = model.run(&reversed, &lens, &thresholds);
    backwards.reverse();
    assert_eq!(backwards, together, "rows in another order");
}

/// No rows, no tokens: nobody runs, and ops are refused.
pub fn empty(suite: &Suite) {
    let mut model = Model::new(suite, &[4]);
    let nothing: [u32; 0] = [];
    let pass = offramp_kernels::Admission {
        input: offramp_kernels::RowInput::Text { tokens: &[], offsets: &nothing },
        stays: &[],
        windows: &[],
        score: Score::Confidence,
        thresholds: &[0.0; 4],
    };
    model.stage.device.begin(&pass).expect("offsets may be empty where no row is");
    let compact = Compact { x: model.x, tokens: RowTokens::Own, width: WIDTH };
    for op in [Op::Ramp(model.ramp.clone()), Op::Compact(compact)] {
        let refused = model.stage.device.issue(&op, LiveBound::default());
        assert!(matches!(refused, Err(Error::Mismatch { .. })), "{refused:?}");
    }
    model.stage.device.finish().expect("nothing to wait for");
    assert!(model.stage.exits().is_empty());
}

/// A pass leaves nothing to the next: neither answers nor records nor logits.
pub fn forgets(suite: &Suite) {
    let lens = [7, 3];
    let mut model = Model::new(suite, &lens);
    let tokens = tokens(&mut fastrand::Rng::with_seed(5), &lens);
    let first = model.run(&tokens, &lens, &[0.0; 4]);
    model.embed_and_exit(&tokens, &lens);
    assert_eq!(model.run(&tokens, &lens, &[0.0; 4]), first);
    let offsets = lens_to_offsets(&lens);
    model.stage.begin_with(&tokens, &offsets, Score::Confidence, &[2.0; 4], &[]);
    assert!(model.stage.device.logits(ExitId(0), RowSlot(0)).is_empty());
    assert!(model.stage.device.logits(ExitId(9), RowSlot(0)).is_empty());
    assert!(model.stage.device.logits(ExitId(0), RowSlot(99)).is_empty());
}

impl Model {
    /// A pass that is broken off with records nobody fetched.
    fn embed_and_exit(&mut self, tokens: &[Token], lens: &[usize]) {
        let offsets = lens_to_offsets(lens);
        self.stage.begin_with(tokens, &offsets, Score::Margin, &[0.0; 4], &[]);
        self.embed();
        let ramp = self.ramp.clone();
        self.stage.issue(ramp);
    }
}
