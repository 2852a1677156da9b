//! `offramp inspect`: what a model is, what it costs, and what its exits promise.

use std::path::PathBuf;

use clap::Args;
use offramp::model::{files, is_there};
use offramp::plan::Plan;
use offramp::{
    Cost, Engine, Input, LiveBound, Model, ModelSpec, Network as Steps, OFF, RowRules,
    ThresholdFile,
};
use offramp_tune::profile::Profile;
use serde::Serialize;

use crate::args::{EngineArgs, JsonArg, ModelArg, count, switch};
use crate::failure::Result;
use crate::given::Given;
use crate::out::Out;
use crate::table::{Table, counted, digits, fine_percent, grouped, percent};

pub(crate) const EXAMPLES: &str = "\
Examples:
  offramp inspect --model DIR
  offramp inspect --model DIR --rows 32 --tokens 64 --json
  offramp inspect --model DIR --plan";

/// Flags of `inspect`.
#[derive(Args, Debug)]
pub(crate) struct Inspect {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Rows that costs are told for
    #[arg(long, value_name = "N", default_value = "1", env = "OFFRAMP_ROWS",
          value_parser = count())]
    rows: usize,
    /// Tokens of each row, for a model that reads texts; cut to what it reads
    #[arg(long, value_name = "N", default_value = "128", env = "OFFRAMP_TOKENS",
          value_parser = count())]
    tokens: usize,
    /// Print the program that the model is compiled to, op by op
    #[arg(long, env = "OFFRAMP_PLAN", value_parser = switch(), conflicts_with = "json")]
    plan: bool,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    json: JsonArg,
}

/// Runs the verb.
pub(crate) fn run(args: &Inspect) -> Result<()> {
    args.engine.machine.expect_sense(&args.given)?;
    let costs = "with --plan, which tells no costs";
    args.given.refuse(args.plan, &["rows", "tokens"], costs)?;
    let mut model = Model::open_bare(&args.model.model)?;
    let is_image = model.spec().image().is_some();
    args.given.refuse(is_image, &["tokens"], "for a model that reads images")?;
    let ramps = model.path(files::RAMPS);
    if is_there(&ramps) {
        model.load_ramps(&ramps)?;
    }
    let engine = Engine::new(&model, &args.engine.options(&model))?;
    let mut out = Out::stdout();
    if args.plan {
        out.line(engine.plan())?;
        return out.flush();
    }
    let about = About::of(&model, &engine, args);
    if args.json.json {
        out.json(&about)?;
    } else {
        about.print(&mut out)?;
    }
    out.flush()
}

/// Everything there is to tell.
#[derive(Serialize)]
struct About {
    model: PathBuf,
    hash: String,
    #[serde(flatten)]
    network: Network,
    labels: Vec<String>,
    /// What the classifier decides: classes, labels, value or score.
    task: String,
    parameters: usize,
    ramp_parameters: usize,
    weights_disk_bytes: u64,
    device: String,
    device_reserved_bytes: usize,
    activation_elements: usize,
    rows_max: usize,
    tokens_max: usize,
    cost_rows: usize,
    cost_row_tokens: usize,
    forward_flops: f64,
    forward_bytes: f64,
    segments: Vec<SegmentAbout>,
    policy: Option<String>,
    target_agreement: Option<f64>,
    /// Why there are no thresholds.
    thresholds_missing: Option<String>,
    /// What a saved profile says.
    profile: Option<String>,
}

/// What the model is made of.
#[derive(Serialize)]
#[serde(untagged)]
enum Network {
    Text {
        family: String,
        layers: usize,
        hidden: usize,
        heads: usize,
        intermediate: usize,
        vocab: usize,
        row_tokens_max: usize,
        activation: String,
    },
    Image {
        architecture: String,
        blocks: Vec<String>,
        height: usize,
        width: usize,
        channels: usize,
        resize: String,
    },
}

impl Network {
    fn of(spec: &ModelSpec) -> Self {
        let network = &spec.network;
        match &spec.input {
            Input::Tokens(text) => Self::Text {
                family: spec.name.clone(),
                layers: spec.sites(),
                hidden: spec.site_width(0),
                heads: network.attention_heads().unwrap_or(0),
                intermediate: network.inner().map_or(0, |inner| inner.outputs),
                vocab: text.vocab,
                row_tokens_max: text.row_tokens_max(),
                activation: activation(network),
            },
            Input::Pixels(image) => Self::Image {
                architecture: spec.name.clone(),
                blocks: network.segments.iter().map(|segment| segment.name.clone()).collect(),
                height: image.height,
                width: image.width,
                channels: image.channels,
                resize: image.interpolation.to_string(),
            },
        }
    }

