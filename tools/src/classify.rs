//! `offramp classify`: labels for lines of JSON or text, or for images, in their order.

use std::path::{Path, PathBuf};

use clap::Args;
use offramp::{
    Answer, Batch, Decision, DeviceChoice, Engine, Exits, Model, Observation, PassSettings, Sink,
};
use offramp_tune::adapt::Adaptive;
use offramp_tune::profile::ShapeProfile;
use serde::Serialize;

use crate::adapt::AdaptArgs;
use crate::agreement::Feedback;
use crate::answers::{Kept, written};
use crate::args::{AFTER_EXIT, AfterExitArg, EngineArgs, ExitArgs, ModelArg, share, switch};
use crate::failure::{Failure, Result};
use crate::files::Files;
use crate::given::{Given, Rule};
use crate::needless;
use crate::open::{ExitPlan, expect_audits, fitted, open};
use crate::out::{Out, STANDARD, note};
use crate::pictures::{PictureRules, shape};
use crate::record::{self, Recorder};
use crate::rows::{BadRow, Id, Row, RowReader};

/// Bad lines that may wait for a batch to fill, for each row of it: keeps memory bounded.
const WAITING_PER_ROW: usize = 4;

pub(crate) const EXAMPLES: &str = "\
Examples:
  echo 'Who wrote Hamlet?' | offramp classify --model DIR
  offramp classify --model DIR --input questions.jsonl --output answers.jsonl
  offramp classify --model DIR --exits off --logits < questions.txt
  offramp classify --model DIR --policy margin --threshold 0.8 --audit-rate 0.1 < questions.txt
  offramp classify --model DIR --input photos/
  offramp classify --model DIR --input test-images-idx3-ubyte.gz
  offramp classify --model DIR --input frames.u8 --shape 224x224x3
  offramp classify --model DIR --input day.jsonl --exits watch --record day.record
  offramp classify --model DIR --adapt --journal decisions.jsonl < questions.txt

