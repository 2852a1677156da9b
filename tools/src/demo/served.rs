//! A model behind a server on loopback: the same requests at the same times without early exits,
//! with released and with compacted rows, and with thresholds that stay as they were fitted.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use offramp::adapt::{AdaptOptions, Adaptive};
use offramp::profile::ShapeProfile;
use offramp::serve::protocol::{InferOptions, Input};
use offramp::serve::{Exiting, ServeOptions, Served as Warm, Server};
use offramp::{AfterExit, Engine, EngineOptions, Exits};
use serde::Serialize;

use crate::args::ExitArgs;
use crate::failure::Result;
use crate::load::arrivals::{Arrivals, drawn};
use crate::load::drive::{Driven, End, drive};
use crate::load::plots::Run;
use crate::load::result::{LoadResult, share_in_time};
use crate::load::search::{Search, highest};
use crate::load::{accuracy, agreement, input, passes};
use crate::open::open;
use crate::progress::bar;
use crate::record;
use crate::rows::Row;
use crate::table::{Table, fine_percent, grouped, ms, percent};

/// How long each rate is tried, and each way measured, by the demo's seconds.
const PROBE_SHARE: f64 = 0.25;
const RUN_SHARE: f64 = 1.25;
/// Rates tried for each way.
const PROBES: usize = 6;
/// The load, by the highest rate of the full model.
const LOAD: f64 = 0.6;
const CONNECTIONS: usize = 2;

/// The ways to run, in this order: name, what becomes of answered rows, whether thresholds follow
/// the inputs. Without the second every row runs to the end.
const WAYS: [(&str, Option<AfterExit>, bool); 4] = [
    ("full depth", None, false),
    ("release", Some(AfterExit::Release), true),
    ("compact", Some(AfterExit::Compact), true),
    ("as fitted", Some(AfterExit::Compact), false),
];

/// What to serve, and what to ask it.
pub(super) struct Plan<'a> {
    pub(super) dir: &'a Path,
    pub(super) exits: &'a ExitArgs,
    pub(super) engine: EngineOptions,
    pub(super) rows: &'a [Row],
    pub(super) slo: Duration,
    /// The demo's.
    pub(super) seconds: f64,
}

/// One way, measured.
#[derive(Serialize)]
pub(super) struct Way {
    pub(super) variant: &'static str,
    #[serde(flatten)]
    pub(super) load: LoadResult,
    /// Times that thresholds or ramps were changed.
    pub(super) changes: u64,
    #[serde(skip)]
    driven: Driven,
}

/// All ways, at one rate.
pub(super) struct Served {
    pub(super) rate_per_s: f64,
    pub(super) ways: Vec<Way>,
}

impl Plan<'_> {
    /// Starts a server for each way, searches its highest rate, and loads it.
    pub(super) fn measure(mut self) -> Result<Served> {
        if self.engine.threads == 0 {
            // A core is left to the network and to the clients.
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            self.engine.threads = (cores - 1).max(1);
        }
        let inputs: Vec<Input<'_>> = self.rows.iter().map(|row| input(&row.input)).collect();
        let progress = bar("serving the model", (WAYS.len() * (PROBES + 1)) as u64);
        let (mut rate_per_s, mut shapes) = (0.0, Vec::new());
        let mut ways: Vec<Way> = Vec::new();
        for (variant, after_exit, is_live) in WAYS {
            progress.set_message(variant);
            let (server, guess) = self.start(after_exit, is_live, &mut shapes)?;
            let (address, slo, seconds) = (server.address(), self.slo, self.seconds);
            let client = Client { address, inputs: &inputs, slo, seconds };
            let search =
                client.search(if rate_per_s > 0.0 { rate_per_s } else { guess }, &progress)?;
            if ways.is_empty() {
                rate_per_s = LOAD * search.highest_rate_per_s.max(1.0);
            }
            let (driven, mut load) = client.load(rate_per_s)?;
            load.search = Some(search);
            let changes = server.drain()?.map_or(0, |adapted| adapted.changes);
            progress.set_position((ways.len() + 1) as u64 * (PROBES + 1) as u64);
            ways.push(Way { variant, load, changes, driven });
        }
        progress.finish_and_clear();
        self.compare(&mut ways)?;
        Ok(Served { rate_per_s, ways })
    }

    /// A server, and the rate that its first passes let expect.
    fn start(
        &self,
        after_exit: Option<AfterExit>,
        is_live: bool,
        shapes: &mut Vec<ShapeProfile>,
    ) -> Result<(Server, f64)> {
        let (model, plan) = open(self.dir, self.exits)?;
        let mut engine = Engine::new(&model, &self.engine)?;
        if shapes.is_empty() {
            *shapes = record::shapes(&model, &mut engine, self.engine.limits)?;
        }
        let exits = match after_exit {
            None => Exits::off(engine.plan()),
            Some(_) => plan.exits(engine.plan())?,
        };
        let exiting = if is_live {
            let live = Adaptive::start(&engine, &exits, shapes, &AdaptOptions::default())?;
            Exiting::Live(Box::new(live))
        } else {
            Exiting::Fixed(exits)
        };
        let options = ServeOptions {
            limits: self.engine.limits,
            after_exit: after_exit.unwrap_or(AfterExit::Compact),
            ..ServeOptions::default()
        };
        let any_port: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let guess = shapes.last().map_or(100.0, |s| 1e6 * s.rows as f64 / s.forward_us());
        let warm = Warm { model, engine, exiting, shapes: shapes.clone() };
        Ok((Server::start(warm, any_port, None, &options)?, 0.5 * guess))
    }

    /// Answers against those of the full model to the same requests, and against labels.
    fn compare(&self, ways: &mut [Way]) -> Result<()> {
        let (model, _) = open(self.dir, self.exits)?;
        let full: Vec<Option<u32>> = ways[0].driven.ends.iter().map(label).collect();
        for way in ways {
            way.load.agreement = Some(agreement(&way.driven, &full, self.rows.len()));
            way.load.accuracy = accuracy(&way.driven, self.rows, &model);
        }
        Ok(())
    }
}

