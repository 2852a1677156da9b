//! A device with spans, weights and a pass of its own, for one test.

use fastrand::Rng;
use offramp_kernels::{
    Admission, ArenaLayout, Device, ExitRecord, ExitWindow, LiveBound, Op, RowInput, Score, Span,
    Token, WeightData, WeightForm, WeightId,
};

use super::Suite;

/// Tokens that spans have room for beyond the live ones.
const SPARE: usize = 3;
/// Elements between two spans.
const GAP: usize = 24;
/// What memory holds that no op may touch.
const UNTOUCHED: f32 = -7.25;

/// What a test declares before its device starts.
pub struct Start {
    /// Random numbers of this test.
    pub random: Rng,
    /// The layout so far.
    pub layout: ArenaLayout,
    lens: Vec<usize>,
    values: Vec<Vec<f32>>,
}

impl Start {
    /// Rows of the given lengths; 4 exits with up to 40 logits and 800 features.
    pub fn new(lens: &[usize]) -> Self {
        let tokens = lens.iter().sum::<usize>();
        let layout = ArenaLayout {
            rows_max: lens.len() + 1,
            tokens_max: tokens + SPARE,
            row_tokens_max: lens.iter().copied().max().unwrap_or(1),
            activations: GAP,
            exits: 4,
            logits_max: 40,
            features_max: 800,
            ..ArenaLayout::default()
        };
        let random = Rng::with_seed(tokens as u64 * 31 + lens.len() as u64);
        Self { random, layout, lens: lens.to_vec(), values: Vec::new() }
    }

    /// Tokens of all rows.
    pub fn tokens(&self) -> usize {
        self.lens.iter().sum()
    }

    /// A matrix of activations.
    pub fn span(&mut self, width: usize) -> Span {
        let span = Span { at: self.layout.activations, len: self.layout.tokens_max * width };
        self.layout.activations = span.end() + GAP;
        span
    }

    /// The same on a boundary of 64 elements, as plans have them.
    pub fn aligned(&mut self, width: usize) -> Span {
        self.layout.activations = self.layout.activations.next_multiple_of(64);
        self.span(width)
    }

    /// A weight with the given values.
    pub fn weight(&mut self, form: WeightForm, values: Vec<f32>) -> WeightId {
        assert_eq!(form.len(), values.len());
        self.layout.weights.push(form);
        self.values.push(values);
        WeightId(self.layout.weights.len() - 1)
    }

    /// A random matrix, scaled by a power of two so that products stay near 1.
    pub fn matrix(&mut self, n: usize, k: usize) -> WeightId {
        let scale = (k as f32).sqrt().log2().round().exp2().recip();
        let values = uneven(&mut self.random, n * k).into_iter().map(|v| v * scale).collect();
        self.weight(WeightForm::Matrix { n, k }, values)
    }

    /// A random vector.
    pub fn vector(&mut self, len: usize) -> WeightId {
        let values = uneven(&mut self.random, len);
        self.weight(WeightForm::Vector { len }, values)
    }

    /// A random table.
    pub fn table(&mut self, rows: usize, width: usize) -> WeightId {
        let values = uneven(&mut self.random, rows * width);
        self.weight(WeightForm::Table { rows, width }, values)
    }

    /// Reserves, loads, and marks all memory.
    pub fn device(self, suite: &Suite) -> Stage {
        let mut device = suite.device();
        device.reserve(&self.layout).unwrap_or_else(|error| panic!("reserve: {error}"));
        for (i, values) in self.values.iter().enumerate() {
            device
                .load(WeightId(i), 0, WeightData::F32(values))
                .unwrap_or_else(|error| panic!("load: {error}"));
        }
        let all = Span { at: 0, len: self.layout.activations };
        let marks = vec![UNTOUCHED; all.len];
        device.write(all, &marks).unwrap_or_else(|error| panic!("write: {error}"));
        Stage {
            device,
            random: self.random,
            layout: self.layout,
            lens: self.lens,
            values: self.values,
        }
    }

    /// [`Self::device`], then a pass that scores by confidence and never exits.
    pub fn begin(self, suite: &Suite) -> Stage {
        let mut stage = self.device(suite);
        stage.begin(Score::Confidence, &[2.0; 4], &[]);
        stage
    }
}

/// A device in the middle of a test.
pub struct Stage {
    /// The device under test.
    pub device: Box<dyn Device>,
    /// Random numbers of this test.
    pub random: Rng,
    layout: ArenaLayout,
    lens: Vec<usize>,
    values: Vec<Vec<f32>>,
}

impl Stage {
    /// Starts a pass over the rows; `stays` lists slots.
    pub fn begin(&mut self, score: Score, thresholds: &[f32], stays: &[usize]) {
        let offsets = lens_to_offsets(&self.lens);
        let tokens = tokens(&mut self.random, &self.lens);
        self.begin_with(&tokens, &offsets, score, thresholds, stays);
    }

    /// Starts a pass over the rows, each within its window; all stay.
    pub fn begin_within(&mut self, score: Score, thresholds: &[f32], windows: &[ExitWindow]) {
        let tokens = &tokens(&mut self.random, &self.lens);
        let offsets = &lens_to_offsets(&self.lens);
        let stays = &vec![true; self.lens.len()];
        let pass = Admission {
            input: RowInput::Text { tokens, offsets },
            stays,
            windows,
            score,
            thresholds,
        };
        self.device.begin(&pass).unwrap_or_else(|error| panic!("begin: {error}"));
    }

