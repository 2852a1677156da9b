//! A model compiled to a program: straight-line segments of ops, cut at every site.
//!
//! [`lower()`] turns a spec and the shapes of its ramps into a [`Plan`]; [`check()`] proves what
//! every plan must hold; `Display` prints it.

mod arena;
mod check;
mod dump;
mod lower;
mod operands;
mod weights;

use offramp_kernels::{ArenaLayout, Compact, Cost, Decision, LiveBound, Op, Ramp};

pub use check::check;
pub use lower::{RampShape, lower};
pub(crate) use lower::{activation, pool};
pub use weights::{NormSource, WeightSource};

/// The program of one model with one set of ramps.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// In order. The last one ends at the final exit.
    pub segments: Vec<Segment>,
    /// The exit after the last segment: a ramp everybody takes.
    pub last: Ramp,
    /// What a device must reserve.
    pub layout: ArenaLayout,
    /// Where each weight of the layout comes from, by [`offramp_kernels::WeightId`].
    pub sources: Vec<WeightSource>,
}

/// The ops between two neighbouring sites.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// What runs.
    pub ops: Vec<Op>,
    /// What may happen at the site behind it; none behind the last segment.
    pub site: Option<Site>,
}

/// A cut vertex of the model: one value crosses it.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// The ramp that stands here, where there is one.
    pub ramp: Option<Ramp>,
    /// The op that packs the rows which are still needed.
    pub compact: Compact,
}

impl Plan {
    /// Number of ramps.
    pub fn ramps(&self) -> usize {
        self.layout.exits - 1
    }

    /// What every exit decides.
    pub fn decision(&self) -> Decision {
        self.last.head.as_ref().map_or(Decision::Class, |head| head.decision)
    }

    /// From now on numbers are alike whose sigmoids are at most so far apart. Nothing changes where
    /// the model gives none.
    pub fn tolerate(&mut self, tolerance: f32) {
        let ramps = self.segments.iter_mut().filter_map(|segment| segment.site.as_mut());
        let ramps = ramps.filter_map(|site| site.ramp.as_mut()).chain([&mut self.last]);
        for head in ramps.filter_map(|ramp| ramp.head.as_mut()) {
            if let Decision::Value { tolerance: own } = &mut head.decision {
                *own = tolerance;
            }
        }
    }

    /// Sites that have a ramp, by exit.
    pub fn ramp_sites(&self) -> impl Iterator<Item = usize> + '_ {
        let has_ramp = |segment: &Segment| segment.site.as_ref().is_some_and(|s| s.ramp.is_some());
        self.segments.iter().enumerate().filter(move |(_, s)| has_ramp(s)).map(|(site, _)| site)
    }

    /// Share of the segments a row has run when it leaves at `site`.
    pub fn depth(&self, site: usize) -> f64 {
        (site + 1) as f64 / self.segments.len() as f64
    }

    /// By exit, the final one included: share of the segments run.
    pub fn depths(&self) -> Vec<f64> {
        self.ramp_sites().map(|site| self.depth(site)).chain([1.0]).collect()
    }

    /// The exit behind a segment, as ops: none, one ramp, or the final exit.
    pub(crate) fn exit_ops(&self, segment: usize) -> Vec<Op> {
        let is_last = segment + 1 == self.segments.len();
        let exit = if is_last { Some(&self.last) } else { self.segments[segment].ramp() };
        exit.cloned().map(Op::Ramp).into_iter().collect()
    }

    /// Everything up to the first ramp and with it.
    pub(crate) fn ops_until_first_ramp(&self) -> Vec<Op> {
        let first = self.ramp_sites().next().unwrap_or(self.segments.len() - 1);
        let ops = self.segments[..=first].iter().flat_map(|segment| segment.ops.clone());
        ops.chain(self.exit_ops(first)).collect()
    }

    /// Work of a forward without ramps at the given counts.
    pub fn cost(&self, live: LiveBound) -> Cost {
        let segments: Cost = self.segments.iter().map(|segment| segment.cost(live)).sum();
        segments + Op::Ramp(self.last.clone()).cost(live)
    }
}

impl Segment {
    /// Work at the given counts, ramp and compaction aside.
    pub fn cost(&self, live: LiveBound) -> Cost {
        let mut live = live;
        let cost = |op: &Op| {
            let cost = op.cost(live);
            live = op.leaves(live);
            cost
        };
        self.ops.iter().map(cost).sum()
    }

    /// The ramp behind it.
    pub fn ramp(&self) -> Option<&Ramp> {
        self.site.as_ref()?.ramp.as_ref()
    }
}
