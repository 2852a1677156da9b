//! A warp: the registers of 32 lanes, and which lanes run.
//!
//! Every lane has its own place in the program. The lanes at the lowest place run first, which
//! brings them together again. Registers know whether anything was written to them; that
//! knowledge travels with values, and using an unknown one where it matters is a fault.

use crate::FaultKind;
use crate::alu::{Doubles, Words};
use crate::async_copy::Copies;
use crate::counts::lanes;
use crate::exec::{self, Env, Group};
use crate::fault::{Problem, Step};
use crate::isa::{Double, Instr, Op, Pred, Reg, Word};
use crate::kernel::{Program, Special};
use crate::shared::Toucher;

/// Instructions a warp may run before others have their turn.
const SLICE: u32 = 20_000;
/// Instructions no sound warp needs.
const STEPS_MAX: u64 = 1 << 27;

/// Why a warp stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// All lanes have returned.
    Done,
    /// All lanes wait at a barrier.
    Barrier,
    /// Its turn is over.
    Slice,
}

/// The registers of a warp, with the lanes in which each is known.
#[derive(Debug)]
pub(crate) struct File {
    words: Vec<(Words, u32)>,
    doubles: Vec<(Doubles, u32)>,
    preds: Vec<(u32, u32)>,
}

/// Puts the lanes of `mask` of `new` into `old`.
#[inline(always)]
fn blend<T: Copy>(old: &mut ([T; 32], u32), new: &[T; 32], mask: u32, known: u32) {
    if mask == !0 {
        *old = (*new, known);
        return;
    }
    for (lane, (old, new)) in old.0.iter_mut().zip(new).enumerate() {
        if mask >> lane & 1 != 0 {
            *old = *new;
        }
    }
    old.1 = old.1 & !mask | known & mask;
}

impl File {
    #[inline(always)]
    pub(crate) fn word(&self, word: Word) -> &Words {
        &self.words[word.0 as usize].0
    }

    #[inline(always)]
    pub(crate) fn double(&self, double: Double) -> &Doubles {
        &self.doubles[double.0 as usize].0
    }

    /// The lanes where it is true.
    #[inline(always)]
    pub(crate) fn pred(&self, pred: Pred) -> u32 {
        self.preds[pred.0 as usize].0
    }

    #[inline(always)]
    pub(crate) fn known(&self, word: Word) -> u32 {
        self.words[word.0 as usize].1
    }

    #[inline(always)]
    pub(crate) fn double_known(&self, double: Double) -> u32 {
        self.doubles[double.0 as usize].1
    }

    #[inline(always)]
    pub(crate) fn pred_known(&self, pred: Pred) -> u32 {
        self.preds[pred.0 as usize].1
    }

    #[inline(always)]
    pub(crate) fn reg_known(&self, reg: Reg) -> u32 {
        match reg {
            Reg::Word(word) => self.known(word),
            Reg::Double(double) => self.double_known(double),
        }
    }

    /// The value of one lane.
    #[inline(always)]
    pub(crate) fn get(&self, reg: Reg, lane: usize) -> u64 {
        match reg {
            Reg::Word(word) => self.word(word)[lane].into(),
            Reg::Double(double) => self.double(double)[lane],
        }
    }

    #[inline(always)]
    pub(crate) fn set_word(&mut self, d: Word, new: &Words, mask: u32, known: u32) {
        blend(&mut self.words[d.0 as usize], new, mask, known);
    }

    #[inline(always)]
    pub(crate) fn set_double(&mut self, d: Double, new: &Doubles, mask: u32, known: u32) {
        blend(&mut self.doubles[d.0 as usize], new, mask, known);
    }

    #[inline(always)]
    pub(crate) fn set_pred(&mut self, d: Pred, new: u32, mask: u32, known: u32) {
        let old = &mut self.preds[d.0 as usize];
        *old = (old.0 & !mask | new & mask, old.1 & !mask | known & mask);
    }

