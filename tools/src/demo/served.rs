//! A model behind a server on loopback: the same requests at the same times without early exits,
//! with released and with compacted rows, and with thresholds that stay as they were fitted.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use offramp::{AfterExit, Engine, EngineOptions, Exits};
use offramp_protocol::{InferOptions, Input};
use offramp_serve::{Exiting, ServeOptions, Served as Warm, Server, ServiceOptions};
use offramp_tune::adapt::{AdaptOptions, Adaptive};
use offramp_tune::profile::ShapeProfile;
use serde::Serialize;

use crate::answers::decided;
use crate::args::ExitArgs;
use crate::failure::Result;
use crate::load::arrivals::{Arrivals, drawn};
use crate::load::drive::{Driven, End, drive};
use crate::load::plots::Run;
use crate::load::result::{LoadResult, tried};
use crate::load::search::{Limit, Search, highest};
use crate::load::{agreement, compared, input, passes, quality};
use crate::open::open;
use crate::progress::{Bar, bar};
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
/// Requests sent later than this share of the objective say more of the machine than of the server.
const LAG_SHARE: f64 = 0.25;
/// A rate of which a probe had fewer requests was not found but met by chance.
const PROBED_LEAST: f64 = 1.0;
/// Fewer answers than this prove no agreement worth telling.
const COMPARED_LEAST: u64 = 100;

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
    /// By request, whether it was answered as by the full model.
    #[serde(skip)]
    same: Vec<Option<bool>>,
}

/// All ways, at one rate.
pub(super) struct Served {
    pub(super) rate_per_s: f64,
    pub(super) ways: Vec<Way>,
    /// Why nothing was served.
    pub(super) skipped: Option<String>,
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
            // All others are told beside the first.
            let is_first = ways.is_empty();
            if is_first {
                rate_per_s = LOAD * search.highest_rate_per_s;
            }
            if is_first && search.highest_rate_per_s * PROBE_SHARE * seconds < PROBED_LEAST {
                server.drain()?;
                return Ok(Served::skipped(&search.headline(1e3 * slo.as_secs_f64())));
            }
            let (driven, mut load) = client.load(rate_per_s)?;
            if let Some(late) = load.sent_late.problem().filter(|_| is_first) {
                server.drain()?;
                return Ok(Served::skipped(&late));
            }
            load.search = Some(search);
            let changes = server.drain()?.map_or(0, |adapted| adapted.changes);
            progress.set_position((ways.len() + 1) as u64 * (PROBES + 1) as u64);
            ways.push(Way { variant, load, changes, driven, same: Vec::new() });
        }
        progress.finish_and_clear();
        self.compare(&mut ways)?;
        Ok(Served { rate_per_s, ways, skipped: None })
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
            *shapes = record::shapes(&mut engine)?;
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
            service: ServiceOptions {
                after_exit: after_exit.unwrap_or(AfterExit::Compact),
                ..ServiceOptions::default()
            },
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
        let answer = |end: &End| match end {
            End::Answered(_, verdict) => Some(decided(verdict, &model)),
            _ => None,
        };
        let full: Vec<Option<u32>> = ways[0].driven.ends.iter().map(answer).collect();
        let decision = model.decision(self.engine.tolerance)?;
        for way in ways {
            let same = compared(&way.driven, &full, &model, decision);
            way.load.agreement = Some(agreement(&same, self.rows.len()));
            way.same = same;
            way.load.quality = quality(&way.driven, self.rows, &model);
            way.load.judge();
        }
        Ok(())
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

    fn search(&self, first: f64, progress: &Bar) -> Result<Search> {
        highest(first, PROBES, |rate_per_s| {
            let driven = self.drive(rate_per_s, PROBE_SHARE * self.seconds)?;
            progress.inc(1);
            Ok(tried(&driven, self.slo, self.lag_max()))
        })
    }

    fn lag_max(&self) -> Duration {
        self.slo.mul_f64(LAG_SHARE)
    }

    fn load(&self, rate_per_s: f64) -> Result<(Driven, LoadResult)> {
        let address = self.address.to_string();
        let before = passes::by_rows(&address)?;
        let seconds = RUN_SHARE * self.seconds;
        let driven = self.drive(rate_per_s, seconds)?;
        let mut load = LoadResult::of(&driven, self.slo, seconds, self.lag_max());
        load.pass_rows = passes::since(&before, passes::by_rows(&address)?);
        Ok((driven, load))
    }
}

impl Served {
    fn skipped(why: &str) -> Self {
        let why = format!("machine too busy: served part skipped ({why})");
        Self { rate_per_s: 0.0, ways: Vec::new(), skipped: Some(why) }
    }

    /// What was done, in a sentence.
    pub(super) fn about(&self, slo: Duration) -> String {
        if let Some(why) = &self.skipped {
            return why.clone();
        }
        let agreements = self.ways.iter().filter_map(|way| way.load.agreement);
        let compared = agreements.map(|agreement| agreement.rows).min().unwrap_or(0);
        format!(
            "behind a server: {:.0} requests a second, {:.0} % of the full model's highest rate, \
             over {CONNECTIONS} connections\n\
             Poisson arrivals (n = {compared}); latency from the time a request was due\n\
             highest rate: 99 % of all requests answered within {} ms; \u{2265}: a higher one was \
             not tried or sent\n\
             release, compact: thresholds follow the inputs, which takes audits; as fitted: they \
             stay",
            self.rate_per_s,
            100.0 * LOAD,
            slo.as_millis(),
        )
    }

