//! `offramp serve`: a model behind a TCP port.

mod life;
mod told;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use offramp::model::files;
use offramp::{Engine, EngineOptions, Exits, Limits, Model};
use offramp_serve::{Exiting, Ports, ServeOptions, Served, Server, ServiceOptions, SessionLimits};
use offramp_tune::sched::Policy;

use crate::adapt::AdaptArgs;
use crate::address::Listen;
use crate::args::{
    AFTER_EXIT, AfterExitArg, EngineArgs, ExitArgs, ExitsSwitch, ModelArg, count, seconds, share,
    switch,
};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::given::{Given, Rule};
use crate::log::{self, LogArgs};
use crate::needless;
use crate::open::ExitPlan;
use crate::{open, record};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp serve --model DIR
  offramp serve --model DIR --adapt --http 127.0.0.1:7071
  offramp serve --model DIR --schedule window --delay-us 2000 --batch 64
  offramp serve --config serve.toml --dry-run

A file for --config has the flags without their dashes, one `key = value` a line:
  model = \"DIR\"
  adapt = true
  queue_max = 4096

Addresses: 127.0.0.1:7070, localhost:7070, or :7070 for every address of this machine. Ports are
taken before the model is loaded, and open to clients once it is warm.

Signals: TERM and INT answer what was accepted and end, a second one ends at once; HUP loads ramps
and thresholds again. Where the model's own files have changed (configuration, weights, tokenizer)
that is refused by name, and the old ones stay: another model takes another server.

The log, on standard error, is best effort: lines that nobody reads are dropped and counted.

Exit codes: 0 ended well, 1 failure, 2 bad options, 3 a device that failed or cannot be used.";

/// Files besides connections: the model, sockets, logs.
const FILES: u64 = 256;
/// With fewer files a server has not even what it opens for itself.
const FILES_MIN: u64 = 24;

/// Flags of `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Address and port of the protocol; port 0 takes a free one
    #[arg(
        long,
        value_name = "HOST:PORT",
        default_value = "127.0.0.1:7070",
        env = "OFFRAMP_LISTEN"
    )]
    listen: Listen,
    /// Address and port of /healthz, /readyz and /metrics [default: none]
    #[arg(long, value_name = "HOST:PORT", env = "OFFRAMP_HTTP")]
    http: Option<Listen>,
    /// When a batch runs
    #[arg(long, value_enum, default_value = "deadline", env = "OFFRAMP_SCHEDULE")]
    schedule: Schedule,
    /// Longest wait for company under --schedule window, microseconds
    #[arg(long, value_name = "N", default_value = "2000", env = "OFFRAMP_DELAY_US")]
    delay_us: u64,
    /// Judge deadlines by passes as early exits shorten them; without, as if every row ran to the
    /// end: a deadline is then refused (`deadline_expired`) at loads that exits would carry
    #[arg(long, env = "OFFRAMP_COUNT_EXITS", value_parser = switch())]
    count_exits: bool,
    /// Requests that may wait; beyond, they are refused
    #[arg(long, value_name = "N", default_value = "1024", env = "OFFRAMP_QUEUE_MAX",
          value_parser = count())]
    queue_max: usize,
    /// Connections at a time; beyond, they wait to be accepted
    #[arg(long, value_name = "N", default_value = "10000", env = "OFFRAMP_CONNECTIONS_MAX",
          value_parser = count())]
    connections_max: usize,
    /// What is left of a deadline for the way back to the client, microseconds
    #[arg(long, value_name = "N", default_value = "1000", env = "OFFRAMP_MARGIN_US")]
    margin_us: u64,
    /// Requests of one connection at a time; beyond, those with a deadline are refused, others wait
    #[arg(long, value_name = "N", default_value = "256", env = "OFFRAMP_IN_FLIGHT_MAX",
          value_parser = count())]
    in_flight_max: usize,
    /// Largest payload of a frame, bytes
    #[arg(long, value_name = "N", default_value = "1048576", env = "OFFRAMP_PAYLOAD_BYTES_MAX",
          value_parser = count())]
    payload_bytes_max: usize,
    /// Longest silence of a connection with nothing in flight, seconds
    #[arg(long, value_name = "S", default_value = "300", env = "OFFRAMP_IDLE_TIMEOUT_S",
          value_parser = seconds)]
    idle_timeout_s: f64,
    /// Longest time for one frame to arrive or replies to be taken, seconds
    #[arg(long, value_name = "S", default_value = "20", env = "OFFRAMP_FRAME_TIMEOUT_S",
          value_parser = seconds)]
    frame_timeout_s: f64,
    /// At the end, longest wait for accepted work and for clients to take replies, seconds
    #[arg(long, value_name = "S", default_value = "30", env = "OFFRAMP_DRAIN_TIMEOUT_S",
          value_parser = seconds)]
    drain_timeout_s: f64,
    /// What becomes of answered rows
    #[arg(long, value_enum, default_value_t = AFTER_EXIT, env = "OFFRAMP_AFTER_EXIT")]
    after_exit: AfterExitArg,
    /// Under compact: share of rows that run to the end anyway, so that it is seen how many answers
    /// differ from the full model's [default: none; with --adapt 0.2]
    #[arg(long, value_name = "SHARE", env = "OFFRAMP_AUDIT_RATE", value_parser = share::<f64>)]
    audit_rate: Option<f64>,
    /// Let clients order it to drain or to reload
    #[arg(long, env = "OFFRAMP_ALLOW_ORDERS", value_parser = switch())]
    allow_orders: bool,
    /// Flags, in TOML; the command line and the environment go first
    #[arg(long, value_name = "FILE", env = "OFFRAMP_CONFIG")]
    config: Option<PathBuf>,
    /// Load, warm up, listen, and end: is all as it should be?
    #[arg(long, env = "OFFRAMP_DRY_RUN", value_parser = switch())]
    dry_run: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    exits: ExitArgs,
    #[command(flatten)]
    adapt: AdaptArgs,
}

