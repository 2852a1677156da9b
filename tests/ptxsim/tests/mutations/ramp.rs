//! `ramp` against f64: features, logits, scores, states and records.

use std::sync::Mutex;

use offramp_ptxsim::Kernel;

use crate::linear::activate;
use crate::moments::{EPS, moments, normalised};
use crate::world::Arg::{self, F, P, U};
use crate::world::{Elem, Flaw, Matrix, World, near, same};

/// An exit; no hidden layer or head where there are no outputs of it.
struct Problem {
    width: usize,
    hidden: usize,
    classes: usize,
    /// 0 first, 1 mean, 2 last.
    pool: u32,
    score: u32,
    is_final: bool,
    /// 0 a class, 1 labels, 2 a number.
    decision: u32,
    /// Vectors of an image, which is one token to the tables; 0: rows are texts.
    image: u32,
    /// Tokens lie before a norm.
    normed: bool,
}

const LENS: [u32; 4] = [3, 13, 1, 20];
const SLOTS: [u32; 4] = [5, 0, 3, 2];
const EXIT: u32 = 2;
const THRESHOLDS: [f32; 3] = [2.0, 2.0, 0.5];
const PATIENCE: u32 = 3;
const TOLERANCE: f32 = 0.02;
const UNTOUCHED: u32 = 0xabab_abab;
/// By slot: answered, stays, first and last exit, label and streak so far, number of its admission.
const STATES: [[u32; 7]; 6] = [
    [0, 1, 0, !0, 1, 4, 77],
    [0, 0, 0, !0, 0, 0, 78],
    [1, 1, 0, !0, 4, 2, 77],
    [0, 0, 3, !0, 2, 1, 80],
    [0, 0, 0, !0, 0, 0, 77],
    [0, 0, 0, 2, 0, 9, 81],
];

pub(crate) fn ramp(kernel: &Kernel, elem: Elem) -> Result<(), Flaw> {
    let plain = Problem {
        width: 72,
        hidden: 0,
        classes: 9,
        pool: 0,
        score: 0,
        is_final: false,
        decision: 0,
        image: 0,
        normed: false,
    };
    for problem in [
        Problem { width: 264, hidden: 40, classes: 35, pool: 1, ..plain },
        Problem { width: 136, hidden: 21, normed: true, ..plain },
        Problem { width: 528, classes: 0, pool: 1, normed: true, ..plain },
        Problem { width: 37, hidden: 21, pool: 1, score: 1, is_final: true, ..plain },
        Problem { width: 29, score: 2, ..plain },
        Problem { score: 3, ..plain },
        Problem { width: 528, classes: 0, pool: 1, ..plain },
        Problem { width: 24, pool: 1, image: 10, ..plain },
        Problem { width: 136, pool: 2, ..plain },
        Problem { width: 29, classes: 35, decision: 1, ..plain },
        Problem { width: 37, decision: 1, score: 1, ..plain },
        Problem { decision: 1, score: 2, classes: 5, ..plain },
        Problem { decision: 2, score: 3, classes: 1, ..plain },
        Problem { decision: 2, score: 0, classes: 1, is_final: true, ..plain },
    ] {
        solve(kernel, elem, &problem)?;
    }
    Ok(())
}

/// A matrix and its bias.
struct Layer {
    weight: Matrix,
    bias: Vec<f32>,
    at: [u64; 2],
}

impl Layer {
    fn new(world: &mut World, elem: Elem, n: usize, k: usize) -> Self {
        let (weight, bias) = (world.weights(elem, n, k), world.numbers(n));
        let at = if n == 0 { [0, 0] } else { [weight.address, world.floats(&bias)] };
        Self { weight, bias, at }
    }

    /// What it makes of `x`; `x` itself where it has no outputs.
    fn of(&self, x: Vec<f64>, activation: u32) -> Vec<f64> {
        if self.bias.is_empty() {
            return x;
        }
        let sum = |(n, bias): (usize, &f32)| {
            let weight = self.weight.row(n as u32);
            let sum: f64 = x.iter().zip(&weight).map(|(x, w)| x * w).sum();
            activate(activation, sum + f64::from(*bias))
        };
        self.bias.iter().enumerate().map(sum).collect()
    }
}

