//! Spec to plan: walks the steps of a network, whatever it reads.
//!
//! `maps` lowers the steps over images, `tokens` those over rows of tokens. Sums are written over
//! what is added: the shortcut's value, or the input where there is none. So layers of one width,
//! and the blocks of a stage, share one value, and it crosses the sites between them.
//!
//! A device may take norms over ([`Preferences::takes_norms`]): then a sum lies before its norm,
//! and products and ramps that read it normalise it.

mod exits;
mod maps;
mod tokens;

use offramp_kernels::{
    ExitId, Fold, Grid, MomentsId, Normalised, Op, Preferences, RowTokens, Span, Window,
};
use offramp_weights::network::{Network, Residual, Step};
use offramp_weights::{Input, ModelSpec, Pool};

pub use exits::RampShape;
pub(crate) use exits::{activation, pool};

use super::arena::Values;
use super::weights::{NormSource, WeightTable};
use super::{Plan, Segment};
use crate::rules::{Limits, RowRules};

/// Compiles `spec` with `ramps` (by rising site, none at the last) for batches within `limits` on
/// a device that prefers what `prefers` says.
/// Numbers are the same answer within [`offramp_kernels::Decision::TOLERANCE`];
/// [`Plan::tolerate`] changes that.
///
/// # Errors
/// A sentence about a network that no plan can be made of.
pub fn lower(
    spec: &ModelSpec,
    ramps: &[RampShape],
    limits: Limits,
    prefers: Preferences,
) -> Result<Plan, String> {
    check_sums(&spec.network)?;
    Ok(Lowering::new(spec, limits, prefers).run(ramps))
}

/// Fails for a sum within another one: it would be written over what the outer one adds.
fn check_sums(network: &Network) -> Result<(), String> {
    let is_sum = |step: &Step| matches!(step, Step::Residual(_));
    let has_inner = |step: &Step| match step {
        Step::Residual(Residual { body, shortcut, .. }) => {
            body.iter().chain(shortcut.as_deref()).any(is_sum)
        }
        _ => false,
    };
    let segments = network.segments.iter().map(|segment| &segment.steps).chain([&network.tail]);
    for (index, steps) in segments.enumerate() {
        if steps.iter().any(has_inner) {
            return Err(format!("segment {index} has a residual within a residual"));
        }
    }
    Ok(())
}

/// A value that the next step reads.
#[derive(Clone, Debug)]
struct Value {
    span: Span,
    shape: Shape,
    /// Elements of a token, channels of a pixel.
    width: usize,
    /// Its moments, where it lies before a norm that its readers take over.
    moments: Option<MomentsId>,
    /// That norm.
    norm: Option<Pending>,
}

/// What a value has of each row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    /// A vector for each of its tokens.
    Tokens,
    /// A map of pixels.
    Map(Grid),
}

/// The layer norm that a value lies before.
#[derive(Clone, Debug)]
struct Pending {
    norm: Normalised,
    source: NormSource,
}

impl Value {
    fn tokens(&self) -> RowTokens {
        match self.shape {
            Shape::Tokens => RowTokens::Own,
            Shape::Map(grid) => RowTokens::Each(grid.pixels()),
        }
    }

    fn normalised(&self) -> Option<Normalised> {
        self.norm.as_ref().map(|pending| pending.norm)
    }
}

/// Where a step stands.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    /// What the residual around it adds: nobody else writes over it.
    around: Option<&'a Value>,
    /// Whether it is the step that adds it, and writes over it.
    adds: bool,
    /// Whether a ReLU follows the sum.
    relu: bool,
    /// Whether a norm follows.
    before_norm: bool,
}

impl<'a> Place<'a> {
    fn added(&self) -> Option<&'a Value> {
        self.around.filter(|_| self.adds)
    }
}

struct Lowering<'a> {
    spec: &'a ModelSpec,
    limits: Limits,
    /// How the first convolution reads pixels, until it is lowered.
    fold: Option<Fold>,
    takes_norms: bool,
    /// Attentions to come before rows are narrowed to the token that the head pools.
    attentions_left: Option<usize>,
    values: Values,
    weights: WeightTable,
    ops: Vec<Op>,
}