/// `--schedule`.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Schedule {
    /// At once, earliest deadline first, as many rows as end in time
    Deadline,
    /// In order of arrival, once a batch is full or the oldest has waited long enough
    Window,
}

impl Serve {
    /// Flags that would change nothing.
    fn needless(&self) -> Vec<Rule> {
        let mut rules = needless::of_exits(&self.exits, self.after_exit, &self.adapt);
        let is_off = self.exits.exits == ExitsSwitch::Off;
        let is_window = self.schedule == Schedule::Window;
        rules.push(("delay_us", !is_window, "without --schedule window"));
        rules.push(("count_exits", is_off, "with --exits off"));
        rules.push(needless::of_machine(&self.engine.machine));
        rules
    }
}

/// Runs the verb.
pub(crate) fn run(args: &Serve) -> Result<()> {
    args.given.refuse_by(&args.needless())?;
    args.log.start();
    let files =
        Files::default().model(&args.model.model, &[]).read("--config", args.config.as_ref());
    // A journal is tried at once. Later, what cannot be written is lost and counted.
    args.exits.files(files).appended("--journal", args.adapt.journal()).check()?;
    if let Some(file) = &args.config {
        tracing::info!(file = %file.display(), "flags were read");
    }
    let connections_max = room(args.connections_max)?;
    // Before the model is loaded, which takes time: a port that is taken is told at once.
    let ports = Ports::bind(args.listen.candidates(), args.http.as_ref().map(Listen::candidates))?;
    let served = served(args)?;
    let ears = (!args.dry_run).then(life::Ears::new).transpose()?;
    let mut server = Server::start_on(ports, served, &options(args, connections_max))?;
    tracing::info!(address = %server.address(), "listening");
    if let Some(http) = server.http_address() {
        tracing::info!(%http, "health and metrics");
    }
    if let Some(ears) = ears {
        ears.live(&mut server, |server| served_again(args, server));
    }
    let adapted = server.drain()?;
    if let Some(done) = adapted {
        life::tell(&done);
    }
    Ok(())
}