fn solve(kernel: &Kernel, elem: Elem, problem: &Problem) -> Result<(), Flaw> {
    let &Problem { width, hidden, classes, pool, score, is_final, decision, image, normed } =
        problem;
    let mut world = World::new();
    let lens = if image > 0 { [1; 4] } else { LENS };
    let tokens = lens.iter().sum::<u32>() as usize;
    let mut x = world.matrix(elem, tokens + 3, image.max(1) as usize * width);
    let (map, map_at) = world.map(tokens, tokens + 3);
    let offsets: Vec<u32> = (0..=4).map(|row| lens[..row].iter().sum()).collect();
    // The first token of the third row is not finite.
    x.spoil(&world, map[offsets[2] as usize]);
    let layers = [
        Layer::new(&mut world, elem, hidden, width),
        Layer::new(&mut world, elem, classes, if hidden > 0 { hidden } else { width }),
    ];
    let count = [classes, hidden, width].into_iter().find(|&n| n > 0).unwrap_or(0);
    let stride = count + 3;
    let states = world.words(STATES.as_flattened());
    let records = world.mapped(&[UNTOUCHED; 36]);
    let logits = world.mapped(&vec![UNTOUCHED; 6 * stride]);
    let mut args = [x.address, map_at, world.words(&offsets), world.words(&SLOTS)].map(P).to_vec();
    args.push(P(world.words(&[4, tokens as u32])));
    args.push(P(world.words(&[score, PATIENCE])));
    args.extend([world.floats(&THRESHOLDS), states, records, logits].map(P));
    args.extend(layers[0].at.map(P));
    args.extend([hidden as u32, 2].map(U));
    args.extend(layers[1].at.map(P));
    args.extend([classes as u32, width as u32, pool, EXIT, is_final.into()].map(U));
    args.extend([stride as u32, image, decision].map(U));
    args.push(F(TOLERANCE));
    let norm = normed.then(|| TakenNorm::new(&mut world, width));
    args.extend(norm.as_ref().map_or([P(0), F(0.0), P(0), P(0)], |norm| {
        norm.args(&world, (0..tokens as u32 + 3).map(|place| x.row(place)))
    }));
    let shared = (width + hidden + classes.max(1) + 64) * 4;
    let early = Mutex::new(Ok(()));
    let look = || {
        let seen = (0..6).try_for_each(|slot| {
            let logits = world.read_words(logits + u64::from(slot) * stride as u64 * 4, count);
            is_whole(slot, words(&world, records, slot), &logits)
        });
        if seen.is_err() {
            *early.lock().expect("a lock") = seen;
        }
    };
    world.launch_watched(kernel, [[6, 1, 1], [256, 1, 1]], shared as u32, &args, &look)?;
    early.into_inner().expect("a lock")?;
    for slot in 0..6 {
        let row = SLOTS.iter().position(|&other| other == slot);
        let expected = row.map(|row| {
            let tokens = (offsets[row]..offsets[row + 1]).map(|t| x.row(map[t as usize]));
            let features = pooled(&vectors(tokens, width, norm.as_ref()), pool);
            layers[1].of(layers[0].of(features, 2), 0)
        });
        let found = world.read_words(logits + u64::from(slot) * stride as u64 * 4, stride);
        let state: [u32; 7] = words(&world, states, slot);
        let record: [u32; 6] = words(&world, records, slot);
        match expected {
            None => {
                let left = vec![UNTOUCHED; stride];
                same("logits of no row", &found, &left)?;
                same("state of no row", &state, &STATES[slot as usize])?;
                same("record of no row", &record, &[UNTOUCHED; 6])?;
            }
            Some(expected) => {
                same("past the logits", &found[count..], &[UNTOUCHED; 3][..])?;
                check_logits(&found[..count], &expected)?;
                check_verdict(problem, slot, (&expected, &found[..count]), state, record)?;
            }
        }
    }
    Ok(())
}

/// A record that names its row's admission is all there, and so are its logits.
fn is_whole(slot: u32, record: [u32; 6], logits: &[u32]) -> Result<(), Flaw> {
    let is_known = record[5] == STATES[slot as usize][6];
    if is_known && record.iter().chain(logits).any(|&word| word == UNTOUCHED) {
        return Err(Flaw::Wrong(format!("the host may see {record:x?} with {logits:x?}")));
    }
    Ok(())
}

fn words<const N: usize>(world: &World, at: u64, slot: u32) -> [u32; N] {
    let words = world.read_words(at + u64::from(slot) * 4 * N as u64, N);
    words.try_into().expect("as many words")
}

/// The norm that tokens lie before.
struct TakenNorm {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl TakenNorm {
    fn new(world: &mut World, width: usize) -> Self {
        Self { scale: world.numbers(width), shift: world.numbers(width) }
    }

