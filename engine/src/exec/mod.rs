//! Runs batches through a plan.

mod ahead;
mod answer;
mod audit;
mod compact;
mod course;
mod end;
mod facts;
mod group;
mod measure;
mod pace;
mod pass;
mod records;
mod slots;
mod step;

use offramp_kernels::{
    Admission, Decision, Device, ExitId, ExitWindow, GroupId, Room, RowInput, RowSlot,
};
use offramp_weights::ModelSpec;

pub use answer::{Answer, Exit, Observation, PassReport, Seen, Sink};
pub use group::Group;
pub use measure::{SegmentTime, Shape};

use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::exit::{AfterExit, Exits};
use crate::model::{Model, bind};
use crate::plan::{Plan, RampShape, check, lower};
use crate::rules::{Limits, RowRules};
use ahead::Ahead;
use audit::Audit;
use compact::{LeaveRates, SegmentCosts};
use group::EngineId;
use records::Records;
use slots::SlotFacts;

/// How to start an engine.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Most rows and tokens there at once: the largest batch, and whatever is parked.
    pub limits: Limits,
    /// Most groups there at once, at most as many as rows. With one, batches run one after the
    /// other.
    pub groups_max: usize,
    /// Where to run.
    pub device: crate::DeviceChoice,
    /// Worker threads of the CPU device; 0 takes one per core.
    pub threads: usize,
    /// How a GPU stores numbers.
    pub precision: crate::Precision,
    /// Seed of the audit draw.
    pub seed: u64,
    /// How far apart the sigmoids of two numbers may be that count as the same answer, above 0 and
    /// below 1. Without one it is that of the model's thresholds, or else
    /// [`Decision::TOLERANCE`]. Only for models that give a number.
    pub tolerance: Option<f32>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            groups_max: 1,
            device: crate::DeviceChoice::Auto,
            threads: 0,
            precision: crate::Precision::default(),
            seed: 0x0ff_7a3b,
            tolerance: None,
        }
    }
}

impl EngineOptions {
    fn check(&self) -> Result<()> {
        self.limits.check()?;
        let Limits { rows_max, .. } = self.limits;
        if self.groups_max > rows_max {
            let groups = self.groups_max;
            return Err(Error::Options(format!(
                "groups_max: expected at most {rows_max}, a row for each, found {groups}"
            )));
        }
        Ok(())
    }
}

/// When rows are packed behind a ramp at which some leave. Changes no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Packing {
    /// Where it saves more than it costs, by what was measured on this device.
    #[default]
    Auto,
    /// Behind every active ramp: to measure what packing costs.
    Always,
    /// Never, so that those who left are computed to the end: to measure what packing saves.
    Never,
}

/// What holds for one pass, or one group.
#[derive(Clone, Copy, Debug)]
pub struct PassSettings<'a> {
    /// The threshold snapshot.
    pub exits: &'a Exits,
    /// What becomes of answered rows.
    pub after_exit: AfterExit,
    /// Under [`AfterExit::Compact`]: the share of rows that run to the end whatever they answer,
    /// a fair sample of all.
    pub audit_rate: f64,
    /// By row: where it may leave. Empty: wherever the thresholds say.
    pub windows: &'a [ExitWindow],
    /// By row: whether it runs to the end whatever it answers, drawn or not. Empty: none.
    pub stays: &'a [bool],
    /// Under [`AfterExit::Compact`]: when rows are packed.
    pub packing: Packing,
    /// The batch that will run next, where it is known already: a GPU takes its images over while
    /// this pass runs. Whatever runs next gets its own answers.
    pub next: Option<&'a Batch>,
}

impl<'a> PassSettings<'a> {
    /// No audits, no wishes of single rows, nothing known of the next batch.
    pub fn new(exits: &'a Exits, after_exit: AfterExit) -> Self {
        Self {
            exits,
            after_exit,
            audit_rate: 0.0,
            windows: &[],
            stays: &[],
            packing: Packing::Auto,
            next: None,
        }
    }

    fn check_stays(&self, batch: &Batch) -> Result<()> {
        let found = self.stays.len();
        let rows = batch.rows();
        if found == 0 || found == rows {
            return Ok(());
        }
        let message =
            format!("stays: expected one for each of {rows} rows, or none, found {found}");
        Err(Error::Options(message))
    }

    /// What a device is told of rows that come, `stays` by row.
    fn admission<'b>(&self, input: RowInput<'b>, stays: &'b [bool]) -> Admission<'b>
    where
        'a: 'b,
    {
        Admission {
            input,
            stays,
            windows: self.windows,
            score: self.exits.score,
            thresholds: &self.exits.thresholds,
        }
    }
}

