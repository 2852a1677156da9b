//! `offramp serve`: a model behind a TCP port.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use offramp::sched::Policy;
use offramp::serve::{Exiting, Life, ServeOptions, Served, Server, SessionLimits};
use offramp::{Engine, Limits};
use tokio::signal::unix::{SignalKind, signal};

use crate::adapt::{self, AdaptArgs};
use crate::args::{AfterExitArg, EngineArgs, ExitArgs, ModelArg, count, seconds, share, switch};
use crate::failure::{Failure, Result};
use crate::out::note;
use crate::{open, record};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp serve --model DIR
  offramp serve --model DIR --adapt --http 127.0.0.1:7071
  offramp serve --model DIR --schedule window --delay-us 2000 --batch 64";

/// How often it looks whether the device still lives.
const LOOK: Duration = Duration::from_millis(100);

/// Flags of `serve`.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    #[command(flatten)]
    model: ModelArg,
    /// Address and port of the protocol; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070", env = "OFFRAMP_LISTEN")]
    listen: SocketAddr,
    /// Address and port of /healthz, /readyz and /metrics [default: none]
    #[arg(long, value_name = "ADDRESS", env = "OFFRAMP_HTTP")]
    http: Option<SocketAddr>,
    /// When a batch runs
    #[arg(long, value_enum, default_value = "deadline", env = "OFFRAMP_SCHEDULE")]
    schedule: Schedule,
    /// Longest wait for company under --schedule window, microseconds
    #[arg(long, value_name = "N", default_value = "2000", env = "OFFRAMP_DELAY_US")]
    delay_us: u64,
    /// Count on early exits when judging deadlines
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
    /// Requests of one connection at a time; beyond, it is not read
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
    /// Longest wait for clients to take their replies at the end, seconds
    #[arg(long, value_name = "S", default_value = "30", env = "OFFRAMP_DRAIN_TIMEOUT_S",
          value_parser = seconds)]
    drain_timeout_s: f64,
    /// What becomes of answered rows
    #[arg(long, value_enum, default_value = "compact", env = "OFFRAMP_AFTER_EXIT")]
    after_exit: AfterExitArg,
    /// Share of rows that run to the end anyway [default: adapts]
    #[arg(long, value_name = "SHARE", env = "OFFRAMP_AUDIT_RATE", value_parser = share::<f64>,
          requires = "adapt")]
    audit_rate: Option<f64>,
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

/// Runs the verb.
pub(crate) fn run(args: &Serve) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("no signals: {error}")))?;
    let (served, limits) = served(args)?;
    let server = Server::start(served, args.listen, args.http, &options(args, limits))?;
    note(format_args!("listening on {}", server.address()));
    if let Some(http) = server.http_address() {
        note(format_args!("health and metrics on http://{http}"));
    }
    runtime.block_on(ending(&server))?;
    note(format_args!("draining; a second signal ends at once"));
    let adapted = server.drain()?;
    if let Some(done) = adapted {
        adapt::tell(&done);
    }
    Ok(())
}

fn served(args: &Serve) -> Result<(Served, Limits)> {
    let (model, plan) = open::open(&args.model.model, &args.exits)?;
    model.expect_classifier()?;
    let options = args.engine.options(&model);
    let mut engine = Engine::new(&model, &options)?;
    let exits = plan.exits(engine.plan())?;
    let shapes = record::shapes(&model, &mut engine, options.limits)?;
    let adaptive = args.adapt.start(&engine, &exits, &shapes, args.audit_rate)?;
    let exiting = match adaptive {
        Some(adaptive) => Exiting::Live(Box::new(adaptive)),
        None => Exiting::Fixed(exits),
    };
    Ok((Served { model, engine, exiting, shapes }, options.limits))
}

fn options(args: &Serve, limits: Limits) -> ServeOptions {
    let session = SessionLimits {
        payload_bytes_max: args.payload_bytes_max,
        in_flight_max: args.in_flight_max,
        idle_timeout: Duration::from_secs_f64(args.idle_timeout_s),
        frame_timeout: Duration::from_secs_f64(args.frame_timeout_s),
    };
    ServeOptions {
        policy: match args.schedule {
            Schedule::Deadline => Policy::Deadline,
            Schedule::Window => Policy::Window { delay_us: args.delay_us },
        },
        limits,
        counts_exits: args.count_exits,
        after_exit: args.after_exit.into(),
        queue_max: args.queue_max,
        session,
        connections_max: args.connections_max,
        drain_timeout: Duration::from_secs_f64(args.drain_timeout_s),
        io_threads: 1,
    }
}

/// Waits for a signal, or for the device to fail; signals after that end the process.
async fn ending(server: &Server) -> Result<()> {
    let catch = |kind| {
        signal(kind).map_err(|error| Failure::Failed(format!("cannot catch signals: {error}")))
    };
    let mut terminate = catch(SignalKind::terminate())?;
    let mut interrupt = catch(SignalKind::interrupt())?;
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = look.tick() => if server.life() == Life::Failed { break },
        }
    }
    second_signal(terminate, interrupt)
}

/// Whoever asks twice does not want to wait.
fn second_signal(
    mut terminate: tokio::signal::unix::Signal,
    mut interrupt: tokio::signal::unix::Signal,
) -> Result<()> {
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        });
        std::process::abort();
    };
    let started = std::thread::Builder::new().name("offramp-signals".to_owned()).spawn(watch);
    started.map(drop).map_err(|error| Failure::Failed(format!("no signal thread: {error}")))
}