impl<'a> Lowering<'a> {
    fn new(spec: &'a ModelSpec, limits: Limits, prefers: Preferences) -> Self {
        let is_attention = |step: &&Step| matches!(step, Step::Attention(_));
        let attentions = spec.network.leaves().filter(is_attention).count();
        let narrows = spec.network.head.pool == Pool::First && attentions > 0;
        Self {
            spec,
            limits: RowRules::of(spec).limits(limits),
            fold: maps::stem_fold(spec, prefers.channel_step),
            takes_norms: prefers.takes_norms && tokens::can_take_norms(spec, prefers.channel_step),
            attentions_left: narrows.then_some(attentions),
            values: Values::default(),
            weights: WeightTable::default(),
            ops: Vec::new(),
        }
    }

    fn run(mut self, ramps: &[RampShape]) -> Plan {
        let network = &self.spec.network;
        let mut x = self.input();
        let mut segments = Vec::with_capacity(network.segments.len());
        for (index, segment) in network.segments.iter().enumerate() {
            x = self.steps(&segment.steps, &x, None);
            if index + 1 < network.segments.len() {
                let site = Some(self.site(index, ramps, &x));
                segments.push(Segment { ops: std::mem::take(&mut self.ops), site });
            }
        }
        x = self.steps(&network.tail, &x, None);
        segments.push(Segment { ops: std::mem::take(&mut self.ops), site: None });
        let last = self.last(ExitId(ramps.len() as u32), &x);
        self.finish(segments, last)
    }

    /// What the first step reads; tokens are read from the rows themselves.
    fn input(&mut self) -> Value {
        match &self.spec.input {
            Input::Tokens(_) => {
                let span = Span { at: 0, len: 0 };
                Value { span, shape: Shape::Tokens, width: 0, moments: None, norm: None }
            }
            Input::Pixels(input) => self.pixels(input),
        }
    }

    fn value(&mut self, shape: Shape, width: usize) -> Value {
        let tokens = match shape {
            Shape::Tokens => self.limits.tokens_max,
            Shape::Map(grid) => self.limits.rows_max * grid.pixels(),
        };
        let span = self.values.add(tokens * width);
        Value { span, shape, width, moments: None, norm: None }
    }

    /// Lowers steps in turn, inside a residual or not.
    fn steps(&mut self, steps: &[Step], x: &Value, around: Option<&Value>) -> Value {
        let mut x = x.clone();
        for (index, step) in steps.iter().enumerate() {
            let before_norm = matches!(steps.get(index + 1), Some(Step::Norm(_)));
            x = self.step(step, &x, Place { around, before_norm, ..Place::default() });
        }
        x
    }

    fn step(&mut self, step: &Step, x: &Value, place: Place<'_>) -> Value {
        match *step {
            Step::Embed(ref embed) => self.embed(embed),
            Step::Conv(ref conv) => self.conv(conv, x, place),
            Step::MaxPool { kernel, stride, padding } => {
                self.pool(x, Window::Max { kernel, stride, padding })
            }
            Step::MeanTo { side } => {
                self.pool(x, Window::MeanTo(Grid { height: side, width: side }))
            }
            Step::Patches(ref patches) => self.patches(patches, x),
            Step::Linear(ref linear) => self.linear(linear, x, place),
            Step::Norm(ref norm) => self.norm(norm, x, place),
            Step::Attention(attention) => self.attention(attention, x, place),
            Step::Residual(ref residual) => self.residual(residual, x, place),
        }
    }

    /// The sum goes over the shortcut's value, or over the input.
    fn residual(&mut self, residual: &Residual, x: &Value, place: Place<'_>) -> Value {
        let Some((last, inner)) = residual.body.split_last() else { return x.clone() };
        let y = self.steps(inner, x, Some(x));
        let added = match &residual.shortcut {
            Some(shortcut) => self.step(shortcut, x, Place::default()),
            None => x.clone(),
        };
        let adds = Place { around: Some(&added), adds: true, relu: residual.relu, ..place };
        self.step(last, &y, adds)
    }
}
