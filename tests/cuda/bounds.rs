//! What holds a kernel on an H100, by its counts: how many cycles of a multiprocessor each of its
//! parts needs at least. The tightest bound says what a change must lower to be of use.

use std::fmt::Write as _;

use offramp_tests::root;

use crate::budgets::{Case, Counts, linear};
use crate::{alone, machine};

/// Cycles of `mma.sync` on its own, m16n8k16: it reaches 62 % of what the tensor cores could do.
const MMA_CYCLES: f64 = 1.61;
/// Instructions that the four schedulers issue in a cycle.
const ISSUED: f64 = 4.0;
/// Bytes from the second cache to one multiprocessor in a cycle.
const CACHE_BYTES: f64 = 46.0;
const SECTOR_BYTES: f64 = 32.0;

/// Cycles of one multiprocessor, had it all of a launch to do.
pub(crate) struct Bounds {
    tensor: f64,
    /// A wavefront a cycle.
    shared: f64,
    issue: f64,
    cache: f64,
}

impl Bounds {
    pub(crate) fn of(counts: &Counts) -> Self {
        let sectors = counts.global_load_sectors + counts.global_store_sectors;
        Self {
            tensor: counts.tensor_ops as f64 * MMA_CYCLES,
            shared: counts.shared_accesses as f64,
            issue: counts.instructions as f64 / ISSUED,
            cache: sectors as f64 * SECTOR_BYTES / CACHE_BYTES,
        }
    }

    fn parts(&self) -> [(&'static str, f64); 4] {
        let Self { tensor, shared, issue, cache } = *self;
        [("tensor", tensor), ("shared", shared), ("issue", issue), ("cache", cache)]
    }

    /// The part that needs most, and its cycles.
    pub(crate) fn tightest(&self) -> (&'static str, f64) {
        let parts = self.parts().into_iter();
        parts.max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap()
    }
}

/// A line for each op.
pub(crate) fn table(measured: &[(&Case, Counts)]) -> String {
    let mut text = "op | kernel | tensor | shared | issue | cache | held by\n".to_owned();
    for (case, counts) in measured {
        let bounds = Bounds::of(counts);
        let cycles = bounds.parts().map(|(_, cycles)| format!("{cycles:.0}")).join(" | ");
        let (held_by, _) = bounds.tightest();
        writeln!(text, "{} | {} | {cycles} | {held_by}", case.name, counts.kernel).unwrap();
    }
    text
}

/// How far the model of times may be off what the counts of one tile allow, its epilogue included.
const RATE_TOLERANCE: f64 = 0.1;
/// Length of the sums.
const K: usize = 768;

/// A tile of a product, which is one block.
struct TileCase {
    case: Case,
    outputs: usize,
}

/// In the order in which `benches/gpu/predict.py` has them.
const TILES: [TileCase; 3] = [
    TileCase {
        case: Case {
            name: "a tile of 128 x 192",
            make: machine::broad,
            rows: 1,
            tokens: 128,
            declare: |start| linear(start, K, 192, false),
        },
        outputs: 192,
    },
    TileCase {
        case: Case {
            name: "a tile of 128 x 128",
            make: machine::wide,
            rows: 1,
            tokens: 128,
            declare: |start| linear(start, K, 128, false),
        },
        outputs: 128,
    },
    TileCase {
        case: Case {
            name: "a tile of 64 x 64",
            make: machine::small,
            rows: 1,
            tokens: 64,
            declare: |start| linear(start, K, 64, false),
        },
        outputs: 64,
    },
];

/// Tokens, outputs, products a cycle and further costs of the model's tiles.
fn modelled() -> Vec<[f64; 4]> {
    let text = std::fs::read_to_string(root().join("benches/gpu/predict.py")).unwrap();
    let line = text.lines().find(|line| line.starts_with("BROAD, WIDE, FEW = ")).unwrap();
    let words = line.split(|c: char| !c.is_ascii_digit() && c != '.').filter(|w| !w.is_empty());
    let numbers: Vec<f64> = words.map(|word| word.parse().unwrap()).collect();
    numbers.as_chunks().0.to_vec()
}

/// What the model of times takes for the speed of each tile is what its counts allow.
#[test]
fn tiles_are_as_fast_as_their_counts_allow() {
    let Some((_alone, driver)) = alone() else { return };
    let modelled = modelled();
    assert_eq!(modelled.len(), TILES.len());
    for (TileCase { case, outputs }, [tokens, width, rate, _]) in TILES.iter().zip(modelled) {
        assert_eq!((tokens, width), (case.tokens as f64, *outputs as f64), "{}", case.name);
        let (held_by, cycles) = Bounds::of(&case.run(driver)).tightest();
        let allowed = (case.tokens * outputs * K) as f64 / cycles;
        let off = (rate / allowed - 1.0).abs();
        let what = format!("{}: {rate} modelled, {allowed:.0} allowed, {held_by}", case.name);
        assert!(off <= RATE_TOLERANCE, "{what}");
    }
}
