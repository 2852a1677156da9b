//! Values that go from lane to lane.

use crate::FaultKind;
use crate::alu::int;
use crate::counts::lanes;
use crate::fault::{Problem, Step};
use crate::isa::{Op, Reg2, Shuffle, ShuffleFn, Vote, Word};
use crate::warp::{Warp, need};

/// Lanes that take part in something together.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// Those that must.
    pub(crate) members: u32,
    /// Those of them that are here.
    pub(crate) here: u32,
}

/// The group of the first lane of `run` in `op`; where each goes alone, all of them, and nobody is
/// missing.
#[inline]
pub(crate) fn group(warp: &Warp, op: &Op, run: u32) -> Step<Group> {
    let word = match op {
        Op::Shuffle(shuffle) => shuffle.members,
        Op::Vote { members, .. }
        | Op::Match { members, .. }
        | Op::Redux { members, .. }
        | Op::WarpSync { members } => *members,
        Op::Mma { .. } | Op::LoadMatrix { .. } => return Ok(Group { members: !0, here: run }),
        _ => return Ok(Group { members: run, here: run }),
    };
    member_mask(warp, word, run)
}

/// The first lane's member mask and the lanes that pass the same. A mask must name the lanes that
/// pass it, and those that it names must pass it too.
fn member_mask(warp: &Warp, word: Word, run: u32) -> Step<Group> {
    need(warp.file.known(word), run, "a member mask")?;
    let masks = warp.file.word(word);
    let members = masks[run.trailing_zeros() as usize % 32];
    let mut here = 0;
    for lane in lanes(run) {
        let is_named = members >> lane & 1 != 0;
        if is_named != (masks[lane] == members) || masks[lane] >> lane & 1 == 0 {
            let found = format!(
                "expected one member mask that names lane {lane}, found {:#010x}, {members:#010x}",
                masks[lane]
            );
            return Err(Problem::new(FaultKind::Unconverged, lane as u32, found));
        }
        here |= u32::from(is_named) << lane;
    }
    Ok(Group { members, here })
}

/// The source of `lane`, and whether it is in range.
fn source(f: ShuffleFn, lane: u32, b: u32, c: u32) -> (u32, bool) {
    let (b, clamp, segment) = (b & 31, c & 31, c >> 8 & 31);
    let max = lane & segment | clamp & !segment;
    let min = lane & segment;
    let (from, valid) = match f {
        ShuffleFn::Up => (lane.wrapping_sub(b), lane as i32 - b as i32 >= max as i32),
        ShuffleFn::Down => (lane + b, lane + b <= max),
        ShuffleFn::Butterfly => (lane ^ b, lane ^ b <= max),
        ShuffleFn::Index => {
            let from = min | b & !segment;
            (from, from <= max)
        }
    };
    if valid { (from, true) } else { (lane, false) }
}

pub(super) fn shuffle(warp: &mut Warp, s: &Shuffle, run: u32) -> Step {
    need(warp.file.known(s.b) & warp.file.known(s.c), run, "the source of a shuffle")?;
    let (a, b, c) = (*warp.file.word(s.a), *warp.file.word(s.b), *warp.file.word(s.c));
    let known = warp.file.known(s.a);
    let (mut out, mut valid, mut out_known) = ([0; 32], 0, 0);
    for lane in lanes(run) {
        let (from, ok) = source(s.f, lane as u32, b[lane], c[lane]);
        if run >> from & 1 == 0 {
            let found = format!("lane {lane} reads lane {from}, which does not take part");
            return Err(Problem::new(FaultKind::InactiveLane, lane as u32, found));
        }
        out[lane] = a[from as usize];
        out_known |= (known >> from & 1) << lane;
        valid |= u32::from(ok) << lane;
    }
    warp.file.set_word(s.d, &out, run, out_known);
    if let Some(p) = s.p {
        warp.file.set_pred(p, valid, run, !0);
    }
    Ok(())
}

/// Votes, matches and reductions. All of `run` are members, and no other lane is.
pub(super) fn run(warp: &mut Warp, op: &Op, run: u32) -> Step {
    match op {
        Op::Vote { f, d, p, .. } => {
            need(warp.file.pred_known(p.pred), run, "a vote")?;
            let yes = (warp.file.pred(p.pred) ^ p.flip) & run;
            let answer = match f {
                Vote::Ballot | Vote::Any => yes != 0,
                Vote::All => yes == run,
                Vote::Uniform => yes == 0 || yes == run,
            };
            match d {
                Reg2::Word(d) => warp.file.set_word(*d, &[yes; 32], run, !0),
                Reg2::Pred(d) => warp.file.set_pred(*d, if answer { !0 } else { 0 }, run, !0),
            }
        }
        Op::Redux { f, d, a, .. } => {
            need(warp.file.known(*a), run, "a reduction")?;
            let a = warp.file.word(*a);
            let join = |x: u32, y: u32| int::words(*f, [&[x; 32], &[y; 32], &[0; 32]])[0];
            let out = lanes(run).map(|lane| a[lane]).reduce(join).unwrap_or(0);
            warp.file.set_word(*d, &[out; 32], run, !0);
        }
        Op::Match { all, d, p, a, .. } => {
            need(warp.file.reg_known(*a), run, "a match")?;
            let value = |lane| warp.file.get(*a, lane);
            let equal = |lane: usize| {
                lanes(run).filter(|&other| value(other) == value(lane)).fold(0, |m, l| m | 1 << l)
            };
            let same: [u32; 32] =
                std::array::from_fn(|lane| if run >> lane & 1 != 0 { equal(lane) } else { 0 });
            let whole = lanes(run).all(|lane| same[lane] == run);
            let out = if *all { [if whole { run } else { 0 }; 32] } else { same };
            warp.file.set_word(*d, &out, run, !0);
            if let Some(p) = p {
                warp.file.set_pred(*p, if whole { !0 } else { 0 }, run, !0);
            }
        }
        _ => {}
    }
    Ok(())
}