fn label(end: &End) -> Option<u32> {
    match end {
        End::Answered(_, verdict) => Some(verdict.label),
        _ => None,
    }
}

/// Who asks.
struct Client<'a> {
    address: SocketAddr,
    inputs: &'a [Input<'a>],
    slo: Duration,
    seconds: f64,
}

impl Client<'_> {
    fn drive(&self, rate_per_s: f64, seconds: f64) -> Result<Driven> {
        let due_s = drawn(Arrivals::Poisson, rate_per_s, seconds, 0);
        let options = InferOptions::default();
        drive(&self.address.to_string(), CONNECTIONS, self.inputs, options, &due_s)
    }

    fn search(&self, first: f64, progress: &ProgressBar) -> Result<Search> {
        highest(first, PROBES, |rate_per_s| {
            let driven = self.drive(rate_per_s, PROBE_SHARE * self.seconds)?;
            progress.inc(1);
            Ok(share_in_time(&driven, self.slo, self.slo / 4))
        })
    }

    fn load(&self, rate_per_s: f64) -> Result<(Driven, LoadResult)> {
        let address = self.address.to_string();
        let before = passes::by_rows(&address)?;
        let seconds = RUN_SHARE * self.seconds;
        let driven = self.drive(rate_per_s, seconds)?;
        let mut load = LoadResult::of(&driven, self.slo, seconds);
        load.pass_rows = passes::since(&before, passes::by_rows(&address)?);
        Ok((driven, load))
    }
}

impl Served {
    /// What was done, in a sentence.
    pub(super) fn about(&self, slo: Duration) -> String {
        let agreements = self.ways.iter().filter_map(|way| way.load.agreement);
        let compared = agreements.map(|agreement| agreement.rows).min().unwrap_or(0);
        format!(
            "behind a server: {:.0} requests a second, {:.0} % of the full model's highest rate, \
             over {CONNECTIONS} connections\n\
             Poisson arrivals (n = {compared}); latency from the time a request was due\n\
             highest rate: 99 % of all requests answered within {} ms\n\
             release, compact: thresholds follow the inputs, which takes audits; as fitted: they \
             stay",
            self.rate_per_s,
            100.0 * LOAD,
            slo.as_millis(),
        )
    }

    /// The ways side by side.
    pub(super) fn table(&self) -> String {
        let header: Vec<&str> =
            [""].into_iter().chain(self.ways.iter().map(|way| way.variant)).collect();
        let mut table = Table::new(&header);
        let mut line = |name: &str, cell: &dyn Fn(&LoadResult) -> Option<String>| {
            let cell = |way: &Way| cell(&way.load).unwrap_or_else(|| "-".to_owned());
            table.texts([name.to_owned()].into_iter().chain(self.ways.iter().map(cell)));
        };
        let latency =
            |load: &LoadResult, name| load.latency.get(name).map(|percentile| ms(percentile.ms));
        line("latency p50", &|load| latency(load, "p50"));
        line("latency p95", &|load| latency(load, "p95"));
        line("latency p99", &|load| latency(load, "p99"));
        line("goodput/s", &|load| Some(grouped(load.goodput_per_s)));
        line("highest rate/s", &|load| {
            load.search.as_ref().map(|search| grouped(search.highest_rate_per_s))
        });
        line("mean depth", &|load| Some(percent(load.mean_depth)));
        line("agreement", &|load| load.agreement.map(|a| fine_percent(a.agreement)));
        line("  at least (95 %)", &|load| {
            let early = load.agreement.filter(|_| load.mean_depth < 1.0);
            early.map(|a| fine_percent(a.agreement_at_least))
        });
        line("accuracy", &|load| load.accuracy.map(fine_percent));
        table.to_string()
    }

    /// For drawings.
    pub(super) fn runs(&self) -> Vec<Run<'_>> {
        let full: Vec<Option<u32>> = self.ways[0].driven.ends.iter().map(label).collect();
        let run = |way| Run::of(way, &full);
        self.ways.iter().map(run).collect()
    }
}

impl<'a> Run<'a> {
    fn of(way: &'a Way, full: &[Option<u32>]) -> Self {
        let (driven, pass_rows) = (&way.driven, &way.load.pass_rows);
        Run { name: way.variant, driven, pass_rows, full: Some(full.to_vec()) }
    }
}