    /// What it is, and what it reads.
    fn lines(&self) -> [String; 2] {
        match self {
            Self::Text {
                family,
                layers,
                hidden,
                heads,
                intermediate,
                vocab,
                row_tokens_max,
                activation,
            } => [
                format!(
                    "{family}: {layers} layers of {hidden}, {heads} heads, inner {intermediate}, \
                     {activation}"
                ),
                format!("{vocab} tokens, at most {row_tokens_max} in a row"),
            ],
            Self::Image { architecture, blocks, height, width, channels, resize } => [
                format!("{architecture}: {} segments", blocks.len()),
                format!("images of {height} x {width} x {channels}, others resized ({resize})"),
            ],
        }
    }
}

/// Of the feed-forward blocks.
fn activation(network: &Steps) -> String {
    let activation = network.inner().and_then(|inner| inner.activation);
    activation.map_or_else(|| "none".to_owned(), |activation| format!("{activation:?}"))
}

/// A segment with the site behind it.
#[derive(Serialize)]
struct SegmentAbout {
    segment: usize,
    flops: f64,
    bytes: f64,
    has_ramp: bool,
    held_out_agreement: Option<f64>,
    threshold: Option<f32>,
}

impl About {
    fn of(model: &Model, engine: &Engine, args: &Inspect) -> Self {
        let (spec, plan) = (model.spec(), engine.plan());
        let tokens = RowRules::of(spec).clamp_tokens(args.tokens);
        let live = LiveBound { rows: args.rows, tokens: args.rows * tokens };
        let thresholds = thresholds(model);
        let (parameters, ramp_parameters) = parameters(plan);
        let Cost { flops, bytes } = plan.cost(live);
        Self {
            model: model.dir().to_owned(),
            hash: model.hash().to_string(),
            network: Network::of(spec),
            labels: spec.labels().iter().take(spec.classes()).cloned().collect(),
            task: spec.task().to_string(),
            parameters,
            ramp_parameters,
            weights_disk_bytes: model.checkpoint().bytes(),
            device: engine.device_name(),
            device_reserved_bytes: engine.reserved_bytes(),
            activation_elements: plan.layout.activations,
            rows_max: plan.layout.rows_max,
            tokens_max: plan.layout.tokens_max,
            cost_rows: args.rows,
            cost_row_tokens: tokens,
            forward_flops: flops,
            forward_bytes: bytes,
            segments: segments(model, plan, live, thresholds.as_ref().ok()),
            policy: thresholds.as_ref().ok().map(|file| file.policy.to_string()),
            target_agreement: thresholds.as_ref().ok().map(|file| file.target_agreement),
            thresholds_missing: thresholds.err(),
            profile: profile(model),
        }
    }

    fn print(&self, out: &mut Out) -> Result<()> {
        let mib = |bytes: f64| digits(bytes / f64::from(1 << 20), "MiB");
        let [family, reads] = self.network.lines();
        out.line(format_args!("model        {}", self.model.display()))?;
        out.line(format_args!("hash         {}", self.hash))?;
        out.line(format_args!("family       {family}"))?;
        out.line(format_args!("reads        {reads}"))?;
        out.line(format_args!("labels       {}", self.labels_line()))?;
        if !self.labels.is_empty() {
            out.line(format_args!("decides      {}", self.decides()))?;
        }
        out.line(format_args!(
            "parameters   {}, and {} in ramps",
            grouped(self.parameters as f64),
            grouped(self.ramp_parameters as f64)
        ))?;
        out.line(format_args!("on disk      {}", mib(self.weights_disk_bytes as f64)))?;
        out.line(format_args!(
            "reserved     {} on {} for {} and {}",
            mib(self.device_reserved_bytes as f64),
            self.device,
            counted(self.rows_max as u64, "row"),
            counted(self.tokens_max as u64, "token")
        ))?;
        out.line(format_args!("exits        {}", self.exits_line()))?;
        if let Some(profile) = &self.profile {
            out.line(format_args!("profile      {profile}"))?;
        }
        out.line("")?;
        out.line(self.table())?;
        out.line(match self.network {
            Network::Text { .. } => {
                let (rows, tokens) = (self.cost_rows, self.cost_row_tokens);
                let (rows, tokens) = (counted(rows as u64, "row"), counted(tokens as u64, "token"));
                format!("costs of {rows} of {tokens}, nobody leaving")
            }
            Network::Image { .. } => {
                format!("costs of {}, nobody leaving", counted(self.cost_rows as u64, "image"))
            }
        })
    }