    /// Starts a pass over so many rows of any kind; all stay and none exits.
    ///
    /// # Errors
    /// The device refuses them.
    pub fn begin_rows(&mut self, input: RowInput<'_>, rows: usize) -> offramp_kernels::Result<()> {
        let (stays, thresholds) = (&vec![true; rows], &[2.0; 4]);
        let score = Score::Confidence;
        self.device.begin(&Admission { input, stays, windows: &[], score, thresholds })
    }

    /// Starts a pass over the given tokens.
    pub fn begin_with(
        &mut self,
        tokens: &[Token],
        offsets: &[u32],
        score: Score,
        thresholds: &[f32],
        stays: &[usize],
    ) {
        let rows = offsets.len() - 1;
        let stays: Vec<bool> = (0..rows).map(|slot| stays.contains(&slot)).collect();
        let pass = Admission {
            input: RowInput::Text { tokens, offsets },
            stays: &stays,
            windows: &[],
            score,
            thresholds,
        };
        self.device.begin(&pass).unwrap_or_else(|error| panic!("begin: {error}"));
    }

    /// Live tokens when the pass began.
    pub fn tokens(&self) -> usize {
        self.lens.iter().sum()
    }

    /// Lengths of the rows when the pass began.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// What a weight holds.
    pub fn weight(&self, id: WeightId) -> &[f32] {
        &self.values[id.0]
    }

    /// Fills the live tokens of a span with random numbers and gives them out.
    pub fn fill(&mut self, span: Span, width: usize) -> Vec<f32> {
        let len = self.tokens() * width;
        let values = uneven(&mut self.random, len);
        self.write(span, &values);
        values
    }

    /// Writes the head of a span.
    pub fn write(&mut self, span: Span, values: &[f32]) {
        self.device.write(span, values).unwrap_or_else(|error| panic!("write: {error}"));
    }

    /// Makes the live tokens of a span NaN: what an op leaves out shows.
    pub fn poison(&mut self, span: Span, width: usize) {
        self.write(span, &vec![f32::NAN; self.tokens() * width]);
    }

    /// Issues an op.
    pub fn issue(&mut self, op: impl Into<Op>) {
        let op = op.into();
        let bound = LiveBound { rows: self.lens.len(), tokens: self.tokens() };
        self.device.issue(&op, bound).unwrap_or_else(|error| panic!("{op}: {error}"));
    }

    /// The head of a span.
    pub fn read(&mut self, span: Span, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        self.device.read(span, &mut values).unwrap_or_else(|error| panic!("read: {error}"));
        values
    }

    /// The live tokens of a span, after checking that everything behind them is untouched.
    pub fn output(&mut self, span: Span, width: usize) -> Vec<f32> {
        let len = self.tokens() * width;
        self.check_untouched(span, len);
        self.read(span, len)
    }

    /// Panics where elements of a span from `len` on, or those around it, were written.
    pub fn check_untouched(&mut self, span: Span, len: usize) {
        let behind = Span { at: span.at + len, len: span.len - len + GAP };
        let before = Span { at: span.at - GAP, len: GAP };
        for guard in [behind, before] {
            let found = self.read(guard, guard.len);
            assert!(found.iter().all(|&v| v == UNTOUCHED), "memory beyond the live tokens changed");
        }
    }

    /// The records since the last call, all of them.
    pub fn exits(&mut self) -> Vec<ExitRecord> {
        let mut records = Vec::new();
        self.device.finish().unwrap_or_else(|error| panic!("finish: {error}"));
        self.device.exits(&mut records).unwrap_or_else(|error| panic!("exits: {error}"));
        records
    }

    /// What was reserved.
    pub fn layout(&self) -> &ArenaLayout {
        &self.layout
    }
}

/// Rising offsets of rows of the given lengths.
pub fn lens_to_offsets(lens: &[usize]) -> Vec<u32> {
    let mut end = 0;
    let ends = lens.iter().map(|&len| {
        end += len as u32;
        end
    });
    std::iter::once(0).chain(ends).collect()
}

/// Tokens with ids below 50, positions as they come, kinds 0 and 1.
pub fn tokens(random: &mut Rng, lens: &[usize]) -> Vec<Token> {
    let row = |len: usize| 0..len as u16;
    let positions: Vec<u16> = lens.iter().flat_map(|&len| row(len)).collect();
    positions
        .into_iter()
        .map(|position| Token { id: random.u32(0..50), position, kind: random.u16(0..2) })
        .collect()
}

/// Random numbers in (-2, 2) with a mean that drifts, so that a swapped index shows. Whole 64ths:
/// every storage format holds them exactly.
pub(super) fn uneven(random: &mut Rng, len: usize) -> Vec<f32> {
    let drift = |i: usize| 0.3 * (i as f32 * 0.37).sin();
    let mut next = |i| (random.f32() * 2.0 - 1.0) * (0.5 + random.f32()) + drift(i);
    (0..len).map(|i| (next(i) * 64.0).round() / 64.0).collect()
}
