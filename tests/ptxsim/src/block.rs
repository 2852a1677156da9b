//! A block: its warps take turns, and meet at barriers.

use crate::counts::lanes;
use crate::exec::{Env, Talk};
use crate::fault::{Problem, Step};
use crate::isa::{Barrier, BarrierFn, BarrierReduce, Op, Reg2};
use crate::kernel::Program;
use crate::memory::View;
use crate::shared::Shared;
use crate::talk::{Buffer, Told};
use crate::warp::{Pause, Place, Warp, need};
use crate::{Counts, Fault, FaultKind, Tensor};

/// Barriers a block has.
const BARRIERS: usize = 16;

/// What the blocks of a launch share.
#[derive(Clone, Copy)]
pub(crate) struct Grid<'a> {
    pub(crate) program: &'a Program,
    pub(crate) view: &'a View,
    pub(crate) params: &'a [u8],
    pub(crate) tensor: Tensor,
    /// Whether threads must wait for other grids.
    pub(crate) is_early: bool,
    /// Called when a store becomes visible outside of its block.
    pub(crate) look: &'a (dyn Fn() + Sync),
}

/// What one host thread keeps while it runs blocks.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) counts: Counts,
    /// Of a launch whose blocks talk.
    pub(crate) told: Option<Told>,
}

/// Why a block stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// All its warps have returned.
    Done,
    /// No turn of a round came to an end by itself.
    Spins,
    /// A warp has told other blocks something while its neighbours are behind.
    Talked,
}

/// A block of a grid, part way through its kernel.
pub(crate) struct Running {
    pub(crate) place: Place,
    warps: Vec<Warp>,
    shared: Shared,
    /// Empty where blocks do not talk.
    buffer: Buffer,
}

impl Running {
    pub(crate) fn new(program: &Program, place: Place) -> Self {
        let warps = place.threads().div_ceil(32);
        Self {
            place,
            warps: (0..warps).map(|index| Warp::new(program, index)).collect(),
            shared: Shared::new((program.shared_bytes + place.shared_dynamic) as usize),
            buffer: Buffer::default(),
        }
    }

    /// Ready for the first instruction of block `block`.
    pub(crate) fn start(&mut self, grid: Grid<'_>, block: [u32; 3]) {
        self.place.block = block;
        self.shared.reset();
        self.buffer.reset();
        for warp in &mut self.warps {
            warp.reset(grid.program, &self.place);
            warp.early = if grid.is_early { !0 } else { 0 };
        }
    }

    /// Gives every warp a turn, again and again.
    pub(crate) fn run(&mut self, grid: Grid<'_>, tally: &mut Tally) -> Result<Rest, Box<Fault>> {
        loop {
            let mut idle = true;
            for index in 0..self.warps.len() {
                let atomics = tally.counts.atomics;
                idle &= self.turn(index, grid, tally)? == Pause::Slice
                    || self.warps[index].live == self.warps[index].waiting;
                if tally.counts.atomics > atomics && grid.program.talks {
                    return Ok(Rest::Talked);
                }
            }
            if self.warps.iter().all(|warp| warp.live == 0) {
                if let Some(told) = &mut tally.told {
                    told.end(grid.view, (self.place.number(), &mut self.buffer), grid.look);
                }
                return Ok(Rest::Done);
            }
            let released = self.release(grid, &mut tally.counts)?;
            if idle && !released {
                return Ok(Rest::Spins);
            }
        }
    }

    fn turn(
        &mut self,
        index: usize,
        Grid { program, view, params, tensor, is_early, look }: Grid<'_>,
        tally: &mut Tally,
    ) -> Result<Pause, Box<Fault>> {
        let warp = &mut self.warps[index];
        let shared = &mut self.shared;
        let block = self.place.number();
        let (counts, buffer) = (&mut tally.counts, &mut self.buffer);
        let talk = tally.told.as_mut().map(|told| Talk { told, buffer, look });
        let hint = 0;
        let mut env =
            Env { program, view, params, shared, counts, tensor, talk, block, is_early, hint };
        warp.run(&mut env).map_err(|(pc, problem)| self.fault(index, pc, *problem, program))
    }

    /// Adds the place to a problem.
    fn fault(&self, warp: usize, pc: u32, problem: Problem, program: &Program) -> Box<Fault> {
        let instr = program.code.get(pc as usize);
        let source = instr
            .and_then(|instr| program.file(instr.loc.0).map(|file| (file.to_owned(), instr.loc.1)));
        Box::new(Fault {
            kernel: program.name.clone(),
            kind: problem.kind,
            detail: problem.detail,
            line: instr.map_or(0, |instr| instr.line),
            source,
            block: self.place.block,
            thread: self.place.thread(warp as u32 * 32 + problem.lane),
            seed: 0,
        })
    }

