//! Which slots, places and groups are taken: the free lists of a device.
//!
//! A row has a slot from `admit` to `retire`, and a place for each of its tokens (an image has
//! one): there its vectors of the resident values lie, however long other rows run meanwhile.
//! Lists are handed out lowest first, so rows that come to an empty device lie packed.

use std::fmt;
use std::ops::Range;

use crate::{ArenaLayout, Error, Result, RowSlot};

/// The rows that one step takes through a segment: an index below [`ArenaLayout::groups_max`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupId(pub u32);

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "group {}", self.0)
    }
}

/// What a device could admit now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Free slots.
    pub rows: usize,
    /// Free places: tokens of texts, or images.
    pub places: usize,
    /// Groups that may come into being.
    pub groups: usize,
}

/// In place of a run that is not there.
const NONE: u32 = u32::MAX;

/// Neighbouring places of a row.
#[derive(Clone, Copy)]
struct Run {
    len: u32,
    /// The first place of the row's next run.
    next: u32,
}

/// Slots, places and groups.
#[derive(Default)]
pub(crate) struct Slots {
    free_slots: FreeList,
    free_places: FreeList,
    /// By slot: whether a row has it.
    is_taken: Vec<bool>,
    /// By slot: its first run of places.
    first_runs: Vec<u32>,
    /// By the first place of a run.
    runs: Vec<Run>,
    /// By group: its rows, in the order of their positions. Empty: the group is free.
    members: Vec<Vec<RowSlot>>,
    running: Option<GroupId>,
    /// Rows of the running group have one token each that is left.
    is_narrowed: bool,
}

