//! Gives values their places in the arena, by their lifetimes.
//!
//! A plan is lowered with every value at a place of its own ([`Values`]). [`place()`] then finds in
//! the ops how long each value lives, and values that never live together share memory. Values
//! that cross sites are resident: they share with nobody.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use offramp_kernels::{Ramp, Span};

use super::Segment;
use super::operands::spans;

/// Spans begin at multiples of this many elements: one cache line, one 128-byte sector pair.
const ALIGN: usize = 32;

/// The values of a plan while it is lowered: none shares an element with another.
#[derive(Debug, Default)]
pub(super) struct Values {
    end: usize,
}

impl Values {
    /// A value of `len` elements.
    pub(super) fn add(&mut self, len: usize) -> Span {
        let span = Span { at: self.end, len };
        self.end += len.max(1).next_multiple_of(ALIGN);
        span
    }
}

/// What a plan's values take.
pub(super) struct Places {
    /// Elements of the arena.
    pub(super) activations: usize,
    /// Where the values lie that cross sites.
    pub(super) resident: Vec<Span>,
}

/// Moves every value to its place.
pub(super) fn place(segments: &mut [Segment], last: &mut Ramp) -> Places {
    let mut lives = lives(segments, last);
    for site in segments.iter().filter_map(|segment| segment.site.as_ref()) {
        lives.entry(site.compact.x.at).and_modify(|life| life.is_resident = true);
    }
    let places = pack(&lives);
    each_span(segments, last, |_, span| span.at = places[&span.at]);
    let ends = lives.iter().map(|(value, life)| places[value] + life.len);
    let resident = lives.iter().filter(|(_, life)| life.is_resident);
    Places {
        activations: ends.max().unwrap_or(0).next_multiple_of(ALIGN),
        resident: resident.map(|(value, life)| Span { at: places[value], len: life.len }).collect(),
    }
}

/// How long a value lives: from the first op with it to the last.
struct Life {
    len: usize,
    first: usize,
    last: usize,
    is_resident: bool,
}

impl Life {
    /// Whether the two may not share memory.
    fn meets(&self, other: &Self) -> bool {
        let together = self.first <= other.last && other.first <= self.last;
        together || self.is_resident || other.is_resident
    }
}

/// Every value's life, by where it lies before it is placed.
fn lives(segments: &mut [Segment], last: &mut Ramp) -> BTreeMap<usize, Life> {
    let mut lives = BTreeMap::new();
    each_span(segments, last, |op, span| {
        let born = Life { len: span.len, first: op, last: op, is_resident: false };
        lives.entry(span.at).or_insert(born).last = op;
    });
    lives
}

/// Where each value goes: residents side by side, then the largest first, each to the lowest gap
/// that is free as long as it lives.
fn pack(lives: &BTreeMap<usize, Life>) -> BTreeMap<usize, usize> {
    let mut order: Vec<(&usize, &Life)> = lives.iter().collect();
    order.sort_by_key(|(value, life)| (!life.is_resident, Reverse(life.len), **value));
    let mut placed: Vec<(Span, &Life)> = Vec::with_capacity(order.len());
    let mut places = BTreeMap::new();
    for (value, life) in order {
        let met = placed.iter().filter(|(_, other)| other.meets(life));
        let at = first_gap(met.map(|(span, _)| *span).collect(), life.len);
        placed.push((Span { at, len: life.len }, life));
        places.insert(*value, at);
    }
    places
}

/// The lowest place for `len` elements beside those `taken`.
fn first_gap(mut taken: Vec<Span>, len: usize) -> usize {
    taken.sort_unstable_by_key(|span| span.at);
    let mut at = 0;
    for span in taken {
        if at + len <= span.at {
            break;
        }
        at = at.max(span.end().next_multiple_of(ALIGN));
    }
    at
}

/// Visits every span of the plan in the order of its ops, with the number of its op.
fn each_span(segments: &mut [Segment], last: &mut Ramp, mut visit: impl FnMut(usize, &mut Span)) {
    let mut number = 0;
    let mut visit_op = |spans: Vec<&mut Span>| {
        spans.into_iter().for_each(|span| visit(number, span));
        number += 1;
    };
    for segment in segments {
        for op in &mut segment.ops {
            visit_op(spans(op));
        }
        let Some(site) = &mut segment.site else { continue };
        if let Some(ramp) = &mut site.ramp {
            visit_op(vec![&mut ramp.x]);
        }
        visit_op(vec![&mut site.compact.x]);
    }
    visit_op(vec![&mut last.x]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(len: usize, first: usize, last: usize) -> Life {
        Life { len, first, last, is_resident: false }
    }

    #[test]
    fn values_that_never_meet_share_memory() {
        let lives = [life(64, 0, 1), life(32, 1, 2), life(96, 2, 3)];
        let places = pack(&lives.into_iter().enumerate().collect());
        assert_eq!(places[&2], 0, "the largest first");
        assert_eq!(places[&0], 0, "dead before");
        assert_eq!(places[&1], 96, "beside both");
    }

    #[test]
    fn residents_share_with_nobody() {
        let resident = Life { is_resident: true, ..life(33, 0, 1) };
        let lives = [life(64, 2, 3), resident];
        let places = pack(&lives.into_iter().enumerate().collect());
        assert_eq!((places[&1], places[&0]), (0, 64));
    }

    #[test]
    fn empty_values_are_values_too() {
        let mut values = Values::default();
        assert_ne!(values.add(0).at, values.add(0).at);
    }
}