    /// Writes lanes of either width.
    #[inline(always)]
    pub(crate) fn set(&mut self, d: Reg, new: &Doubles, mask: u32, known: u32) {
        match d {
            Reg::Word(word) => {
                self.set_word(word, &crate::alu::map1(new, |x| x as u32), mask, known);
            }
            Reg::Double(double) => self.set_double(double, new, mask, known),
        }
    }

    fn new(program: &Program) -> Self {
        Self {
            words: vec![([0; 32], 0); program.words],
            doubles: vec![([0; 32], 0); program.doubles],
            preds: vec![(0, 0); program.preds],
        }
    }

    /// Nothing is known but the constants.
    fn reset(&mut self, program: &Program) {
        self.words.iter_mut().for_each(|word| word.1 = 0);
        self.doubles.iter_mut().for_each(|double| double.1 = 0);
        self.preds.iter_mut().for_each(|pred| pred.1 = 0);
        for &(word, value) in &program.word_presets {
            self.set_word(word, &[value; 32], !0, !0);
        }
        for &(double, value) in &program.double_presets {
            self.set_double(double, &[value; 32], !0, !0);
        }
        for &(pred, value) in &program.pred_presets {
            self.set_pred(pred, if value { !0 } else { 0 }, !0, !0);
        }
    }
}

/// Fails where a lane of `mask` is not known.
#[inline(always)]
pub(crate) fn need(known: u32, mask: u32, what: &str) -> Step {
    if known & mask == mask { Ok(()) } else { Err(unknown(mask & !known, what)) }
}

#[cold]
fn unknown(missing: u32, what: &str) -> Box<Problem> {
    let found = format!("{what} depends on a register nothing was written to");
    Problem::new(FaultKind::UninitialisedRegister, missing.trailing_zeros(), found)
}

/// Where a block stands in its grid.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) grid: [u32; 3],
    pub(crate) shape: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) shared_dynamic: u32,
}

impl Place {
    pub(crate) fn threads(&self) -> u32 {
        self.shape.iter().product()
    }

    /// Number of the block in its grid.
    pub(crate) fn number(&self) -> u32 {
        let ([gx, gy, _], [x, y, z]) = (self.grid, self.block);
        z.wrapping_mul(gy).wrapping_add(y).wrapping_mul(gx).wrapping_add(x)
    }

    /// Index of thread `number` in the block.
    pub(crate) fn thread(&self, number: u32) -> [u32; 3] {
        let [x, y, _] = self.shape.map(|size| size.max(1));
        [number % x, number / x % y, number / x / y]
    }
}

/// A warp of a block.
#[derive(Debug)]
pub(crate) struct Warp {
    pub(crate) index: u32,
    pub(crate) file: File,
    pub(crate) pcs: [u32; 32],
    /// Lanes that have not returned.
    pub(crate) live: u32,
    /// Lanes that wait at a barrier of the block.
    pub(crate) waiting: u32,
    /// Lanes that wait for others of this warp.
    parked: u32,
    /// Lanes whose turn ended with the last slice.
    rested: u32,
    pub(crate) copies: Copies,
    /// Local memory, thread after thread, and whether each byte was written to.
    pub(crate) local: Vec<(u8, bool)>,
    pub(crate) steps: u64,
    /// How often it has passed a `bar.warp.sync`.
    pub(crate) syncs: u32,
    /// Lanes that have yet to wait for the grids in front.
    pub(crate) early: u32,
}

impl Warp {
    pub(crate) fn new(program: &Program, index: u32) -> Self {
        Self {
            index,
            file: File::new(program),
            pcs: [0; 32],
            live: 0,
            waiting: 0,
            parked: 0,
            rested: 0,
            copies: Copies::default(),
            local: vec![(0, false); program.local_bytes as usize * 32],
            steps: 0,
            syncs: 0,
            early: 0,
        }
    }