/// A model on a device, ready to run batches. One thread owns it.
pub struct Engine {
    id: EngineId,
    device: Box<dyn Device>,
    spec: ModelSpec,
    plan: Plan,
    rules: RowRules,
    limits: Limits,
    slots: SlotFacts,
    audit: Audit,
    costs: SegmentCosts,
    rates: LeaveRates,
    ahead: Ahead,
    records: Records,
    /// Groups that were admitted so far.
    admitted: u64,
    /// Groups without rows, to be used again.
    spares: Vec<Group>,
    /// The groups that are being gathered.
    ids: Vec<GroupId>,
    /// Rows of the group that runs to its end in the present call.
    left_over: Vec<RowSlot>,
}

impl Engine {
    /// Compiles the model with its own ramps, reserves memory, loads weights, and measures what
    /// each segment costs here.
    ///
    /// # Errors
    /// Weights that do not fit the spec or are not finite; a device without room.
    pub fn new(model: &Model, options: &EngineOptions) -> Result<Self> {
        Self::with_ramps(model, &model.ramp_shapes(), options)
    }

    /// As [`new`](Self::new), with other ramps: headless ones watch the features of a site.
    ///
    /// # Errors
    /// As [`new`](Self::new); a ramp that the model has no site for.
    pub fn with_ramps(model: &Model, ramps: &[RampShape], options: &EngineOptions) -> Result<Self> {
        let device = crate::device::open(options.device, options.threads, options.precision)?;
        Self::on(device, model, ramps, options)
    }

    /// As [`new`](Self::new), on a device of the caller's: one that runs ops in its own way, or
    /// wraps another to watch it or to let it fail. What `options` say of devices does not matter.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_device(
        device: impl Device + 'static,
        model: &Model,
        options: &EngineOptions,
    ) -> Result<Self> {
        Self::on(Box::new(device), model, &model.ramp_shapes(), options)
    }

    fn on(
        mut device: Box<dyn Device>,
        model: &Model,
        ramps: &[RampShape],
        options: &EngineOptions,
    ) -> Result<Self> {
        options.check()?;
        let mut plan = lower(model.spec(), ramps, options.limits, device.preferences())
            .map_err(Error::Options)?;
        if let Decision::Value { tolerance } = model.decision(options.tolerance)? {
            plan.tolerate(tolerance);
        }
        plan.layout.groups_max = options.groups_max;
        check(&plan).map_err(Error::Options)?;
        device.reserve(&plan.layout)?;
        bind(&plan, model, device.as_mut())?;
        let id = EngineId::new();
        let group = |_| Group::with_capacity(&plan);
        let rules = RowRules::of(model.spec()).within(options.limits);
        let mut engine = Self {
            id,
            slots: SlotFacts::new(&plan),
            records: Records::new(&plan),
            admitted: 0,
            spares: (0..options.groups_max.max(1)).map(group).collect(),
            ids: Vec::with_capacity(options.groups_max),
            left_over: Vec::with_capacity(plan.layout.rows_max),
            audit: Audit::new(options.seed, options.limits.rows_max),
            costs: SegmentCosts::counted(&plan),
            rates: LeaveRates::new(plan.ramps()),
            ahead: Ahead::default(),
            limits: rules.limits(options.limits),
            spec: model.spec().clone(),
            rules,
            device,
            plan,
        };
        engine.warm_up()?;
        Ok(engine)
    }

    /// An empty batch of the right size for this engine.
    pub fn batch(&self) -> Batch {
        Batch::new(self.rules.clone(), self.limits)
    }

    /// What its answers are, and when two of them are the same.
    pub fn decision(&self) -> Decision {
        self.plan.decision()
    }

    /// The configuration of the model that it was compiled from.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The program it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether passes from now on report what they took by the device's own clock, where it has
    /// one: [`PassReport::device_elapsed`]. Costs the host a few calls a pass.
    ///
    /// # Errors
    /// The device failed.
    pub fn time_passes(&mut self, is_timed: bool) -> Result<()> {
        Ok(self.device.time_passes(is_timed)?)
    }

    /// How large its batches may be, in rows and in what tokens those have.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// What it demands of a row.
    pub fn rules(&self) -> &RowRules {
        &self.rules
    }

    /// The device, for people.
    pub fn device_name(&self) -> String {
        self.device.name()
    }

    /// Whether the device is a GPU.
    pub fn is_on_gpu(&self) -> bool {
        self.device.runs_behind()
    }

    /// Whether [`PassSettings::next`] makes it faster: images, on a GPU.
    pub fn gains_from_next(&self) -> bool {
        self.device.runs_behind() && matches!(self.rules, RowRules::Image(_))
    }

    /// Bytes the device reserved, weights included.
    pub fn reserved_bytes(&self) -> usize {
        self.device.reserved_bytes()
    }

    /// What there is room for beside the rows that are there. Those that a sink left by a panic are
    /// there until the next call about a group.
    pub fn room(&self) -> Room {
        self.device.room()
    }

    /// What an exit gave out for a row that reached it: logits, or the features of a headless ramp.
    /// Can be read until another row has its slot.
    pub fn logits(&self, exit: usize, slot: RowSlot) -> &[f32] {
        self.device.logits(ExitId(exit as u32), slot)
    }
}
