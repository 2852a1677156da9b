//! Rows on their way through the segments together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use offramp_kernels::{GroupId, LiveBound, RowSlot};

use super::answer::PassReport;
use super::course::Course;
use super::{Engine, Packing, PassSettings};
use crate::clock;
use crate::error::{Error, Result};
use crate::exit::{AfterExit, Exits};
use crate::plan::Plan;
use crate::rows::RowMap;

/// Tells apart the engines of this process, and what an engine was before it was cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EngineId(u64);

impl EngineId {
    pub(super) fn new() -> Self {
        static ENGINES: AtomicU64 = AtomicU64::new(0);
        Self(ENGINES.fetch_add(1, Ordering::Relaxed))
    }
}

/// Rows that take each step together: [`Engine::admit`](crate::Engine::admit) makes it,
/// [`Engine::finish`](crate::Engine::finish) or [`cancel`](crate::Engine::cancel) ends it. One that
/// is dropped instead keeps its slots, and where it ran no other group can, until
/// [`Engine::clear`](crate::Engine::clear).
#[derive(Debug)]
#[must_use = "its rows keep their slots until the engine finishes or cancels it"]
pub struct Group {
    /// Who admitted it; nobody while it is spare.
    engine: Option<EngineId>,
    /// Its name on the device.
    pub(super) id: GroupId,
    /// How many groups the engine had admitted before: no other group's, on a device or not.
    pub(super) number: u64,
    /// All its rows, by their order in their batches; gathered ones behind each other.
    pub(super) members: Vec<RowSlot>,
    /// The rows alive, as far as the host knows.
    pub(super) rows: RowMap,
    /// The snapshot that its rows meet.
    pub(super) exits: Exits,
    pub(super) after_exit: AfterExit,
    pub(super) packing: Packing,
    pub(super) course: Course,
    /// The segment that runs next.
    pub(super) next: usize,
    pub(super) is_parked: bool,
    pub(super) report: PassReport,
    /// When the first of its rows came.
    pub(super) started: Instant,
}

impl Group {
    /// Room for as many rows as the plan has.
    pub(super) fn with_capacity(plan: &Plan) -> Self {
        let rows = plan.layout.rows_max;
        Self {
            engine: None,
            id: GroupId(0),
            number: 0,
            members: Vec::with_capacity(rows),
            rows: RowMap::with_capacity(rows),
            exits: Exits::off(plan),
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
    pub(super) fn begin(&mut self, engine: EngineId, number: u64, settings: &PassSettings<'_>) {
        self.engine = Some(engine);
        self.number = number;
        self.members.clear();
        self.rows.clear();
        self.exits.clone_from(settings.exits);
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

    /// Whether [`Engine::gather`](crate::Engine::gather) joins both: they are parked at one site,
    /// and their rows meet one snapshot of thresholds.
    pub fn may_join(&self, other: &Self) -> bool {
        let are_parked = self.is_parked && other.is_parked;
        are_parked && self.next == other.next && self.exits == other.exits
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
        self.started = self.started.min(other.started);
    }
}

impl Engine {
    /// Fails for a group of another engine, or from before it was cleared: here its slots are those
    /// of other rows.
    pub(super) fn check_own(&self, group: &Group) -> Result<()> {
        if group.engine != Some(self.id) {
            return Err(Error::Options(
                "the group was admitted by another engine, or before this one was cleared"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}
