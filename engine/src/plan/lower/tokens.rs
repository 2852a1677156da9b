//! Steps over rows of tokens: embeddings, products, norms, attention.

use offramp_kernels::{
    Activation, Attention, Embed, Linear, LinearNorms, MomentsId, Narrow, Norm, NormWeights,
    Normalised, Op, Patches, Standardised,
};
use offramp_weights::ModelSpec;
use offramp_weights::network::{self, Step};

use super::exits::activation;
use super::{Lowering, Pending, Place, Shape, Value};
use crate::plan::weights::NormSource;

/// Whether every norm is of a sum, and every width comes in steps of `step`: then products can
/// take the norms over.
pub(super) fn can_take_norms(spec: &ModelSpec, step: usize) -> bool {
    let is_norm = |step: &&Step| matches!(step, Step::Norm(_));
    let all = spec.network.leaves().filter(is_norm).count();
    let pairs = spec.network.segments.iter().flat_map(|segment| segment.steps.windows(2));
    let of_sums = pairs.filter(|pair| matches!(pair, [Step::Residual(_), Step::Norm(_)]));
    let fits = |leaf: &Step| match leaf {
        Step::Linear(linear) => {
            linear.inputs.is_multiple_of(step) && linear.outputs.is_multiple_of(step)
        }
        _ => true,
    };
    all > 0 && of_sums.count() == all && spec.network.leaves().all(fits)
}

impl Lowering<'_> {
    pub(super) fn embed(&mut self, embed: &network::Embed) -> Value {
        let width = embed.width;
        let [words, positions, kinds] = embed.rows;
        let mut table = |rows, name: &String| self.weights.table(rows, width, name);
        let word = table(words, &embed.word);
        let position = table(positions, &embed.position);
        let kind = embed.kind.as_ref().map(|name| table(kinds, name));
        let norm = embed.norm.as_ref().map(|norm| {
            let (scale, shift) = self.weights.norm(norm);
            NormWeights { scale, shift, eps: norm.eps }
        });
        let out = self.value(Shape::Tokens, width);
        self.ops.push(Op::Embed(Embed { word, position, kind, norm, out: out.span, width }));
        out
    }

    pub(super) fn patches(&mut self, patches: &network::Patches, x: &Value) -> Value {
        let network::Patches { first, position, tokens, width } = patches;
        let firsts = first.len();
        let out = self.value(Shape::Tokens, *width);
        let op = Patches {
            x: x.span,
            patches: tokens - firsts,
            first: self.weights.tables(firsts, *width, first),
            firsts,
            position: self.weights.table(*tokens, *width, position),
            out: out.span,
            width: *width,
        };
        self.ops.push(Op::Patches(op));
        out
    }

    /// `act(x · W + b)`, or with what is added, written over that.
    pub(super) fn linear(
        &mut self,
        linear: &network::Linear,
        x: &Value,
        place: Place<'_>,
    ) -> Value {
        let added = place.added();
        let out = match added.filter(|added| added.span != x.span) {
            Some(added) => Value { norm: None, ..added.clone() },
            None => self.value(Shape::Tokens, linear.outputs),
        };
        let moments = (self.takes_norms && place.before_norm).then(|| next_moments(added));
        let (weight, bias) = self.weights.linear(linear, x.norm.as_ref().map(|norm| &norm.source));
        let norms = LinearNorms {
            x: x.normalised().map(|norm| norm.standard),
            residual: added.and_then(Value::normalised),
            out: moments,
        };
        self.ops.push(Op::Linear(Linear {
            x: x.span,
            weight,
            bias,
            activation: linear.activation.map_or(Activation::None, activation),
            residual: added.map(|added| added.span),
            out: out.span,
            norms,
            k: linear.inputs,
            n: linear.outputs,
        }));
        Value { moments, ..out }
    }

    /// Left to whoever reads the value, where that has moments. Otherwise in place, unless a
    /// residual still adds what is read.
    pub(super) fn norm(&mut self, norm: &network::Norm, x: &Value, place: Place<'_>) -> Value {
        let (scale, shift) = self.weights.norm(norm);
        if let Some(moments) = x.moments {
            let standard = Standardised { moments, eps: norm.eps };
            let source = NormSource { scale: norm.scale.clone(), shift: norm.shift.clone() };
            let norm = Normalised { standard, scale, shift };
            return Value { norm: Some(Pending { norm, source }), ..x.clone() };
        }
        let is_kept = place.around.is_some_and(|around| around.span == x.span);
        let out = if is_kept { self.value(x.shape, x.width) } else { x.clone() };
        let (eps, width) = (norm.eps, norm.width);
        self.ops.push(Op::Norm(Norm { x: x.span, scale, shift, eps, out: out.span, width }));
        out
    }

    pub(super) fn attention(
        &mut self,
        attention: network::Attention,
        qkv: &Value,
        place: Place<'_>,
    ) -> Value {
        let network::Attention { heads, width } = attention;
        let out = self.value(Shape::Tokens, width);
        let (qkv, head_dim) = (qkv.span, width / heads);
        self.ops.push(Op::Attention(Attention { qkv, out: out.span, heads, head_dim }));
        self.attentions_left = self.attentions_left.map(|left| left - 1);
        if self.attentions_left == Some(0) {
            self.narrow(&out, place);
        }
        out
    }

    /// Behind the last attention only the token that the head pools is still needed.
    fn narrow(&mut self, out: &Value, place: Place<'_>) {
        let kept = place.around.unwrap_or(out);
        let values = [kept.span, out.span];
        self.ops.push(Op::Narrow(Narrow { values, width: out.width }));
    }
}

/// Where the moments of a sum go: not where those of what is added lie, which are still read.
fn next_moments(added: Option<&Value>) -> MomentsId {
    let taken = added.and_then(|added| added.moments);
    MomentsId(taken.map_or(0, |MomentsId(taken)| 1 - taken))
}
