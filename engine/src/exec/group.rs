//! Rows on their way through the segments together.

use std::time::Instant;

use offramp_kernels::{GroupId, LiveBound, RowSlot};

use super::answer::PassReport;
use super::course::Course;
use super::{Packing, PassSettings};
use crate::clock;
use crate::exit::AfterExit;
use crate::plan::Plan;
use crate::rows::RowMap;

/// Rows that take each step together: [`Engine::admit`](crate::Engine::admit) makes it,
/// [`Engine::finish`](crate::Engine::finish) ends it. One that is dropped instead keeps its slots
/// until the engine goes: see [`Engine::cancel`](crate::Engine::cancel).
#[derive(Debug)]
#[must_use = "its rows keep their slots until the engine finishes or cancels it"]
pub struct Group {
    pub(super) id: GroupId,
    /// All its rows, by their order in their batches; gathered ones behind each other.
    pub(super) members: Vec<RowSlot>,
    /// The rows alive, as far as the host knows.
    pub(super) rows: RowMap,
    /// By ramp: whether it runs.
    pub(super) active: Vec<bool>,
    pub(super) version: u64,
    pub(super) after_exit: AfterExit,
    pub(super) packing: Packing,
    pub(super) course: Course,
    /// The segment that runs next.
    pub(super) next: usize,
    pub(super) is_parked: bool,
    pub(super) report: PassReport,
    pub(super) started: Instant,
}

impl Group {
    /// Room for as many rows as the plan has.
    pub(super) fn with_capacity(plan: &Plan) -> Self {
        let rows = plan.layout.rows_max;
        Self {
            id: GroupId(0),
            members: Vec::with_capacity(rows),
            rows: RowMap::with_capacity(rows),
            active: Vec::with_capacity(plan.ramps()),
            version: 0,
            after_exit: AfterExit::Compact,
            packing: Packing::Auto,
            course: Course::with_capacity(plan.ramps()),
            next: 0,
            is_parked: false,
            report: PassReport::default(),
            started: clock::now(),
        }
    }

    /// Starts over, without rows.
    pub(super) fn begin(&mut self, settings: &PassSettings<'_>) {
        self.members.clear();
        self.rows.clear();
        self.active.clone_from(&settings.exits.active);
        self.version = settings.exits.version;
        self.after_exit = settings.after_exit;
        self.packing = settings.packing;
        self.course.clear();
        self.next = 0;
        self.is_parked = false;
        self.report = PassReport::default();
    }

    /// The slots of its rows, in the order in which they came.
    pub fn slots(&self) -> &[RowSlot] {
        &self.members
    }

    /// The site that its rows have reached; `None` before the first segment.
    pub fn site(&self) -> Option<usize> {
        self.next.checked_sub(1)
    }

    /// Whether it is parked.
    pub fn is_parked(&self) -> bool {
        self.is_parked
    }

    /// What is alive in it at most.
    pub fn bound(&self) -> LiveBound {
        self.rows.bound()
    }

    /// Takes over the rows of another one at the same site.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.members.extend_from_slice(&other.members);
        self.rows.append(&other.rows);
        self.report.absorb(&other.report);
    }
}