    /// Moments, epsilon, scale and shift.
    fn args(&self, world: &World, places: impl Iterator<Item = Vec<f64>>) -> [Arg; 4] {
        let [scale, shift] = [&self.scale, &self.shift].map(|of| P(world.floats(of)));
        [P(world.floats(&moments(places))), F(EPS), scale, shift]
    }
}

/// The vectors of a row's tokens, behind their norm.
fn vectors(
    tokens: impl Iterator<Item = Vec<f64>>,
    width: usize,
    norm: Option<&TakenNorm>,
) -> Vec<Vec<f64>> {
    let vectors = |token: Vec<f64>| token.chunks(width).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let behind = |vector: Vec<f64>| match norm {
        Some(norm) => normalised(&vector, &norm.scale, &norm.shift, EPS),
        None => vector,
    };
    tokens.flat_map(vectors).map(behind).collect()
}

fn pooled(row: &[Vec<f64>], pool: u32) -> Vec<f64> {
    let tokens = match pool {
        0 => &row[..1],
        1 => row,
        _ => &row[row.len() - 1..],
    };
    (0..row[0].len())
        .map(|at| tokens.iter().map(|token| token[at]).sum::<f64>() / tokens.len() as f64)
        .collect()
}

fn check_logits(found: &[u32], expected: &[f64]) -> Result<(), Flaw> {
    let found: Vec<f64> = found.iter().map(|&bits| f32::from_bits(bits).into()).collect();
    if expected.iter().all(|x| x.is_finite()) {
        return near("logits", &found, expected, [2e-5; 2]);
    }
    let finite = |logits: &[f64]| logits.iter().map(|x| x.is_finite()).collect::<Vec<_>>();
    same("logits that are finite", &finite(&found), &finite(expected))
}

/// Source: `kernels/src/ops/ramp/cpu.rs`.
fn check_verdict(
    problem: &Problem,
    slot: u32,
    (logits, found): (&[f64], &[u32]),
    state: [u32; 7],
    record: [u32; 6],
) -> Result<(), Flaw> {
    let is_finite = logits.iter().all(|x| x.is_finite());
    let of_use = is_finite && problem.classes > 0;
    let [answered, stays, first, last, label_before, streak_before, number] = STATES[slot as usize];
    let label = if of_use { decide(problem.decision, logits, found) } else { 0 };
    let goes_on = match problem.decision {
        2 => {
            let [one, other] =
                [label, label_before].map(|word| sigmoid(f32::from_bits(word).into()));
            (one - other).abs() <= TOLERANCE.into()
        }
        _ => label == label_before,
    };
    let streak = match of_use {
        false => 0,
        true if goes_on => streak_before + 1,
        true => 1,
    };
    let score = match (of_use, problem.decision) {
        (false, _) => 0.0,
        (true, 0) => score(problem.score, logits, label as usize, streak),
        (true, _) => score_each(problem.score, logits, streak),
    };
    let reaches = EXIT >= first && (EXIT >= last || score >= THRESHOLDS[EXIT as usize].into());
    let leaves = problem.is_final || (reaches && of_use);
    let flags = u32::from(leaves && answered == 0) | u32::from(!is_finite) << 1;
    let after = [u32::from(answered != 0 || leaves), stays, first, last, label, streak, number];
    same("state", &state, &after)?;
    near("score", &[f64::from(f32::from_bits(record[3]))], &[score], [2e-5; 2])?;
    // A row that is not finite has no label that anyone may rely on.
    let label = if is_finite { label } else { record[2] };
    same("record", &record, &[slot, EXIT, label, record[3], flags, number])
}

/// Source: `kernels/src/ops/ramp/decision.rs`. Signs and bits are those of the logits found.
fn decide(decision: u32, logits: &[f64], found: &[u32]) -> u32 {
    match decision {
        0 => (1..logits.len()).fold(0, |best, i| if logits[i] > logits[best] { i } else { best })
            as u32,
        1 => {
            let held = (0_u32..).zip(found).filter(|(_, bits)| f32::from_bits(**bits) > 0.0);
            held.fold(0, |set, (label, _)| set ^ mark(label, found.len()))
        }
        _ => found[0],
    }
}

fn mark(label: u32, labels: usize) -> u32 {
    if labels <= 31 {
        return 1 << label;
    }
    let mut x = label.wrapping_add(0x9e37_79b9);
    x = (x ^ (x >> 16)).wrapping_mul(0x85eb_ca6b);
    x = (x ^ (x >> 13)).wrapping_mul(0xc2b2_ae35);
    (x ^ (x >> 16)) & 0x7fff_ffff
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn score_each(kind: u32, logits: &[f64], streak: u32) -> f64 {
    let p: Vec<f64> = logits.iter().map(|x| sigmoid(x.abs())).collect();
    let first: f64 = p.iter().product();
    match kind {
        0 => first,
        1 => {
            let all: f64 = p.iter().map(|p| -p * p.ln() - (1.0 - p) * (1.0 - p).ln()).sum();
            1.0 - all / (p.len() as f64 * 2.0_f64.ln())
        }
        2 => first * (1.0 - p.iter().map(|p| (1.0 - p) / p).fold(0.0, f64::max)),
        _ => f64::from(streak.min(PATIENCE)) / f64::from(PATIENCE),
    }
}

fn score(kind: u32, logits: &[f64], best: usize, streak: u32) -> f64 {
    let exps: Vec<f64> = logits.iter().map(|x| (x - logits[best]).exp()).collect();
    let sum: f64 = exps.iter().sum();
    let second = (0..exps.len()).filter(|&i| i != best).map(|i| exps[i]).fold(0.0, f64::max);
    match kind {
        0 => 1.0 / sum,
        1 => {
            let entropy: f64 = exps.iter().map(|e| -(e / sum) * (e / sum).ln()).sum();
            1.0 - entropy / (logits.len() as f64).ln()
        }
        2 => (1.0 - second) / sum,
        _ => f64::from(streak.min(PATIENCE)) / f64::from(PATIENCE),
    }
}