    /// Ways whose figures are not theirs alone, and why.
    pub(super) fn warnings(&self) -> Vec<String> {
        let problems = self.ways.iter().map(|way| (way.variant, &way.load.problems));
        let told = problems.filter(|(_, problems)| !problems.is_empty());
        told.map(|(name, problems)| format!("{name}: machine too busy: {}", problems.join("; ")))
            .collect()
    }

    /// The ways side by side; a way that was disturbed has no figures.
    pub(super) fn table(&self) -> Option<Table> {
        if self.skipped.is_some() {
            return None;
        }
        let header: Vec<&str> =
            [""].into_iter().chain(self.ways.iter().map(|way| way.variant)).collect();
        let mut table = Table::new(&header);
        let mut line = |name: &str, cell: &dyn Fn(&LoadResult) -> Option<String>| {
            let cell = |way: &Way| {
                let shown = Some(&way.load).filter(|load| load.is_valid).and_then(cell);
                shown.unwrap_or_else(|| "-".to_owned())
            };
            table.texts([name.to_owned()].into_iter().chain(self.ways.iter().map(cell)));
        };
        let latency =
            |load: &LoadResult, name| load.latency.get(name).map(|percentile| ms(percentile.ms));
        line("latency p50", &|load| latency(load, "p50"));
        line("latency p95", &|load| latency(load, "p95"));
        line("latency p99", &|load| latency(load, "p99"));
        line("goodput/s", &|load| Some(grouped(load.goodput_per_s)));
        line("highest rate/s", &|load| highest_rate(load.search.as_ref()?));
        line("mean depth", &|load| Some(percent(load.mean_depth)));
        let compared = |load: &LoadResult| load.agreement.filter(|it| it.rows >= COMPARED_LEAST);
        line("agreement", &|load| compared(load).map(|a| fine_percent(a.agreement)));
        line("  at least (95 %)", &|load| {
            let early = compared(load).filter(|_| load.mean_depth < 1.0);
            early.map(|a| fine_percent(a.agreement_at_least))
        });
        line("accuracy", &|load| load.quality.accuracy.map(fine_percent));
        Some(table)
    }

    /// For drawings.
    pub(super) fn runs(&self) -> Vec<Run<'_>> {
        self.ways.iter().map(Run::of).collect()
    }
}

/// None where no rate was held.
fn highest_rate(search: &Search) -> Option<String> {
    let rate = grouped(search.highest_rate_per_s);
    let is_least = matches!(search.limited_by, Limit::Sender | Limit::Probes);
    let shown = if is_least { format!("\u{2265} {rate}") } else { rate };
    (search.highest_rate_per_s > 0.0).then_some(shown)
}

impl<'a> Run<'a> {
    fn of(way: &'a Way) -> Self {
        let (driven, pass_rows) = (&way.driven, &way.load.pass_rows);
        Run { name: way.variant, driven, pass_rows, same: Some(way.same.clone()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(variant: &'static str, problems: &[&str], rate: f64, limited_by: Limit) -> Way {
        let driven = Driven {
            ends: vec![End::Lost; 4],
            turns: (0..4).collect(),
            due_s: vec![0.0; 4],
            lags: vec![Duration::ZERO; 4],
            elapsed: Duration::from_secs(1),
            stopped_s: None,
        };
        let slo = Duration::from_millis(20);
        let mut load = LoadResult::of(&driven, slo, 1.0, slo);
        load.problems = problems.iter().map(|&problem| problem.to_owned()).collect();
        load.is_valid = problems.is_empty();
        // A handful of rows proves at least 54.93 %: not worth telling.
        load.agreement = Some(crate::agreement::Agreement::counted(0, 5));
        load.mean_depth = 0.3;
        load.goodput_per_s = 321.0;
        load.search = Some(Search { highest_rate_per_s: rate, limited_by, ..Search::default() });
        Way { variant, load, changes: 0, driven, same: Vec::new() }
    }

    #[test]
    fn a_busy_machine_skips_and_says_so() {
        let served = Served::skipped("3 of 8 requests were sent more than 5 ms late");
        let about = served.about(Duration::from_millis(20));
        assert!(about.starts_with("machine too busy: served part skipped (3 of 8"), "{about}");
        assert!(served.table().is_none() && served.runs().is_empty());
        assert!(served.warnings().is_empty());
    }

    #[test]
    fn disturbed_ways_have_no_figures_and_say_why() {
        let late = "9 of 9 requests were sent more than 5 ms late";
        let ways = vec![
            way("full depth", &[], 400.0, Limit::Server),
            way("release", &[late], 0.0, Limit::Server),
            way("compact", &[], 900.0, Limit::Probes),
        ];
        let served = Served { rate_per_s: 240.0, ways, skipped: None };
        let table = served.table().unwrap().to_string();
        let line = |name| table.lines().find(|line| line.contains(name)).unwrap().to_owned();
        let cells = |name| {
            let line = line(name);
            let cells = line.split(['│', '┆']).map(|cell| cell.trim().to_owned());
            cells.skip(2).take(3).collect::<Vec<_>>()
        };
        assert_eq!(cells("highest rate/s"), ["400", "-", "\u{2265} 900"], "{table}");
        assert_eq!(cells("goodput/s"), ["321", "-", "321"], "{table}");
        assert_eq!(cells("at least"), ["-", "-", "-"], "{table}");
        assert_eq!(served.warnings(), [format!("release: machine too busy: {late}")]);
    }
}
