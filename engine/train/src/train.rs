//! Teaching a ramp to imitate the full model: soft cross-entropy against the model's own output
//! probabilities, of a softmax or of a sigmoid each, so that no labels are needed. (Hinton,
//! Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015; the model itself stays
//! frozen, as in Apparate, SOSP'24.)
//!
//! The held-out rows choose the epoch, the weight decay and the temperature, so the agreement
//! reported on them flatters the ramp a little: thresholds are fitted on rows that neither part
//! holds.

use offramp::Decision;
use offramp::scores::sigmoid;

use crate::adamw::{Moments, Schedule, Step};
use crate::calibrate::{temperature, temperature_each};
use crate::error::TrainError;
use crate::network::{Buffers, Layer, Loss, Network, argmax};
use crate::problem::{Features, Settings, Targets};
use crate::split::Split;
use crate::standardise::Standardiser;

/// One epoch's outcome, for showing progress.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// The weight decay being tried.
    pub weight_decay: f32,
    /// Counted from 1 for each weight decay.
    pub number: usize,
    /// Mean cross-entropy over the training part, in nats, while its weights were moving.
    pub loss_train: f64,
    /// Mean cross-entropy over the held-out part after the epoch.
    pub loss_held_out: f64,
    /// Share of held-out rows whose answer is the full model's.
    pub agreement: f64,
}

/// A trained ramp. Standardisation and temperature are already inside the layers: logits are
/// `head(relu(hidden(x)))` of raw features and their probabilities are calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// The layer before the ReLU, where settings asked for one.
    pub hidden: Option<Layer>,
    /// The layer that gives the logits.
    pub head: Layer,
    /// The temperature that was divided out of the head. Above 1: training left it over-confident.
    /// Exactly 1 for a number, which is itself the answer.
    pub temperature: f32,
    /// Share of held-out rows whose answer equals the full model's, by the layers as returned.
    pub agreement: f64,
    /// Mean held-out cross-entropy against the full model in nats, by the layers as returned.
    pub loss: f64,
    /// The epoch whose weights were kept, counted from 1.
    pub epochs: usize,
    /// The weight decay whose run was kept.
    pub weight_decay: f32,
}

/// Trains one ramp on `split.train` and judges it on `split.held_out`. `progress` hears of every
/// epoch. The same arguments give the same ramp.
///
/// # Errors
/// See [`TrainError`]; nothing is trained when the input is unfit.
pub fn train(
    features: Features<'_>,
    targets: Targets<'_>,
    split: &Split,
    settings: &Settings,
    progress: &mut dyn FnMut(Epoch),
) -> Result<Trained, TrainError> {
    super::check::check(features, targets, split, settings)?;
    let standardiser = Standardiser::measure(features.values, features.width, &split.train);
    let lesson = Lesson {
        learn: Part::new(features, targets, &split.train, &standardiser),
        judge: Part::new(features, targets, &split.held_out, &standardiser),
        settings,
    };
    let runs = settings.weight_decays.iter().filter_map(|&decay| lesson.run(decay, progress));
    let best = runs.reduce(|best, run| if run.loss < best.loss { run } else { best });
    let Some(best) = best else {
        return Err(TrainError::Diverged { learning_rate: settings.rate(features.width) });
    };
    Ok(finish(best, &lesson.judge, features, &split.held_out, &standardiser))
}

/// Standardised rows with their targets.
struct Part {
    rows: usize,
    width: usize,
    classes: usize,
    decision: Decision,
    x: Vec<f32>,
    targets: Vec<f32>,
}

impl Part {
    fn new(x: Features<'_>, y: Targets<'_>, rows: &[u32], standardiser: &Standardiser) -> Self {
        Self {
            rows: rows.len(),
            width: x.width,
            classes: y.classes,
            decision: y.decision,
            x: standardiser.apply(x.values, rows),
            targets: gather(y.probabilities, y.classes, rows),
        }
    }

    fn loss(&self) -> Loss {
        if self.decision.is_each() { Loss::Sigmoid } else { Loss::Softmax }
    }

    /// The temperature at which `[rows, classes]` logits say best what the full model decides.
    fn temperature(&self, logits: &[f32]) -> f32 {
        match self.decision {
            Decision::Class => {
                let labels: Vec<u32> =
                    self.targets.chunks_exact(self.classes).map(argmax).collect();
                temperature(logits, self.classes, &labels)
            }
            Decision::Labels => {
                let held: Vec<bool> = self.targets.iter().map(|p| *p > HALF).collect();
                temperature_each(logits, &held, self.rows)
            }
            Decision::Value { .. } => 1.0,
        }
    }

    /// Mean cross-entropy and agreement of `[rows, classes]` logits with the targets.
    fn judge(&self, logits: &[f32]) -> (f64, f64) {
        let loss = self.loss().sum(logits, &self.targets, self.classes);
        let rows = logits.chunks_exact(self.classes).zip(self.targets.chunks_exact(self.classes));
        let agreed = rows.filter(|(logits, targets)| self.agrees(logits, targets)).count();
        (loss / self.rows as f64, agreed as f64 / self.rows as f64)
    }

    /// Whether a row's logits stand for the answer that the target probabilities do.
    fn agrees(&self, logits: &[f32], targets: &[f32]) -> bool {
        let mut pairs = logits.iter().zip(targets);
        match self.decision {
            Decision::Class => argmax(logits) == argmax(targets),
            Decision::Labels => pairs.all(|(logit, p)| (*logit > 0.0) == (*p > HALF)),
            Decision::Value { tolerance } => {
                pairs.all(|(logit, p)| (sigmoid(*logit) - p).abs() <= tolerance)
            }
        }
    }
}

/// The probability above which a label holds.
const HALF: f32 = 0.5;

