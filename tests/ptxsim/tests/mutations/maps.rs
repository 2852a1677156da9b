//! `compact` and `narrow`: only numbers, so they must be right to the bit.

use offramp_ptxsim::Kernel;

use crate::world::Arg::{P, U};
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

    /// Where a kernel puts what it leaves alive, behind so many rows and tokens that are there.
    fn room(&self, world: &World, before: [u32; 2]) -> [u64; 5] {
        let mut room = self.room_words(before).map(|words| vec![!0; words]);
        room[0] = before.to_vec();
        room.map(|words| world.words(&words))
    }

    /// Fails unless `at` holds these rows, each with its first `len` tokens, behind those that were
    /// there.
    fn check(
        &self,
        world: &World,
        at: [u64; 5],
        before: [u32; 2],
        kept: &[(usize, u32)],
    ) -> Result<(), Flaw> {
        let tokens: Vec<usize> = kept
            .iter()
            .flat_map(|&(row, len)| {
                (self.offsets[row]..self.offsets[row] + len).map(|t| t as usize)
            })
            .collect();
        let mut offsets = vec![before[1]];
        offsets.extend(kept.iter().scan(before[1], |sum, &(_, len)| {
            *sum += len;
            Some(*sum)
        }));
        let slots: Vec<u32> = kept.iter().map(|&(row, _)| self.slots[row]).collect();
        let mapped = |map: &[u32]| tokens.iter().map(|&token| map[token]).collect::<Vec<u32>>();
        let live = vec![before[0] + kept.len() as u32, before[1] + tokens.len() as u32];
        let expected = [live, offsets, slots, mapped(&self.origin), mapped(&self.local)];
        let rooms = self.room_words(before);
        let untouched = [0, before[0], before[0], before[1], before[1]];
        for (((at, found), room), untouched) in
            at.into_iter().zip(expected).zip(rooms).zip(untouched)
        {
            // Nothing is written of what was there, nor past the end.
            let mut expected = vec![!0; untouched as usize];
            expected.extend(found);
            expected.resize(room, !0);
            same("numbers", &world.read_words(at, room), &expected)?;
        }
        Ok(())
    }

    fn room_words(&self, before: [u32; 2]) -> [usize; 5] {
        let rows = before[0] as usize + self.slots.len();
        let tokens = before[1] as usize + self.origin.len();
        [2, rows + 1, rows, tokens, tokens]
    }
}

pub(crate) fn compact(kernel: &Kernel, _: Elem) -> Result<(), Flaw> {
    // Alone, and behind rows that are there.
    for (rows, before) in [(1100, [0, 0]), (40, [0, 0]), (1100, [3, 7]), (0, [3, 7])] {
        let mut world = World::new();
        let alive = Rows::new(&mut world, rows);
        // Answered, stays, and five numbers that do not matter, by slot.
        let states: Vec<[u32; 7]> = (0..rows as u32 + 7)
            .map(|s| [u32::from(s % 3 > 0), u32::from(s % 5 == 0), 0, 0, 0, 0, 0])
            .collect();
        let to = alive.room(&world, before);
        let mut args: Vec<_> = alive.at.into_iter().chain(to).map(P).collect();
        args.push(P(world.words(states.as_flattened())));
        args.push(U(u32::from(before != [0, 0])));
        world.launch(kernel, [[1; 3], [1024, 1, 1]], 0, &args)?;
        let kept: Vec<(usize, u32)> = (0..rows)
            .filter(|&row| {
                let [answered, stays, ..] = states[alive.slots[row] as usize];
                answered == 0 || stays != 0
            })
            .map(|row| (row, alive.offsets[row + 1] - alive.offsets[row]))
            .collect();
        alive.check(&world, to, before, &kept)?;
    }
    Ok(())
}

pub(crate) fn narrow(kernel: &Kernel, _: Elem) -> Result<(), Flaw> {
    let rows = 300;
    let mut world = World::new();
    let alive = Rows::new(&mut world, rows);
    let to = alive.room(&world, [0, 0]);
    let args: Vec<_> = alive.at.into_iter().chain(to).map(P).collect();
    // The launch believes in more rows.
    world.launch(kernel, [[3, 1, 1], [256, 1, 1]], 0, &args)?;
    let kept: Vec<(usize, u32)> = (0..rows).map(|row| (row, 1)).collect();
    alive.check(&world, to, [0, 0], &kept)
}