    /// Lets those go on whose barrier is complete; whether there were any.
    fn release(&mut self, grid: Grid<'_>, counts: &mut Counts) -> Result<bool, Box<Fault>> {
        let program = grid.program;
        let mut any = false;
        let mut first_waiting = None;
        for index in 0..self.warps.len() {
            if self.warps[index].waiting == 0 || self.warps[index].waiting != self.warps[index].live
            {
                continue;
            }
            let pc = self.warps[index].pcs[self.warps[index].live.trailing_zeros() as usize];
            let Op::Barrier(barrier) = &program.code[pc as usize].op else { continue };
            first_waiting.get_or_insert((index, pc));
            let complete = self.complete(index, pc, barrier, program);
            let complete = complete.map_err(|problem| self.fault(index, pc, *problem, program))?;
            if let Some(set) = complete {
                self.pass(&set, barrier, counts)
                    .map_err(|problem| self.fault(index, pc, *problem, program))?;
                any = true;
            }
        }
        let stuck = self.warps.iter().all(|warp| warp.waiting == warp.live);
        match first_waiting {
            Some((index, pc)) if stuck && !any => {
                let problem = Problem::new(
                    FaultKind::Deadlock,
                    self.warps[index].live.trailing_zeros(),
                    "every warp waits at a barrier, and none is complete",
                );
                Err(self.fault(index, pc, *problem, program))
            }
            _ => Ok(any),
        }
    }

    /// The warps that wait at the barrier of warp `index`, if they are all it takes.
    fn complete(
        &self,
        index: usize,
        pc: u32,
        barrier: &Barrier,
        program: &Program,
    ) -> Step<Option<Vec<usize>>> {
        let id = self.id(index, barrier)?;
        let mut set = Vec::new();
        for (other, warp) in self.warps.iter().enumerate() {
            if warp.live == 0 || warp.waiting == 0 {
                continue;
            }
            for lane in lanes(warp.waiting) {
                let Op::Barrier(there) = &program.code[warp.pcs[lane] as usize].op else {
                    continue;
                };
                let same = self.id(other, there)? == id;
                if same && warp.pcs[lane] != pc && barrier.threads.is_none() {
                    return Err(self.apart(lane, pc, warp.pcs[lane], program));
                }
                if same && set.last() != Some(&other) && warp.waiting == warp.live {
                    set.push(other);
                }
            }
        }
        let wanted = match barrier.threads {
            None => {
                let live = self.warps.iter().filter(|warp| warp.live != 0).count();
                return Ok((set.len() == live).then_some(set));
            }
            Some(threads) => self.uniform(index, threads, "the size of a barrier")?,
        };
        if wanted == 0 || !wanted.is_multiple_of(32) {
            let found = format!("expected a multiple of 32 threads, found {wanted}");
            return Err(Problem::new(FaultKind::DivergentBarrier, 0, found));
        }
        Ok((set.len() as u32 * 32 >= wanted).then_some(set))
    }

    #[cold]
    fn apart(&self, lane: usize, pc: u32, other: u32, program: &Program) -> Box<Problem> {
        let line = |pc: u32| program.code[pc as usize].line;
        let found = format!(
            "some threads wait at the barrier of PTX line {}, others at that of line {}",
            line(pc),
            line(other)
        );
        Problem::new(FaultKind::DivergentBarrier, lane as u32, found)
    }

    fn id(&self, index: usize, barrier: &Barrier) -> Step<usize> {
        let id = self.uniform(index, barrier.id, "the number of a barrier")? as usize;
        if id < BARRIERS {
            return Ok(id);
        }
        let found = format!("expected a barrier below {BARRIERS}, found {id}");
        Err(Problem::new(FaultKind::DivergentBarrier, 0, found))
    }

    /// A value that all waiting lanes of a warp must share.
    fn uniform(&self, index: usize, word: crate::isa::Word, what: &str) -> Step<u32> {
        let warp = &self.warps[index];
        need(warp.file.known(word), warp.waiting, what)?;
        let values = warp.file.word(word);
        let first = values[warp.waiting.trailing_zeros() as usize % 32];
        match lanes(warp.waiting).find(|&lane| values[lane] != first) {
            None => Ok(first),
            Some(lane) => {
                let found = format!("{what} differs: {first} and {}", values[lane]);
                Err(Problem::new(FaultKind::DivergentBarrier, lane as u32, found))
            }
        }
    }

    fn pass(&mut self, set: &[usize], barrier: &Barrier, counts: &mut Counts) -> Step {
        let reduced = match &barrier.reduce {
            Some(reduce) => Some((reduce, self.reduce(set, reduce)?)),
            None => None,
        };
        for &index in set {
            let warp = &mut self.warps[index];
            let run = warp.waiting;
            if let Some((BarrierReduce { d, .. }, value)) = reduced {
                match d {
                    Reg2::Word(d) => warp.file.set_word(*d, &[value; 32], run, !0),
                    Reg2::Pred(d) => {
                        warp.file.set_pred(*d, if value != 0 { !0 } else { 0 }, run, !0);
                    }
                }
            }
            for lane in lanes(run) {
                warp.pcs[lane] += 1;
            }
            warp.waiting = 0;
            counts.barriers += 1;
        }
        self.shared.barrier();
        if barrier.threads.is_none() {
            self.buffer.barrier();
        }
        Ok(())
    }

    fn reduce(&self, set: &[usize], reduce: &BarrierReduce) -> Step<u32> {
        let (mut yes, mut all) = (0, 0);
        for &index in set {
            let warp = &self.warps[index];
            need(warp.file.pred_known(reduce.p.pred), warp.waiting, "a barrier's predicate")?;
            let pred = warp.file.pred(reduce.p.pred) ^ reduce.p.flip;
            yes += (pred & warp.waiting).count_ones();
            all += warp.waiting.count_ones();
        }
        Ok(match reduce.f {
            BarrierFn::And => u32::from(yes == all),
            BarrierFn::Or => u32::from(yes != 0),
            BarrierFn::Popc => yes,
        })
    }
}