Texts, one a line; other keys are ignored:
  {\"id\": 7, \"text\": \"Who wrote Hamlet?\"}            text_pair for a second text
  {\"id\": \"a\", \"tokens\": [101, 2040, 102]}           kinds for token kinds
  Who wrote Hamlet?                                 plain text: its id is the line number

Output, in the order of the input:
  {\"id\":7,\"label\":\"HUM\",\"score\":0.98,\"exit\":1,\"depth\":0.33}
  {\"line\":2,\"error\":\"the line is empty\"}            in place of an answer
A model of labels that do not exclude each other, and one that gives a number (with its sigmoid
where it was made for that), as their config.json says:
  {\"id\":7,\"labels\":[\"a\"],\"scores\":{\"a\":0.9,\"b\":0.1},\"exit\":1,\"depth\":0.33}
  {\"id\":7,\"value\":2.4976,\"score\":0.924,\"exit\":\"final\",\"depth\":1.0}

Ids come back as they are written, to the digit; a line without one, or with null, goes by its
number. NaN and Infinity, which Python writes, are taken for null; a key of ours that comes twice
is refused.

Images: a JPEG, PNG, GIF (its first frame), BMP or WebP file, a folder of them, an IDX file of
bytes (gzip too), or raw bytes with --shape. Content decides what a file is. They are resized and
cropped as the model's configuration says; their ids are file names, or numbers from 1. Folders in
folders are read, however deep; files of other endings are counted and left out. A file that is
cut or damaged fails its row, and so does one of more than --pixels-max pixels, undecoded.
Pictures are turned as their EXIF orientation says, as people see them and as transformers'
load_image does; timm and torchvision do not turn them, nor does --ignore-orientation. As with
Pillow's convert, alpha is dropped and 16 bits are cut to 8. JPEG decoders differ in rounding:
pixels are within 3 of Pillow's.

exit is the encoder layer or block behind which the row left, from 0, or \"final\"; depth is the
share of them that it had run by then. Text longer than the model reads is cut, and its answer has
\"truncated\": true; tokens are not cut. An empty \"text\" is answered, an empty line is an error.
The exit code is 1 where any line failed.";

/// Flags of `classify`.
#[derive(Args, Debug)]
pub(crate) struct Classify {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    model: ModelArg,
    /// Lines of JSON or text, - is standard input; or images: files, a folder, IDX, raw bytes
    #[arg(long, value_name = "FILE", default_value = STANDARD, env = "OFFRAMP_INPUT")]
    input: PathBuf,
    /// Size of raw images, for a model that reads images
    #[arg(long, value_name = "HxWxC", env = "OFFRAMP_SHAPE", value_parser = shape)]
    shape: Option<[usize; 3]>,
    #[command(flatten)]
    rules: PictureRules,
    /// Where the answers go; - is standard output
    #[arg(long, value_name = "FILE", default_value = STANDARD, env = "OFFRAMP_OUTPUT")]
    output: PathBuf,
    /// Add the logits to each answer
    #[arg(long, env = "OFFRAMP_LOGITS", value_parser = switch())]
    logits: bool,
    #[command(flatten)]
    exit: ExitArgs,
    /// What becomes of a row once its answer has left
    #[arg(long, value_enum, default_value_t = AFTER_EXIT, env = "OFFRAMP_AFTER_EXIT")]
    after_exit: AfterExitArg,
    /// Under compact: share of rows that run to the end anyway, to tell the agreement from
    /// [default: none; with --adapt 0.2]
    #[arg(long, value_name = "SHARE", env = "OFFRAMP_AUDIT_RATE", value_parser = share::<f64>)]
    audit_rate: Option<f64>,
    /// Keep what rows showed at the ramps, for `offramp tune`
    #[arg(long, value_name = "FILE", env = "OFFRAMP_RECORD")]
    record: Option<PathBuf>,
    #[command(flatten)]
    adapt: AdaptArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

impl Classify {
    /// Flags that would change nothing.
    fn needless(&self) -> Vec<Rule> {
        let mut rules = needless::of_exits(&self.exit, self.after_exit, &self.adapt);
        rules.push(needless::of_machine(&self.engine.machine));
        rules
    }
}

/// Runs the verb.
pub(crate) fn run(args: &Classify) -> Result<()> {
    args.given.refuse_by(&args.needless())?;
    let files = Files::default().model(&args.model.model, &[]);
    let files = args.exit.files(files).read("--input", &args.input);
    let files = files.written("--output", &args.output).written("--record", args.record.as_ref());
    files.appended("--journal", args.adapt.journal()).check()?;
    let (model, exit_plan) = open(&args.model.model, &args.exit)?;
    model.expect_classifier()?;
    expect_audits(args.audit_rate, &exit_plan, &args.adapt)?;
    let options = args.engine.options(&model);
    let mut engine = Engine::new(&model, &options)?;
    if options.device == DeviceChoice::Auto && engine.is_on_gpu() {
        note(format_args!("on {}", engine.device_name()));
    }
    let exits = exit_plan.exits(engine.plan())?;
    let mut reader = RowReader::open(&args.input, &model, args.shape, args.rules)?;
    // Who writes lines by hand, or pipes them as they come, waits for each answer.
    let is_live = args.input == Path::new(STANDARD);
    let out = if is_live { Out::create(&args.output)? } else { Out::whole(&args.output)? };
    let shapes = if args.adapt.is_on() || args.record.is_some() {
        record::shapes(&mut engine)?
    } else {
        Vec::new()
    };
    let adaptive = args.adapt.start(&engine, &exits, &shapes, args.audit_rate)?;
    let recorder = recorder(args, &model, &engine, &exit_plan, shapes)?;
    let mut session = Session::new(args, &model, engine, &exits, out);
    session.answers.recorder = recorder;
    session.adaptive = adaptive;
    while let Some((line, row)) = reader.next()? {
        session.take(line, row)?;
        if reader.may_wait() {
            session.answer()?;
            session.out.flush()?;
        }
    }
    session.answer()?;
    session.out.finish()?;
    session.finish()
}

fn recorder(
    args: &Classify,
    model: &Model,
    engine: &Engine,
    exits: &ExitPlan,
    shapes: Vec<ShapeProfile>,
) -> Result<Option<Recorder>> {
    let Some(path) = &args.record else { return Ok(None) };
    let policy = exits.policy().ok_or_else(|| {
        let message =
            "--record needs ramps that run: add --exits watch, where nobody leaves, or on";
        Failure::Usage(message.to_owned())
    })?;
    let fitted = match exits {
        ExitPlan::Fitted(file) => Some(file.clone()),
        _ => fitted(model, &args.exit, policy),
    };
    let fitted = fitted.map(|file| Exits::from_file(engine.plan(), &file)).transpose()?;
    // Behind the ramps stands the final exit.
    let by_ramp = |exits: Exits| exits.thresholds[..engine.plan().ramps()].to_vec();
    let how = (policy, fitted.map(by_ramp));
    Recorder::create(path, model, engine, shapes, how, &args.input).map(Some)
}

/// A failure as it is written in an answer's place.
#[derive(Serialize)]
struct WrittenError<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a Id>,
    line: u64,
    error: &'a str,
}

/// A line that waits for its turn to be written.
struct Waiting {
    line: u64,
    /// The id of the row that sits in the batch, or why none does.
    row: Result<Id, BadRow>,
    /// Whether a part of its text was cut off.
    is_cut: bool,
}

/// A batch, and the lines it came from.
struct Filled {
    batch: Batch,
    waiting: Vec<Waiting>,
}

/// Rows on their way, and what became of those before.
struct Session<'a> {
    model: &'a Model,
    exits: &'a Exits,
    args: &'a Classify,
    engine: Engine,
    filling: Filled,
    /// A full batch that waits for the next one to be known.
    ready: Option<Filled>,
    /// Batches without rows.
    spares: Vec<Batch>,
    answers: Answers,
    adaptive: Option<Adaptive>,
    out: Out,
    lines: u64,
    failed: u64,
}

impl<'a> Session<'a> {
    fn new(
        args: &'a Classify,
        model: &'a Model,
        engine: Engine,
        exits: &'a Exits,
        out: Out,
    ) -> Self {
        let (ramps, decision) = (engine.plan().ramps() as u32, engine.decision());
        let answers = Answers { ramps, decision, ..Answers::default() };
        let filling = Filled { batch: engine.batch(), waiting: Vec::new() };
        Self {
            model,
            exits,
            args,
            engine,
            filling,
            ready: None,
            spares: Vec::new(),
            answers,
            adaptive: None,
            out,
            lines: 0,
            failed: 0,
        }
    }

    /// Takes a line; runs what waits where there are too many lines or the batch is full.
    fn take(&mut self, line: u64, row: Result<Row, BadRow>) -> Result<()> {
        if self.filling.waiting.len() >= WAITING_PER_ROW * self.args.engine.batch {
            self.answer()?;
        }
        let is_cut = row.as_ref().is_ok_and(|row| row.is_cut);
        let row = match row {
            Ok(row) => self.push(row)?,
            Err(bad) => Err(bad),
        };
        self.lines += 1;
        self.filling.waiting.push(Waiting { line, row, is_cut });
        Ok(())
    }

    fn push(&mut self, row: Row) -> Result<Result<Id, BadRow>> {
        let Row { id, input, .. } = row;
        let mut pushed = self.filling.batch.push_row(&input);
        if pushed == Ok(None) {
            self.turn()?;
            pushed = self.filling.batch.push_row(&input);
        }
        Ok(match pushed {
            Ok(_) => Ok(id),
            Err(error) => Err(BadRow { id: Some(id), error: error.to_string() }),
        })
    }

    /// The batch is full: runs it, or the one before where it helps to know the next.
    fn turn(&mut self) -> Result<()> {
        if self.adaptive.is_some() || !self.engine.gains_from_next() {
            return self.answer();
        }
        let full = self.refill();
        if let Some(before) = self.ready.take() {
            self.settle(before, Some(&full.batch))?;
        }
        self.ready = Some(full);
        Ok(())
    }

    /// Runs what is in the batches and writes every waiting line.
    fn answer(&mut self) -> Result<()> {
        let last = self.refill();
        if let Some(ready) = self.ready.take() {
            self.settle(ready, Some(&last.batch))?;
        }
        self.settle(last, None)
    }

    /// An empty batch in place of the one that was filled.
    fn refill(&mut self) -> Filled {
        let batch = self.spares.pop().unwrap_or_else(|| self.engine.batch());
        std::mem::replace(&mut self.filling, Filled { batch, waiting: Vec::new() })
    }

    /// Runs a batch and writes its lines.
    fn settle(&mut self, filled: Filled, next: Option<&Batch>) -> Result<()> {
        let Filled { mut batch, waiting } = filled;
        if !batch.is_empty() {
            self.run(&batch, next)?;
            batch.clear();
        }
        self.spares.push(batch);
        let mut slot = 0;
        for waiting in waiting {
            self.write(&waiting, slot)?;
            slot += usize::from(waiting.row.is_ok());
        }
        Ok(())
    }

    fn run(&mut self, batch: &Batch, next: Option<&Batch>) -> Result<()> {
        let after_exit = self.args.after_exit.into();
        self.answers.start(batch.rows());
        if let Some(adaptive) = &mut self.adaptive {
            adaptive.run(&mut self.engine, batch, after_exit, &mut self.answers)?;
            return Ok(());
        }
        let mut settings = PassSettings::new(self.exits, after_exit);
        settings.audit_rate = self.args.audit_rate.unwrap_or(0.0);
        settings.next = next;
        self.engine.run(batch, &settings, &mut self.answers)?;
        Ok(())
    }

    fn write(&mut self, waiting: &Waiting, slot: usize) -> Result<()> {
        let line = waiting.line;
        let (id, error) = match &waiting.row {
            Ok(id) => {
                let kept = &self.answers.by_slot[slot];
                if kept.is_finite {
                    let mut written = written(kept, id, self.model, self.args.logits);
                    written.truncated = waiting.is_cut.then_some(true);
                    return self.out.json_line(&written);
                }
                (Some(id), "the logits are not finite: the model cannot answer this input")
            }
            Err(bad) => (bad.id.as_ref(), bad.error.as_str()),
        };
        self.failed += 1;
        self.out.json_line(&WrittenError { id, line, error })
    }

    /// Says what the run showed; fails where a line failed.
    fn finish(mut self) -> Result<()> {
        if let (Some(recorder), Some(path)) = (self.answers.recorder.take(), &self.args.record) {
            recorder.finish(path)?;
        }
        if let Some(adaptive) = self.adaptive.take() {
            self.args.adapt.finish(adaptive)?;
        }
        if let Some(summary) = self.answers.feedback.summary() {
            note(summary);
        }
        match self.failed {
            0 => Ok(()),
            failed => Err(Failure::Failed(format!(
                "{failed} of {} lines have no answer: see \"error\" in the output",
                self.lines
            ))),
        }
    }
}

/// Answers of one batch by slot, and the feedback of all.
#[derive(Default)]
struct Answers {
    by_slot: Vec<Kept>,
    ramps: u32,
    decision: Decision,
    feedback: Feedback,
    recorder: Option<Recorder>,
}

impl Answers {
    fn start(&mut self, rows: usize) {
        self.by_slot.clear();
        self.by_slot.resize(rows, Kept::default());
        if let Some(recorder) = &mut self.recorder {
            recorder.start(rows);
        }
    }
}

impl Sink for Answers {
    fn answer(&mut self, answer: Answer<'_>) {
        self.by_slot[answer.row] = Kept::of(&answer);
    }

    fn observe(&mut self, observation: Observation<'_>) {
        let answered = self.by_slot[observation.row].label;
        self.feedback.book(&observation, self.ramps, answered, self.decision);
        if let Some(recorder) = &mut self.recorder {
            recorder.push(&observation);
        }
    }
}
