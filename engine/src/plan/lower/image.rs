//! An image spec to a plan: ResNet, VGG, and whatever else is a list of steps.
//!
//! A residual is summed in place: over the shortcut's map, or over the input where there is none.
//! So the blocks of a stage share one value, and it crosses the sites between them.
//!
//! Where a device reads channels in chunks, the first convolution reads blocks of pixels.

use offramp_kernels::{
    Activation, ArenaLayout, Compact, Conv2d, Decision, ExitId, Fold, Grid, Op, Pixels, Pool,
    Pool2d, Preferences, Ramp, RampHead, RowTokens, Span, WeightForm, Window,
};
use offramp_weights::image::{Conv, ImageSpec, NetSegment, Step};

use super::{RampShape, decision, layout, ramp_layers};
use crate::plan::arena::{Places, Values, place};
use crate::plan::weights::{WeightSource, WeightTable};
use crate::plan::{Plan, Segment, Site};
use crate::rules::Limits;

/// Compiles `spec` with `ramps` for batches of up to `limits.rows_max` images.
pub(super) fn lower(
    spec: &ImageSpec,
    ramps: &[RampShape],
    limits: Limits,
    prefers: Preferences,
) -> Plan {
    let fold = stem_fold(spec, prefers.channel_step);
    Lowering::new(spec, limits, fold).run(ramps)
}

/// The blocks that the first convolution reads in place of pixels, where channels do not come in
/// steps of `step`.
fn stem_fold(spec: &ImageSpec, step: usize) -> Option<Fold> {
    let input = &spec.preprocessing;
    let steps = spec.segments.iter().flat_map(|segment| &segment.steps);
    let Some(Step::Conv(conv)) = steps.chain(&spec.tail).next() else { return None };
    if input.channels.is_multiple_of(step) {
        return None;
    }
    let grid = Grid { height: input.height, width: input.width };
    Fold::of(grid, input.channels, [conv.kernel, conv.stride, conv.padding], step)
}

/// A map of features, `[rows, grid, width]`.
#[derive(Clone, Copy)]
struct Map {
    span: Span,
    grid: Grid,
    width: usize,
}

impl Map {
    fn tokens(&self) -> RowTokens {
        RowTokens::Each(self.grid.pixels())
    }
}

struct Lowering<'a> {
    spec: &'a ImageSpec,
    rows_max: usize,
    /// How the first convolution reads pixels, until it is lowered.
    fold: Option<Fold>,
    values: Values,
    weights: WeightTable,
    ops: Vec<Op>,
}

impl<'a> Lowering<'a> {
    fn new(spec: &'a ImageSpec, limits: Limits, fold: Option<Fold>) -> Self {
        Self {
            spec,
            rows_max: limits.rows_max,
            fold,
            values: Values::default(),
            weights: WeightTable::default(),
            ops: Vec::new(),
        }
    }

    fn run(mut self, ramps: &[RampShape]) -> Plan {
        let mut x = self.pixels();
        let mut segments = Vec::new();
        let (last, others) =
            self.spec.segments.split_last().map_or((None, &[][..]), |(l, o)| (Some(l), o));
        for (site, segment) in others.iter().enumerate() {
            x = self.steps(&segment.steps, x);
            let exit = ramps.iter().position(|ramp| ramp.site == site);
            let ramp = exit.map(|exit| self.ramp(exit, &ramps[exit], x));
            let site = Some(Site { ramp, compact: self.compact(x) });
            segments.push(Segment { ops: std::mem::take(&mut self.ops), site });
        }
        x = self.steps(last.map_or(&[], |last: &NetSegment| &last.steps), x);
        x = self.steps(&self.spec.tail, x);
        segments.push(Segment { ops: std::mem::take(&mut self.ops), site: None });
        let mut last = self.last(ExitId(ramps.len() as u32), x);
        let Places { activations, resident } = place(&mut segments, &mut last);
        let input = &self.spec.preprocessing;
        let layout = ArenaLayout {
            rows_max: self.rows_max,
            tokens_max: self.rows_max,
            row_tokens_max: 1,
            row_pixels: input.height * input.width * input.channels,
            activations,
            resident,
            weights: self.weights.forms,
            ..layout(&segments, &last)
        };
        Plan { segments, last, layout, sources: self.weights.sources }
    }

    fn map(&mut self, grid: Grid, width: usize) -> Map {
        let span = self.values.add(self.rows_max * grid.pixels() * width);
        Map { span, grid, width }
    }

    fn pixels(&mut self) -> Map {
        let input = &self.spec.preprocessing;
        let grid = Grid { height: input.height, width: input.width };
        let channels = input.channels;
        let vector = WeightForm::Vector { len: channels };
        let scale = self.weights.add(vector, WeightSource::PixelScale);
        let shift = self.weights.add(vector, WeightSource::PixelShift);
        let fold = self.fold;
        let out = Span { at: 0, len: 0 };
        let mut op = Pixels { grid, channels, scale, shift, fold, out };
        let map = self.map(op.to(), op.width());
        op.out = map.span;
        self.ops.push(Op::Pixels(op));
        map
    }