    /// Ready for the first instruction of a block.
    pub(crate) fn reset(&mut self, program: &Program, place: &Place) {
        self.file.reset(program);
        let threads = (place.threads() - self.index * 32).min(32);
        self.live = u32::MAX >> (32 - threads);
        (self.waiting, self.parked, self.rested, self.steps) = (0, 0, 0, 0);
        self.pcs = [0; 32];
        self.copies.clear();
        self.local.fill((0, false));
        for &(special, word) in &program.specials {
            let values = std::array::from_fn(|lane| {
                special_value(special, place, self.index, lane as u32, program)
            });
            self.file.set_word(word, &values, !0, !0);
        }
    }

    /// Runs until it must wait or its turn is over. A problem comes with its place.
    pub(crate) fn run(&mut self, env: &mut Env<'_>) -> Result<Pause, (u32, Box<Problem>)> {
        let mut left = SLICE;
        while left > 0 {
            let ready = self.live & !self.waiting & !self.parked;
            if ready == 0 {
                return self.stuck(env);
            }
            self.group(ready, env, &mut left)?;
        }
        self.rest();
        Ok(Pause::Slice)
    }

    /// Lane `lane` at `line` as shared memory sees it.
    #[inline(always)]
    pub(crate) fn toucher(&self, lane: usize, line: u32) -> Toucher {
        Toucher { warp: self.index, lane: lane as u32, syncs: self.syncs, line }
    }

    /// Lets lanes elsewhere in the program have the next turn.
    fn rest(&mut self) {
        let ready = self.live & !self.waiting & !self.parked;
        let lowest = lanes(ready).map(|lane| self.pcs[lane]).min();
        self.rested = lanes(ready)
            .filter(|&lane| Some(self.pcs[lane]) == lowest)
            .fold(0, |mask, lane| mask | 1 << lane);
    }

    fn stuck(&self, env: &Env<'_>) -> Result<Pause, (u32, Box<Problem>)> {
        if self.live == 0 {
            return Ok(Pause::Done);
        }
        if self.parked == 0 {
            return Ok(Pause::Barrier);
        }
        let lane = self.parked.trailing_zeros();
        let pc = self.pcs[lane as usize];
        let here = self.at(pc, self.parked);
        let kind = match env.program.code[pc as usize].op {
            Op::Mma { .. } | Op::LoadMatrix { .. } => FaultKind::PartialWarp,
            _ => FaultKind::Unconverged,
        };
        let found = format!("lanes {here:#010x} wait for others that never come");
        Err((pc, Problem::new(kind, lane, found)))
    }

    /// The lanes of `mask` that are at `pc`.
    fn at(&self, pc: u32, mask: u32) -> u32 {
        let at = (0..32).fold(0, |at, lane| at | u32::from(self.pcs[lane] == pc) << lane);
        at & mask
    }