/// Lets the process open as many files as it may have connections, as far as it is allowed to; how
/// many connections that leaves, so that health, metrics and a reload have files too.
fn room(connections_max: usize) -> Result<usize> {
    let wanted = connections_max as u64 + FILES;
    match rlimit::increase_nofile_limit(wanted) {
        Ok(files) if files >= wanted => Ok(connections_max),
        Ok(files) if files < FILES_MIN => Err(Failure::Failed(format!(
            "{files} files may be open here (ulimit -n), and a server needs {FILES_MIN}"
        ))),
        Ok(files) => {
            // Where there are few, half of them.
            let left = files.saturating_sub(FILES).max(files / 2).max(1);
            tracing::warn!(files, connections_max = left, "fewer files can be open than asked for");
            Ok(left as usize)
        }
        Err(error) => {
            tracing::warn!(%error, "how many files can be open is not known");
            Ok(connections_max)
        }
    }
}

/// The model loaded again, if it is the one that is served: its ramps and thresholds may differ.
fn served_again(args: &Serve, server: &Server) -> Result<Served> {
    let dir = &args.model.model;
    let handle = server.handle();
    handle.expect_same_model(dir)?;
    let (model, plan) = open::open(dir, &args.exits)?;
    told::refuse_half_pair(told::half_pair(args, &model, &plan), dir)?;
    let options = args.engine.options(&model);
    let served = warm_up(args, model, &plan, &options, handle.next_version())?;
    told::tell(args, &served, &plan);
    Ok(served)
}

fn served(args: &Serve) -> Result<Served> {
    let (model, plan) = open::open(&args.model.model, &args.exits)?;
    model.expect_classifier()?;
    // A tokenizer that is damaged is told before work begins.
    if model.spec().image().is_none() && model.tokenizer_if_any()?.is_none() {
        let file = model.path(files::TOKENIZER);
        let file = file.display();
        tracing::warn!(%file, "there is no tokenizer: texts will be refused, tokens are taken");
    }
    if let Some(half) = told::half_pair(args, &model, &plan) {
        tracing::warn!(half, "no row will leave early");
    }
    let options = args.engine.options(&model);
    let Limits { rows_max, tokens_max } = options.limits;
    let dir = model.dir().display().to_string();
    tracing::info!(model = dir, rows_max, tokens_max, "warming up");
    let served = warm_up(args, model, &plan, &options, 0)?;
    let device = served.engine.device_name();
    tracing::info!(model = dir, device, rows_max, "warmed up");
    told::tell(args, &served, &plan);
    Ok(served)
}

/// The exits have this version.
fn warm_up(
    args: &Serve,
    model: Model,
    plan: &ExitPlan,
    options: &EngineOptions,
    version: u64,
) -> Result<Served> {
    open::expect_audits(args.audit_rate, plan, &args.adapt)?;
    let mut engine = Engine::new(&model, options)?;
    let exits = Exits { version, ..plan.exits(engine.plan())? };
    let shapes = record::shapes(&mut engine)?;
    let adaptive = args.adapt.start(&engine, &exits, &shapes, args.audit_rate)?;
    let exiting = match adaptive {
        Some(adaptive) => Exiting::Live(Box::new(adaptive)),
        None => Exiting::Fixed(exits),
    };
    Ok(Served { model, engine, exiting, shapes })
}

fn options(args: &Serve, connections_max: usize) -> ServeOptions {
    let session = SessionLimits {
        payload_bytes_max: args.payload_bytes_max,
        in_flight_max: args.in_flight_max,
        idle_timeout: Duration::from_secs_f64(args.idle_timeout_s),
        frame_timeout: Duration::from_secs_f64(args.frame_timeout_s),
        ..SessionLimits::default()
    };
    ServeOptions {
        service: service(args),
        session,
        connections_max,
        takes_orders: args.allow_orders,
        io_threads: 1,
    }
}

fn service(args: &Serve) -> ServiceOptions {
    ServiceOptions {
        policy: match args.schedule {
            Schedule::Deadline => Policy::Deadline,
            Schedule::Window => Policy::Window { delay_us: args.delay_us },
        },
        counts_exits: args.count_exits,
        margin: Duration::from_micros(args.margin_us),
        after_exit: args.after_exit.into(),
        queue_max: args.queue_max,
        drain_timeout: Duration::from_secs_f64(args.drain_timeout_s),
        audit_rate: args.audit_rate.unwrap_or(0.0),
        log_lines_dropped: log::lines_dropped,
    }
}
