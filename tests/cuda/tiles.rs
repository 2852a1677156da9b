//! What the model of times says of tiles, beside what their counts allow.

use offramp_tests::root;

use crate::bounds::Bounds;
use crate::budgets::linear;
use crate::case::Case;
use crate::{alone, machine};

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