    fn steps(&mut self, steps: &[Step], x: Map) -> Map {
        steps.iter().fold(x, |x, step| self.step(step, x))
    }

    fn step(&mut self, step: &Step, x: Map) -> Map {
        match *step {
            Step::Conv(ref conv) => match self.fold.take() {
                Some(fold) => self.stem(conv, fold, x),
                None => self.conv(conv, x, None),
            },
            Step::MaxPool { kernel, stride, padding } => {
                self.pool(x, Window::Max { kernel, stride, padding })
            }
            Step::MeanTo { side } => {
                self.pool(x, Window::MeanTo(Grid { height: side, width: side }))
            }
            Step::Residual { ref path, ref shortcut } => self.residual(path, shortcut.as_ref(), x),
        }
    }

    /// The first convolution, over blocks of pixels.
    fn stem(&mut self, conv: &Conv, fold: Fold, x: Map) -> Map {
        let kernel = fold.kernel(conv.kernel);
        let out = self.map(x.grid.windows(kernel, 1, 0), conv.outputs);
        let source = WeightSource::FoldedFilter(conv.clone(), fold);
        self.push_conv((x, out), conv, (source, [kernel, 1, 0]), None);
        out
    }

    /// `added`: the residual, which is written over unless it is `x`.
    fn conv(&mut self, conv: &Conv, x: Map, added: Option<Map>) -> Map {
        let grid = x.grid.windows(conv.kernel, conv.stride, conv.padding);
        let in_place = added.filter(|added| added.span != x.span);
        let out = in_place.unwrap_or_else(|| self.map(grid, conv.outputs));
        let window = [conv.kernel, conv.stride, conv.padding];
        let source = WeightSource::Filter(conv.clone());
        self.push_conv((x, out), conv, (source, window), added);
        out
    }

    /// Reads windows of `[kernel, stride, padding]` with the filter of `conv` as `source` has it.
    fn push_conv(
        &mut self,
        (x, out): (Map, Map),
        conv: &Conv,
        (source, window): (WeightSource, [usize; 3]),
        added: Option<Map>,
    ) {
        let [kernel, stride, padding] = window;
        let k = kernel * kernel * x.width;
        let matrix = WeightForm::Matrix { n: conv.outputs, k };
        let vector = WeightForm::Vector { len: conv.outputs };
        let relu = conv.relu || added.is_some();
        let op = Conv2d {
            x: x.span,
            from: x.grid,
            inputs: x.width,
            weight: self.weights.add(matrix, source),
            bias: self.weights.add(vector, WeightSource::FoldedBias),
            kernel,
            stride,
            padding,
            residual: added.map(|added| added.span),
            activation: if relu { Activation::Relu } else { Activation::None },
            out: out.span,
            outputs: conv.outputs,
        };
        self.ops.push(Op::Conv2d(op));
    }

    /// The sum goes over the shortcut's map, or over the input.
    fn residual(&mut self, path: &[Conv], shortcut: Option<&Conv>, x: Map) -> Map {
        let Some((last, inner)) = path.split_last() else { return x };
        let y = inner.iter().fold(x, |y, conv| self.conv(conv, y, None));
        let added = shortcut.map_or(x, |shortcut| self.conv(shortcut, x, None));
        self.conv(last, y, Some(added))
    }

    fn pool(&mut self, x: Map, window: Window) -> Map {
        let mut op = Pool2d { x: x.span, from: x.grid, width: x.width, window, out: x.span };
        let out = self.map(op.to(), x.width);
        op.out = out.span;
        self.ops.push(Op::Pool2d(op));
        out
    }

    fn compact(&mut self, x: Map) -> Compact {
        let scratch = self.map(x.grid, x.width).span;
        Compact { x: x.span, scratch, tokens: x.tokens(), width: x.width }
    }

    fn ramp(&mut self, exit: usize, shape: &RampShape, x: Map) -> Ramp {
        let of = (x.width, self.decision());
        let (hidden, head) = ramp_layers(&mut self.weights, exit, shape, of);
        let (exit, pool) = (ExitId(exit as u32), shape.pool);
        Ramp { exit, x: x.span, tokens: x.tokens(), width: x.width, norm: None, pool, hidden, head }
    }

    fn decision(&self) -> Decision {
        decision(self.spec.scores.task(self.spec.head.classes))
    }

    fn last(&mut self, exit: ExitId, x: Map) -> Ramp {
        let (classes, k) = (self.spec.head.classes, self.spec.head.features);
        let head = RampHead {
            weight: self.weights.add(WeightForm::Matrix { n: classes, k }, WeightSource::Head),
            bias: self.weights.add(WeightForm::Vector { len: classes }, WeightSource::HeadBias),
            classes,
            decision: self.decision(),
        };
        let (tokens, pool) = (x.tokens(), Pool::Mean);
        Ramp {
            exit,
            x: x.span,
            tokens,
            width: x.width,
            norm: None,
            pool,
            hidden: None,
            head: Some(head),
        }
    }
}
