//! A launch: checks, then blocks over host threads.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::block::{Grid, Rest, Running, Tally};
use crate::kernel::Program;
use crate::race::Writer;
use crate::schedule::Schedule;
use crate::talk::Told;
use crate::warp::Place;
use crate::{Chip, Counts, Fault, FaultKind, Kernel, Memory};

/// Blocks that stand beside one another where they may wait for one another.
const RESIDENT: usize = 64;
/// Blocks that stand beside one another where one of them has used an atomic.
const TALKING: usize = 3;

/// A kernel and how it is launched.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Blocks along each axis.
    pub grid: [u32; 3],
    /// Threads of a block along each axis.
    pub block: [u32; 3],
    /// Shared memory beyond the static part, in bytes.
    pub dynamic_shared_bytes: u32,
    /// The parameters at the offsets of [`crate::Param`].
    pub params: &'a [u8],
    /// It may begin before the launches in front of it have ended: programmatic stream
    /// serialisation. Until a thread has passed `griddepcontrol.wait` it may do nothing to global
    /// memory but load what no kernel has ever written, and it must pass it.
    pub is_early: bool,
    /// What it runs on.
    pub chip: Chip,
}

/// Runs a kernel to its end.
///
/// Blocks of kernels with atomics or ordered accesses to global memory take turns on one host
/// thread, others run on up to two; the result is the same every time.
///
/// # Errors
/// The bug of the first block among those that have one, in the order that the seed of the chip
/// gives; races between blocks are looked for when there is none.
pub fn launch(memory: &Memory, launch: &Launch<'_>) -> Result<Counts, Fault> {
    run(memory, launch, launch.kernel.0.talks, &|| ())
}

/// [`launch`] for a host that looks on: calls `look` whenever a store becomes visible outside of
/// its block. All blocks take turns.
///
/// # Errors
/// As [`launch`].
pub fn launch_watched(
    memory: &Memory,
    launch: &Launch<'_>,
    look: &(dyn Fn() + Sync),
) -> Result<Counts, Fault> {
    run(memory, launch, true, look)
}

fn run(
    memory: &Memory,
    launch: &Launch<'_>,
    talks: bool,
    look: &(dyn Fn() + Sync),
) -> Result<Counts, Fault> {
    let program = &*launch.kernel.0;
    check(program, launch).map_err(|detail| bad_launch(program, detail))?;
    let view = memory.view(&program.variables, !talks);
    let (tensor, is_early) = (launch.chip.tensor, launch.is_early);
    let grid = Grid { program, view: &view, params: launch.params, tensor, is_early, look };
    let place = Place {
        grid: launch.grid,
        shape: launch.block,
        block: [0; 3],
        shared_dynamic: launch.dynamic_shared_bytes,
    };
    let seed = launch.chip.seed;
    let schedule = Schedule::new(seed, blocks(&place));
    let run = if talks {
        take_turns(grid, place, schedule)
    } else {
        spread(grid, place, &schedule).map(|counts| (counts, view.race()))
    };
    let outcome = run.map_err(|fault| *fault).and_then(|(counts, race)| match race {
        None => Ok(counts),
        Some((address, writer)) => Err(raced(program, launch, address, writer)),
    });
    outcome.map_err(|fault| Fault { seed, ..fault })
}

fn raced(program: &Program, launch: &Launch<'_>, address: u64, writer: Writer) -> Fault {
    let instr = program.code.iter().find(|instr| instr.line == writer.line);
    let source = instr
        .and_then(|instr| program.file(instr.loc.0).map(|file| (file.to_owned(), instr.loc.1)));
    Fault {
        kernel: program.name.clone(),
        kind: FaultKind::GlobalRace,
        detail: format!("this block and another write to {address:#x}"),
        line: writer.line,
        source,
        block: index(writer.block.into(), launch.grid),
        thread: [0; 3],
        seed: 0,
    }
}

fn bad_launch(program: &Program, detail: String) -> Fault {
    Fault {
        kernel: program.name.clone(),
        kind: FaultKind::BadLaunch,
        detail,
        line: 0,
        source: None,
        block: [0; 3],
        thread: [0; 3],
        seed: 0,
    }
}

