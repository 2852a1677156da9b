//! Looks for a way round.

use std::collections::{BTreeMap, BTreeSet};

/// By module: those it uses.
pub(super) type Arrows = BTreeMap<String, BTreeSet<String>>;

/// The shortest cycle, from its first module by name back to that.
pub(super) fn cycle(arrows: &Arrows) -> Option<Vec<String>> {
    let round = |start: &String| way_back(arrows, start);
    arrows.keys().filter_map(round).min_by_key(Vec::len)
}

/// The shortest way from a module to itself, breadth first.
fn way_back(arrows: &Arrows, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in &ways {
            for next in way.last().and_then(|last| arrows.get(last)).into_iter().flatten() {
                let way = [&way[..], std::slice::from_ref(next)].concat();
                if next == start {
                    return Some(way);
                }
                if seen.insert(next) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}