    fn decides(&self) -> &'static str {
        match self.task.as_str() {
            "classes" => "one of the classes: a softmax over all",
            "labels" => "each label by itself: a sigmoid each, above 0.5 it holds",
            "score" => "a number through a sigmoid",
            _ => "a number as it is",
        }
    }

    fn labels_line(&self) -> String {
        const SHOWN: usize = 12;
        match self.labels.len() {
            0 => "none: a base model without a classifier".to_owned(),
            count if count > SHOWN => {
                format!("{}, ... ({count})", self.labels[..SHOWN].join(", "))
            }
            _ => self.labels.join(", "),
        }
    }

    fn exits_line(&self) -> String {
        match (&self.policy, &self.thresholds_missing) {
            (Some(policy), _) => {
                let goal = self.target_agreement.map_or("-".to_owned(), fine_percent);
                format!("{policy}, fitted for {goal} agreement")
            }
            (None, Some(missing)) => missing.clone(),
            (None, None) => "none".to_owned(),
        }
    }

    fn table(&self) -> Table {
        let header = ["segment", "MFLOP", "share", "MB", "ramp, held out", "threshold"];
        let mut table = Table::new(&header);
        for segment in &self.segments {
            let agrees = match (segment.has_ramp, segment.held_out_agreement) {
                (false, _) => "no ramp".to_owned(),
                (true, agreement) => agreement.map_or("?".to_owned(), percent),
            };
            let threshold = match segment.threshold {
                Some(threshold) if threshold < OFF => format!("{threshold:.4}"),
                Some(_) => "off".to_owned(),
                None => "-".to_owned(),
            };
            table.texts([
                segment.segment.to_string(),
                digits(segment.flops / 1e6, ""),
                percent(segment.flops / self.forward_flops),
                digits(segment.bytes / 1e6, ""),
                agrees,
                threshold,
            ]);
        }
        let (flops, bytes) = (self.forward_flops / 1e6, self.forward_bytes / 1e6);
        let all = ["forward".to_owned(), digits(flops, ""), percent(1.0), digits(bytes, "")];
        table.texts(all.into_iter().chain(["-".to_owned(), "-".to_owned()]));
        table
    }
}

/// The thresholds, or why there are none.
fn thresholds(model: &Model) -> Result<ThresholdFile, String> {
    let path = model.path(files::THRESHOLDS);
    if model.ramps().is_none() {
        return Err("no ramps".to_owned());
    }
    if !is_there(&path) {
        return Err("ramps without thresholds".to_owned());
    }
    model.read_thresholds(&path).map_err(|error| error.to_string())
}

/// The largest shape of the profile in the model's folder, or why it says nothing.
fn profile(model: &Model) -> Option<String> {
    let path = model.path(files::PROFILE);
    if !is_there(&path) {
        return None;
    }
    let profile = match Profile::read(&path) {
        Ok(profile) => profile,
        Err(error) => return Some(error.to_string()),
    };
    if profile.model != model.hash().to_string() {
        return Some("of another model: run `offramp profile`".to_owned());
    }
    let shape = profile.shapes.iter().max_by_key(|shape| shape.rows * shape.row_tokens)?;
    let (rows, tokens) = (shape.rows, shape.row_tokens);
    let forward = digits(shape.forward_us() / 1e3, "ms");
    let (rows, tokens) = (counted(rows as u64, "row"), counted(tokens as u64, "token"));
    Some(format!("{forward} for {rows} of {tokens} on {}", profile.device))
}

/// Of the model, and of its ramps.
fn parameters(plan: &Plan) -> (usize, usize) {
    let sum = |of_a_ramp: bool| {
        let pairs = plan.sources.iter().zip(&plan.layout.weights);
        let own = pairs.filter(|(source, _)| source.is_of_a_ramp() == of_a_ramp);
        own.map(|(source, &form)| source.parameters(form)).sum()
    };
    (sum(false), sum(true))
}

fn segments(
    model: &Model,
    plan: &Plan,
    live: LiveBound,
    thresholds: Option<&ThresholdFile>,
) -> Vec<SegmentAbout> {
    let noted = model.ramps().map_or(&[][..], |bundle| &bundle.trained.sites);
    let about = |(index, segment): (usize, &offramp::plan::Segment)| {
        let Cost { flops, bytes } = segment.cost(live);
        let entry = thresholds.and_then(|file| file.thresholds.iter().find(|t| t.site == index));
        SegmentAbout {
            segment: index,
            flops,
            bytes,
            has_ramp: segment.ramp().is_some(),
            held_out_agreement: noted.iter().find(|n| n.site == index).map(|n| n.agreement),
            threshold: entry.map(|entry| entry.threshold),
        }
    };
    plan.segments.iter().enumerate().map(about).collect()
}