impl Slots {
    /// Everything is free.
    pub(crate) fn new(layout: &ArenaLayout) -> Result<Self> {
        let rows = layout.rows_max;
        let places = layout.tokens_max;
        let groups = layout.groups_max.max(1);
        let members = (0..groups).map(|_| room(rows)).collect::<Result<_>>()?;
        Ok(Self {
            free_slots: FreeList::new(rows)?,
            free_places: FreeList::new(places)?,
            is_taken: filled(rows, false)?,
            first_runs: filled(rows, NONE)?,
            runs: filled(places, Run { len: 0, next: NONE })?,
            members,
            running: None,
            is_narrowed: false,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        let members: usize = self.members.iter().map(Vec::capacity).sum();
        let words = self.first_runs.len() + 2 * self.runs.len();
        4 * (words + members)
            + self.is_taken.len()
            + self.free_slots.bytes()
            + self.free_places.bytes()
    }

    /// What is free.
    pub(crate) fn room(&self) -> Room {
        let groups = self.members.iter().filter(|members| members.is_empty()).count();
        Room { rows: self.free_slots.count, places: self.free_places.count, groups }
    }

    /// The group that ops work on.
    pub(crate) fn running(&self) -> Option<GroupId> {
        self.running
    }

    /// The same, for what cannot be without one.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where nobody runs.
    pub(crate) fn require_running(&self) -> Result<GroupId> {
        self.running.ok_or_else(|| Error::mismatch("rows", "a group that runs", "none"))
    }

    /// Rows of a group in the order of their positions, those that have left included.
    pub(crate) fn members(&self, group: GroupId) -> &[RowSlot] {
        self.members.get(group.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Places of a row's tokens, in their order, as runs of neighbours.
    pub(crate) fn runs(&self, slot: RowSlot) -> impl Iterator<Item = Range<u32>> {
        let mut next = self.first_runs[slot.0 as usize];
        std::iter::from_fn(move || {
            let first = next;
            let run = self.runs.get(first as usize)?;
            next = run.next;
            Some(first..first + run.len)
        })
    }

    /// How many places a row has.
    pub(crate) fn count(&self, slot: RowSlot) -> usize {
        self.runs(slot).map(|run| run.len()).sum()
    }

    /// Gives slots and places to rows of so many tokens, as a group that runs from now on.
    ///
    /// # Errors
    /// [`Error::TooLarge`] where there is no room, [`Error::Mismatch`] where a group runs already.
    pub(crate) fn admit(
        &mut self,
        places: impl ExactSizeIterator<Item = usize> + Clone,
    ) -> Result<GroupId> {
        self.check_nobody_runs()?;
        let room = self.room();
        Error::check_fits("rows", places.len(), room.rows)?;
        Error::check_fits("tokens", places.clone().sum(), room.places)?;
        let group = self.free_group()?;
        for count in places {
            let slot = self.free_slots.take_run(1).start;
            self.is_taken[slot as usize] = true;
            self.first_runs[slot as usize] = self.take_places(count);
            self.members[group.0 as usize].push(RowSlot(slot));
        }
        self.running = (!self.members(group).is_empty()).then_some(group);
        self.is_narrowed = false;
        Ok(group)
    }

    fn free_group(&self) -> Result<GroupId> {
        let free = self.members.iter().position(Vec::is_empty);
        let reserved = self.members.len();
        let full = Error::TooLarge { what: "groups", found: reserved + 1, reserved };
        free.map(|index| GroupId(index as u32)).ok_or(full)
    }

    /// Links so many free places; gives the first.
    fn take_places(&mut self, count: usize) -> u32 {
        let mut first = NONE;
        let mut last = NONE;
        let mut missing = count as u32;
        while missing > 0 {
            let run = self.free_places.take_run(missing);
            missing -= run.end - run.start;
            self.runs[run.start as usize] = Run { len: run.end - run.start, next: NONE };
            match last {
                NONE => first = run.start,
                last => self.runs[last as usize].next = run.start,
            }
            last = run.start;
        }
        first
    }

    /// Nobody runs any more.
    pub(crate) fn park(&mut self) {
        self.running = None;
    }

    /// Tokens of the running group were dropped: their places hold nothing of use any more.
    pub(crate) fn narrow(&mut self) {
        self.is_narrowed = true;
    }

    /// Fails where no other group could run beside the running one, or that has lost tokens.
    pub(crate) fn check_park(&self) -> Result<()> {
        if self.is_narrowed {
            return Err(Error::mismatch("park", "rows with all their tokens", "narrowed rows"));
        }
        if self.members.len() < 2 {
            return Err(Error::mismatch("park", "room for more than one group", 1));
        }
        Ok(())
    }

    /// Fails unless `groups` are parked, each once, and nobody runs.
    pub(crate) fn check_gather(&self, groups: &[GroupId]) -> Result<()> {
        self.check_nobody_runs()?;
        if groups.is_empty() {
            return Err(Error::mismatch("gather", "a group", "none"));
        }
        for (index, &group) in groups.iter().enumerate() {
            if self.members(group).is_empty() || groups[..index].contains(&group) {
                return Err(Error::mismatch("gather", "groups that are parked", group));
            }
        }
        Ok(())
    }

    /// Rows of all `groups`, which were checked, become one group that runs: the first of them.
    pub(crate) fn gather(&mut self, groups: &[GroupId]) -> GroupId {
        let first = groups[0];
        for &group in &groups[1..] {
            let mut moved = std::mem::take(&mut self.members[group.0 as usize]);
            self.members[first.0 as usize].append(&mut moved);
            self.members[group.0 as usize] = moved;
        }
        self.running = Some(first);
        self.is_narrowed = false;
        first
    }

    /// Frees slots and places. A group without rows is free itself.
    ///
    /// # Errors
    /// [`Error::Mismatch`] for a slot that no row has; then none is free.
    pub(crate) fn retire(&mut self, slots: &[RowSlot]) -> Result<()> {
        let is_free =
            |slot: &&RowSlot| self.is_taken.get(slot.0 as usize).is_none_or(|taken| !taken);
        if let Some(slot) = slots.iter().find(is_free) {
            return Err(Error::mismatch("slot to retire", "one of a row", slot.0));
        }
        slots.iter().for_each(|&slot| self.free(slot));
        self.forget_freed();
        Ok(())
    }

    /// Frees everything.
    pub(crate) fn clear(&mut self) {
        for group in 0..self.members.len() {
            while let Some(slot) = self.members[group].pop() {
                self.free(slot);
            }
        }
        self.running = None;
    }

    fn free(&mut self, slot: RowSlot) {
        if !std::mem::take(&mut self.is_taken[slot.0 as usize]) {
            return;
        }
        let mut first = std::mem::replace(&mut self.first_runs[slot.0 as usize], NONE);
        while first != NONE {
            let run = self.runs[first as usize];
            self.free_places.give_run(first..first + run.len);
            first = run.next;
        }
        self.free_slots.give_run(slot.0..slot.0 + 1);
    }

    /// Members that are free leave their groups.
    fn forget_freed(&mut self) {
        let Self { members, is_taken, .. } = self;
        for members in members {
            members.retain(|slot| is_taken[slot.0 as usize]);
        }
        self.running = self.running.filter(|&group| !self.members(group).is_empty());
    }

    fn check_nobody_runs(&self) -> Result<()> {
        match self.running {
            Some(group) => Err(Error::mismatch(
                "groups that run",
                "none: park or end the one that does",
                group,
            )),
            None => Ok(()),
        }
    }
}

/// For devices whose rows lie by place.
#[cfg(any(test, feature = "cuda"))]
impl Slots {
    /// Whether no row is there.
    pub(crate) fn are_free(&self) -> bool {
        self.free_slots.count == self.is_taken.len()
    }

    /// Whether the places of all rows of a group are 0, 1, 2 and so on.
    pub(crate) fn are_packed(&self, group: GroupId) -> bool {
        let mut end = 0;
        self.members(group).iter().flat_map(|&slot| self.runs(slot)).all(|run| {
            let follows = run.start == end;
            end = run.end;
            follows
        })
    }
}

#[cfg(feature = "cuda")]
impl Slots {
    /// Rows of the running group.
    pub(crate) fn running_members(&self) -> &[RowSlot] {
        self.running.map_or(&[], |group| self.members(group))
    }

    /// Places of all rows of a group, one row after the other.
    pub(crate) fn places(&self, group: GroupId) -> impl Iterator<Item = u32> {
        self.members(group).iter().flat_map(|&slot| self.runs(slot)).flatten()
    }
}

/// Bits of a word.
const BITS: u32 = u64::BITS;

/// Numbers below a limit that nobody has, as bits.
#[derive(Default)]
struct FreeList {
    words: Vec<u64>,
    /// No word before this one has a bit.
    first: usize,
    count: usize,
}

impl FreeList {
    fn new(count: usize) -> Result<Self> {
        let words = filled(count.div_ceil(BITS as usize), 0)?;
        let mut list = Self { words, first: 0, count: 0 };
        list.give_run(0..count as u32);
        Ok(list)
    }

    fn bytes(&self) -> usize {
        size_of_val(self.words.as_slice())
    }

    /// The lowest one, there is one, and up to `most` of those that follow it without a gap.
    fn take_run(&mut self, most: u32) -> Range<u32> {
        while self.words[self.first] == 0 {
            self.first += 1;
        }
        let start = self.first as u32 * BITS + self.words[self.first].trailing_zeros();
        let mut end = start;
        while end - start < most && (end as usize) < self.words.len() * BITS as usize {
            let word = &mut self.words[(end / BITS) as usize];
            let free = (*word >> (end % BITS)).trailing_ones();
            let taken = free.min(most - (end - start));
            if taken == 0 {
                break;
            }
            *word &= !bits(end % BITS, taken);
            end += taken;
            if !end.is_multiple_of(BITS) {
                break;
            }
        }
        self.count -= (end - start) as usize;
        start..end
    }

    fn give_run(&mut self, run: Range<u32>) {
        self.first = self.first.min((run.start / BITS) as usize);
        self.count += run.len();
        let mut at = run.start;
        while at < run.end {
            let given = (run.end - at).min(BITS - at % BITS);
            self.words[(at / BITS) as usize] |= bits(at % BITS, given);
            at += given;
        }
    }
}

/// So many bits from one on.
fn bits(from: u32, count: u32) -> u64 {
    (u64::MAX >> (BITS - count)) << from
}

/// An empty vector with room for `count`.
pub(crate) fn room<T>(count: usize) -> Result<Vec<T>> {
    let mut vec = Vec::new();
    let bytes = count.saturating_mul(size_of::<T>());
    vec.try_reserve_exact(count).map_err(|_| Error::OutOfMemory { what: "rows", bytes })?;
    Ok(vec)
}

fn filled<T: Copy>(count: usize, value: T) -> Result<Vec<T>> {
    let mut vec = room(count)?;
    vec.resize(count, value);
    Ok(vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> ArenaLayout {
        ArenaLayout { rows_max: 4, tokens_max: 10, groups_max: 3, ..ArenaLayout::default() }
    }

    fn slots() -> Slots {
        Slots::new(&layout()).expect("room")
    }

    fn places(slots: &Slots, slot: u32) -> Vec<u32> {
        slots.runs(RowSlot(slot)).flatten().collect()
    }

    #[test]
    fn rows_of_an_empty_device_lie_packed() {
        let mut slots = slots();
        let group = slots.admit([3, 2].into_iter()).expect("room");
        assert_eq!(slots.members(group), [RowSlot(0), RowSlot(1)]);
        assert_eq!((places(&slots, 0), places(&slots, 1)), (vec![0, 1, 2], vec![3, 4]));
        assert_eq!(slots.room(), Room { rows: 2, places: 5, groups: 2 });
    }

    #[test]
    fn what_is_retired_is_handed_out_again() {
        let mut slots = slots();
        slots.admit([3, 2].into_iter()).expect("room");
        slots.retire(&[RowSlot(0)]).expect("a row");
        let first = slots.running().expect("a group");
        slots.park();
        let second = slots.admit([4].into_iter()).expect("room");
        assert_ne!(first, second);
        assert_eq!(slots.members(second), [RowSlot(0)]);
        assert_eq!(places(&slots, 0), [0, 1, 2, 5]);
        slots.retire(&[RowSlot(0)]).expect("a row");
        assert_eq!(slots.running(), None);
        slots.retire(&[RowSlot(1)]).expect("a row");
        assert!(slots.are_free());
        assert_eq!(slots.room(), Room { rows: 4, places: 10, groups: 3 });
    }

    #[test]
    fn groups_come_together_in_the_order_given() {
        let mut slots = slots();
        let first = slots.admit([1, 1].into_iter()).expect("room");
        slots.park();
        let second = slots.admit([1].into_iter()).expect("room");
        slots.park();
        slots.check_gather(&[second, first]).expect("parked");
        assert_eq!(slots.gather(&[second, first]), second);
        assert_eq!(slots.members(second), [RowSlot(2), RowSlot(0), RowSlot(1)]);
        assert_eq!(slots.room().groups, 2);
    }

    #[test]
    fn long_rows_take_runs_across_words() {
        let layout = ArenaLayout { tokens_max: 300, ..layout() };
        let mut slots = Slots::new(&layout).expect("room");
        let group = slots.admit([100, 1, 100].into_iter()).expect("room");
        assert!(slots.are_packed(group));
        slots.retire(&[RowSlot(1)]).expect("a row");
        slots.park();
        let other = slots.admit([99].into_iter()).expect("room");
        let runs: Vec<_> = slots.runs(RowSlot(1)).collect();
        assert_eq!((runs, slots.count(RowSlot(1))), (vec![100..101, 201..299], 99));
        assert!(!slots.are_packed(other) && !slots.are_packed(group));
        slots.clear();
        let all = slots.admit([300].into_iter()).expect("room");
        assert!(slots.are_packed(all) && slots.room().places == 0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut slots = slots();
        assert!(matches!(slots.admit([11].into_iter()), Err(Error::TooLarge { .. })));
        assert!(matches!(slots.admit([1; 5].into_iter()), Err(Error::TooLarge { .. })));
        assert!(slots.check_gather(&[]).is_err() && slots.check_gather(&[GroupId(0)]).is_err());
        slots.admit([1].into_iter()).expect("room");
        assert!(slots.admit([1].into_iter()).is_err(), "one runs");
        assert!(slots.retire(&[RowSlot(1)]).is_err() && slots.retire(&[RowSlot(9)]).is_err());
        slots.clear();
        assert!(slots.are_free());
    }
}