fn gather(values: &[f32], width: usize, rows: &[u32]) -> Vec<f32> {
    let starts = rows.iter().map(|&row| row as usize * width);
    starts.flat_map(|start| &values[start..start + width]).copied().collect()
}

/// The best epoch of a run.
struct Run {
    network: Network,
    loss: f64,
    epoch: usize,
    decay: f32,
}

struct Lesson<'a> {
    learn: Part,
    judge: Part,
    settings: &'a Settings,
}

impl Lesson<'_> {
    /// One run from fresh weights; none if the loss never was finite.
    fn run(&self, decay: f32, progress: &mut dyn FnMut(Epoch)) -> Option<Run> {
        let mut learner = Learner::new(&self.learn, self.settings);
        let mut buffers = Buffers::new(&learner.network, self.judge.rows);
        let mut best: Option<Run> = None;
        for epoch in 1..=self.settings.epochs_max {
            let loss_train = learner.epoch(&self.learn, decay);
            let logits = buffers.forward(&learner.network, &self.judge.x, self.judge.rows);
            let (loss, agreement) = self.judge.judge(logits);
            progress(Epoch {
                weight_decay: decay,
                number: epoch,
                loss_train,
                loss_held_out: loss,
                agreement,
            });
            if loss.is_finite() && best.as_ref().is_none_or(|best| loss < best.loss) {
                best = Some(Run { network: learner.network.clone(), loss, epoch, decay });
            }
            let kept = best.as_ref().map_or(0, |best| best.epoch);
            if !loss.is_finite() || epoch - kept >= self.settings.patience_epochs {
                break;
            }
        }
        best
    }
}

/// A network in training, with every buffer a batch needs.
struct Learner {
    network: Network,
    gradient: Network,
    moments: [Moments; 4],
    buffers: Buffers,
    schedule: Schedule,
    steps: usize,
    order: Vec<u32>,
    x: Vec<f32>,
    targets: Vec<f32>,
    rng: fastrand::Rng,
}

impl Learner {
    fn new(part: &Part, settings: &Settings) -> Self {
        let mut rng = fastrand::Rng::with_seed(settings.seed);
        let network = Network::new(part.width, settings.hidden, part.classes, &mut rng);
        let batch = settings.batch(part.rows);
        let hidden = network.hidden.as_ref().map_or((0, 0), |l| (l.weight.len(), l.bias.len()));
        let head = (network.head.weight.len(), network.head.bias.len());
        Self {
            gradient: network.zeros_like(),
            moments: [hidden.0, hidden.1, head.0, head.1].map(Moments::new),
            buffers: Buffers::new(&network, batch),
            schedule: Schedule {
                peak: settings.rate(part.width),
                steps: settings.epochs_max.saturating_mul(part.rows.div_ceil(batch)),
            },
            steps: 0,
            order: (0..part.rows as u32).collect(),
            x: vec![0.0; batch * part.width],
            targets: vec![0.0; batch * part.classes],
            network,
            rng,
        }
    }

    /// Every row once, in a fresh order; the mean loss met on the way.
    fn epoch(&mut self, part: &Part, decay: f32) -> f64 {
        self.rng.shuffle(&mut self.order);
        let batch = self.targets.len() / part.classes;
        let mut loss = 0.0;
        for start in (0..part.rows).step_by(batch) {
            let rows = batch.min(part.rows - start);
            for i in 0..rows {
                let row = self.order[start + i] as usize;
                copy_row(&part.x, row, &mut self.x, i, part.width);
                copy_row(&part.targets, row, &mut self.targets, i, part.classes);
            }
            loss += self.step(rows * part.width, (rows * part.classes, part.loss()), decay);
        }
        loss / part.rows as f64
    }

    /// One batch: the first `x` features and `targets` probabilities gathered.
    fn step(&mut self, x: usize, (targets, by): (usize, Loss), decay: f32) -> f64 {
        let (x, targets) = (&self.x[..x], &self.targets[..targets]);
        let loss = self.buffers.backward(&self.network, x, (targets, by), &mut self.gradient);
        self.steps += 1;
        let step = Step::new(self.steps, self.schedule.rate(self.steps));
        let [hidden_weight, hidden_bias, head_weight, head_bias] = &mut self.moments;
        if let (Some(layer), Some(slope)) = (&mut self.network.hidden, &self.gradient.hidden) {
            hidden_weight.update(step, decay, &mut layer.weight, &slope.weight);
            hidden_bias.update(step, 0.0, &mut layer.bias, &slope.bias);
        }
        let (layer, slope) = (&mut self.network.head, &self.gradient.head);
        head_weight.update(step, decay, &mut layer.weight, &slope.weight);
        head_bias.update(step, 0.0, &mut layer.bias, &slope.bias);
        loss
    }
}

fn copy_row(from: &[f32], row: usize, to: &mut [f32], at: usize, width: usize) {
    to[at * width..(at + 1) * width].copy_from_slice(&from[row * width..(row + 1) * width]);
}

/// Folds temperature and standardisation into the layers and judges the result on raw features,
/// as it will be served.
fn finish(
    best: Run,
    judge: &Part,
    features: Features<'_>,
    held_out: &[u32],
    standardiser: &Standardiser,
) -> Trained {
    let Run { mut network, epoch, decay, .. } = best;
    let temperature = judge.temperature(&network.logits(&judge.x, judge.rows));
    network.head.scale(1.0 / temperature);
    standardiser.fold(network.first_mut());
    let raw = gather(features.values, features.width, held_out);
    let (loss, agreement) = judge.judge(&network.logits(&raw, judge.rows));
    let Network { hidden, head } = network;
    Trained { hidden, head, temperature, agreement, loss, epochs: epoch, weight_decay: decay }
}

#[cfg(test)]
mod tests;