fn check(program: &Program, launch: &Launch<'_>) -> Result<(), String> {
    let [gx, gy, gz] = launch.grid;
    if gx == 0 || gy == 0 || gz == 0 || gx > i32::MAX as u32 || gy > 65535 || gz > 65535 {
        return Err(format!(
            "expected a grid of 1 to 2147483647 x 65535 x 65535, found {gx}x{gy}x{gz}"
        ));
    }
    let [bx, by, bz] = launch.block;
    let threads = u64::from(bx) * u64::from(by) * u64::from(bz);
    let max = program.threads_max.min(1024);
    if threads == 0 || threads > max.into() || bz > 64 {
        return Err(format!("expected blocks of 1 to {max} threads, found {bx}x{by}x{bz}"));
    }
    if let Some(exact) = program.threads_exact
        && exact != launch.block
    {
        return Err(format!("expected blocks of {exact:?}, found {:?}", launch.block));
    }
    let shared = u64::from(program.shared_bytes) + u64::from(launch.dynamic_shared_bytes);
    let max = launch.chip.shared_max;
    if shared > max.into() {
        return Err(format!("expected at most {max} bytes of shared memory, found {shared}"));
    }
    if launch.params.len() as u64 != program.params_bytes.into() {
        let (expected, found) = (program.params_bytes, launch.params.len());
        return Err(format!("expected {expected} bytes of parameters, found {found}"));
    }
    Ok(())
}

/// Index of block `number` in the grid.
fn index(number: u64, [x, y, _]: [u32; 3]) -> [u32; 3] {
    let (x, y) = (u64::from(x), u64::from(y));
    [(number % x) as u32, (number / x % y) as u32, (number / x / y) as u32]
}

fn blocks(place: &Place) -> u64 {
    place.grid.iter().map(|&size| u64::from(size)).product()
}

/// Blocks that know nothing of one another.
fn spread(grid: Grid<'_>, place: Place, schedule: &Schedule) -> Result<Counts, Box<Fault>> {
    let total = blocks(&place);
    let cores = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let next = AtomicU64::new(0);
    let state = Mutex::new((Counts::default(), u64::MAX, None));
    let worker = || {
        let mut running = Running::new(grid.program, place);
        let mut tally = Tally::default();
        let fault = loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= total {
                break None;
            }
            running.start(grid, index(schedule.number(number), place.grid));
            if let Err(fault) = finish(&mut running, grid, &mut tally) {
                // Blocks before this one have all been started.
                next.store(total, Ordering::Relaxed);
                break Some((number, fault));
            }
        };
        let mut state = state.lock();
        state.0 += tally.counts;
        if let Some((number, fault)) = fault
            && number < state.1
        {
            (state.1, state.2) = (number, Some(fault));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..cores.min(2).min(total) {
            scope.spawn(worker);
        }
        worker();
    });
    let (counts, _, fault) = state.into_inner();
    fault.map_or(Ok(counts), Err)
}

fn finish(running: &mut Running, grid: Grid<'_>, tally: &mut Tally) -> Result<(), Box<Fault>> {
    while running.run(grid, tally)? != Rest::Done {}
    Ok(())
}

/// What blocks did that took turns, and a race between them.
type Talked = (Counts, Option<(u64, Writer)>);

/// Blocks that may wait for one another: in order, each until it only spins. Every other one that
/// uses an atomic lets the next begin before its own other warps go on: who is told too early
/// misses what they have yet to do. A seed mixes the order, and who lets whom go first.
fn take_turns(grid: Grid<'_>, place: Place, mut schedule: Schedule) -> Result<Talked, Box<Fault>> {
    let mut tally = Tally { counts: Counts::default(), told: Some(Told::default()) };
    let mut resident = VecDeque::new();
    let mut spare = Vec::new();
    let (mut next, total) = (0, blocks(&place));
    let mut most = RESIDENT;
    while next < total || !resident.is_empty() {
        if next < total && resident.len() < most {
            let mut running = spare.pop().unwrap_or_else(|| Running::new(grid.program, place));
            running.start(grid, index(schedule.number(next), place.grid));
            resident.push_front(running);
            next += 1;
        }
        let Some(mut running) = resident.pop_front() else { break };
        let rest = running.run(grid, &mut tally)?;
        let holds = schedule.choose(running.place.block.iter().sum::<u32>() % 2 == 1);
        most = match rest {
            Rest::Talked if holds => TALKING,
            Rest::Talked => 0,
            _ => RESIDENT,
        };
        match rest {
            Rest::Done => spare.push(running),
            Rest::Talked if schedule.choose(true) => resident.push_front(running),
            Rest::Spins | Rest::Talked => resident.push_back(running),
        }
    }
    let race = tally.told.and_then(|told| told.race);
    Ok((tally.counts, race))
}
