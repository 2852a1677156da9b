//! `compact` and `narrow`: only numbers, so they must be right to the bit.

use offramp_ptxsim::Kernel;

use crate::world::Arg::P;
use crate::world::{Elem, Flaw, World, same};

/// What is alive, on the host and in memory.
struct Rows {
    slots: Vec<u32>,
    offsets: Vec<u32>,
    origin: Vec<u32>,
    local: Vec<u32>,
    /// live, offsets, slots, origin, local.
    at: [u64; 5],
}

impl Rows {
    fn new(world: &mut World, rows: usize) -> Self {
        let lens: Vec<u32> = (0..rows).map(|_| world.random.u32(1..4)).collect();
        let sum = |sum: &mut u32, len: &u32| {
            *sum += len;
            Some(*sum)
        };
        let offsets: Vec<u32> = std::iter::once(0).chain(lens.iter().scan(0, sum)).collect();
        let tokens = offsets[rows] as usize;
        let (slots, slots_at) = world.map(rows, rows + 7);
        let (origin, origin_at) = world.map(tokens, tokens + 5);
        let (local, local_at) = world.map(tokens, tokens + 3);
        let [live, offsets_at] =
            [world.words(&[rows as u32, tokens as u32]), world.words(&offsets)];
        Self {
            slots,
            offsets,
            origin,
            local,
            at: [live, offsets_at, slots_at, origin_at, local_at],
        }
    }

    /// Where a kernel puts what it leaves alive.
    fn room(&self, world: &World) -> [u64; 5] {
        let (rows, tokens) = (self.slots.len(), self.origin.len());
        [2, rows + 1, rows, tokens, tokens].map(|words| world.words(&vec![!0; words]))
    }

    /// Fails unless `at` holds these rows, each with its first `len` tokens.
    fn check(&self, world: &World, at: [u64; 5], kept: &[(usize, u32)]) -> Result<(), Flaw> {
        let tokens: Vec<usize> = kept
            .iter()
            .flat_map(|&(row, len)| {
                (self.offsets[row]..self.offsets[row] + len).map(|t| t as usize)
            })
            .collect();
        let mut offsets = vec![0];
        offsets.extend(kept.iter().scan(0, |sum, &(_, len)| {
            *sum += len;
            Some(*sum)
        }));
        let slots: Vec<u32> = kept.iter().map(|&(row, _)| self.slots[row]).collect();
        let mapped = |map: &[u32]| tokens.iter().map(|&token| map[token]).collect::<Vec<u32>>();
        let live = vec![kept.len() as u32, tokens.len() as u32];
        let expected = [live, offsets, slots, mapped(&self.origin), mapped(&self.local)];
        let rooms = self.room_words();
        for ((at, mut expected), room) in at.into_iter().zip(expected).zip(rooms) {
            // Nothing is written past the end.
            expected.resize(room, !0);
            same("numbers", &world.read_words(at, room), &expected)?;
        }
        Ok(())
    }

    fn room_words(&self) -> [usize; 5] {
        let (rows, tokens) = (self.slots.len(), self.origin.len());
        [2, rows + 1, rows, tokens, tokens]
    }
}

pub(crate) fn compact(kernel: &Kernel, _: Elem) -> Result<(), Flaw> {
    for rows in [1100, 40] {
        let mut world = World::new();
        let alive = Rows::new(&mut world, rows);
        // Answered, stays, and four numbers that do not matter, by slot.
        let states: Vec<[u32; 6]> = (0..rows as u32 + 7)
            .map(|s| [u32::from(s % 3 > 0), u32::from(s % 5 == 0), 0, 0, 0, 0])
            .collect();
        let [live, offsets, slots, origin, local] = alive.at;
        let to = alive.room(&world);
        let mut args =
            [world.words(states.as_flattened()), live, offsets, slots, origin, local].to_vec();
        args.extend(to);
        let args: Vec<_> = args.into_iter().map(P).collect();
        world.launch(kernel, [[1; 3], [1024, 1, 1]], 0, &args)?;
        let kept: Vec<(usize, u32)> = (0..rows)
            .filter(|&row| {
                let [answered, stays, ..] = states[alive.slots[row] as usize];
                answered == 0 || stays != 0
            })
            .map(|row| (row, alive.offsets[row + 1] - alive.offsets[row]))
            .collect();
        alive.check(&world, to, &kept)?;
    }
    Ok(())
}

pub(crate) fn narrow(kernel: &Kernel, _: Elem) -> Result<(), Flaw> {
    let rows = 300;
    let mut world = World::new();
    let alive = Rows::new(&mut world, rows);
    let to = alive.room(&world);
    let args: Vec<_> = alive.at.into_iter().chain(to).map(P).collect();
    // The launch believes in more rows.
    world.launch(kernel, [[3, 1, 1], [256, 1, 1]], 0, &args)?;
    let kept: Vec<(usize, u32)> = (0..rows).map(|row| (row, 1)).collect();
    alive.check(&world, to, &kept)
}