    /// Runs the lanes at the lowest place until they part or meet others.
    fn group(
        &mut self,
        ready: u32,
        env: &mut Env<'_>,
        left: &mut u32,
    ) -> Result<(), (u32, Box<Problem>)> {
        let fresh = ready & !std::mem::take(&mut self.rested);
        let from = if fresh != 0 { fresh } else { ready };
        let mut pc = lanes(from).map(|lane| self.pcs[lane]).min().unwrap_or(0);
        let mask = self.at(pc, self.live & !self.waiting);
        self.parked &= !mask;
        let others = self.live & !self.waiting & !mask;
        let next = lanes(others).map(|lane| self.pcs[lane]).filter(|&other| other > pc).min();
        let next = next.unwrap_or(u32::MAX);
        loop {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                let found = format!("expected at most {STEPS_MAX} instructions of a warp");
                let lane = mask.trailing_zeros();
                return Err((pc, Problem::new(FaultKind::Endless, lane, found)));
            }
            *left = left.saturating_sub(1);
            env.counts.instructions += 1;
            let flow = self.step(pc, mask, env).map_err(|problem| (pc, problem))?;
            match flow {
                Flow::Next => pc += 1,
                Flow::Jump(to) => {
                    pc = to;
                    if others != 0 || *left == 0 {
                        break;
                    }
                }
                Flow::Parted => return Ok(()),
            }
            if pc == next {
                break;
            }
        }
        self.jump(mask, pc);
        Ok(())
    }

    /// Runs the instruction at `pc` in the lanes of `mask` that its guard lets through.
    #[inline]
    fn step(&mut self, pc: u32, mask: u32, env: &mut Env<'_>) -> Step<Flow> {
        let instr = &env.program.code[pc as usize];
        let guard = instr.guard;
        need(self.file.pred_known(guard.pred), mask, "a guard")?;
        let run = mask & (self.file.pred(guard.pred) ^ guard.flip);
        match &instr.op {
            Op::Branch { target } => return Ok(self.branch(pc, mask, run, *target)),
            _ if run == 0 => return Ok(Flow::Next),
            Op::Exit => {
                exec::check_waited(self.early & run)?;
                self.live &= !run;
                self.jump(mask, pc + 1);
                return Ok(Flow::Parted);
            }
            Op::Barrier(_) => {
                self.waiting |= run;
                self.jump(mask & !run, pc + 1);
                self.jump(run, pc);
                return Ok(Flow::Parted);
            }
            Op::Trap => {
                return Err(Problem::new(FaultKind::Trap, run.trailing_zeros(), "trap"));
            }
            _ => {}
        }
        let parked = self.together(instr, run, env)?;
        if parked == 0 {
            return Ok(Flow::Next);
        }
        self.parked |= parked;
        self.jump(parked, pc);
        self.jump(mask & !parked, pc + 1);
        Ok(Flow::Parted)
    }

    /// Runs an instruction in the lanes of `run`, group by group where lanes take part together;
    /// gives those whose groups are not all here.
    #[inline]
    fn together(&mut self, instr: &Instr, run: u32, env: &mut Env<'_>) -> Step<u32> {
        let (mut left, mut parked) = (run, 0);
        while left != 0 {
            let Group { members, here } = exec::group(self, &instr.op, left)?;
            if members & self.live & !here != 0 {
                parked |= here;
            } else {
                exec::execute(self, &instr.op, here, instr.line, env)?;
            }
            left &= !here;
        }
        Ok(parked)
    }

    fn branch(&mut self, pc: u32, mask: u32, run: u32, target: u32) -> Flow {
        if run == mask {
            return Flow::Jump(target);
        }
        if run == 0 {
            return Flow::Next;
        }
        self.jump(run, target);
        self.jump(mask & !run, pc + 1);
        Flow::Parted
    }

    /// Sends the lanes of `mask` to `pc`.
    pub(crate) fn jump(&mut self, mask: u32, pc: u32) {
        for lane in lanes(mask) {
            self.pcs[lane] = pc;
        }
    }
}

/// Where a group goes on.
enum Flow {
    Next,
    Jump(u32),
    /// Each lane knows its own place.
    Parted,
}

fn special_value(special: Special, place: &Place, warp: u32, lane: u32, program: &Program) -> u32 {
    let bit = 1u32 << lane;
    match special {
        Special::Tid(axis) => place.thread(warp * 32 + lane)[axis],
        Special::Ntid(axis) => place.shape[axis],
        Special::Ctaid(axis) => place.block[axis],
        Special::Nctaid(axis) => place.grid[axis],
        Special::LaneId => lane,
        Special::WarpId => warp,
        Special::WarpCount => place.threads().div_ceil(32),
        Special::MaskEq => bit,
        Special::MaskLt => bit - 1,
        Special::MaskLe => bit | (bit - 1),
        Special::MaskGe => !(bit - 1),
        Special::MaskGt => !(bit | (bit - 1)),
        Special::SharedDynamic => place.shared_dynamic,
        Special::SharedTotal => program.shared_bytes + place.shared_dynamic,
        Special::Zero => 0,
    }
}
