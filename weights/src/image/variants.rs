//! How checkpoints of networks over images spell the names of their tensors.

use crate::error::{Error, Result};
use crate::file::Checkpoint;
use crate::folder::CONFIG_FILE;
use crate::image::build::VGG_SIDE;
use crate::image::preprocessing::refit;
use crate::model::{Input, ModelSpec, Preprocessing};
use crate::network::{Conv, Filter, Head, Linear, NORM_PARTS, Network, Residual, Step};

/// Other names of the classifier.
const HEADS: [&str; 3] = ["linear", "classifier", "head.fc"];
/// torchvision's names of VGG's linear layers, and timm's.
const LINEARS: [(&str, &str); 2] =
    [("classifier.0.", "pre_logits.fc1."), ("classifier.3.", "pre_logits.fc2.")];

/// Sets names, and which convolutions have biases and norms, by what is there.
///
/// Known variants: the classifier as `fc` or `linear`, a shortcut as
/// `downsample` or `shortcut`, trained where a copy was expected, norms folded into biases
/// already, timm's names of VGG's linear layers.
pub(crate) fn fit(spec: &mut ModelSpec, checkpoint: &Checkpoint) -> Result<()> {
    let names = Variant { checkpoint };
    names.fit_copies(&mut spec.network);
    names.fit_linears(spec)?;
    spec.network.convs_mut().for_each(|conv| names.fit_conv(conv));
    fit_channels(spec, checkpoint)?;
    names.fit_head(&mut spec.network.head);
    Ok(())
}

fn weight_of(step: &Step) -> Option<&str> {
    match step {
        Step::Conv(Conv { filter: Filter::Trained { weight, .. }, .. }) => Some(weight),
        _ => None,
    }
}

/// How one checkpoint spells the names.
struct Variant<'a> {
    checkpoint: &'a Checkpoint,
}

impl Variant<'_> {
    fn has(&self, name: &str) -> bool {
        self.checkpoint.has(name)
    }

    /// A shortcut that adds empty channels is a trained one where the checkpoint holds it.
    fn fit_copies(&self, network: &mut Network) {
        for step in network.segments.iter_mut().flat_map(|segment| &mut segment.steps) {
            let Step::Residual(Residual { body, shortcut: Some(shortcut), .. }) = step else {
                continue;
            };
            let Step::Conv(shortcut) = &mut **shortcut else { continue };
            let Some(name) = body.first().and_then(weight_of) else { continue };
            let stem = name.strip_suffix("conv1.weight").unwrap_or(name);
            let trained = ["downsample", "shortcut"].map(|kind| format!("{stem}{kind}"));
            let found = trained.iter().find(|name| self.has(&format!("{name}.0.weight")));
            if let (Filter::Copy, Some(name)) = (&shortcut.filter, found) {
                let (weight, norm) = (format!("{name}.0.weight"), Some(format!("{name}.1")));
                shortcut.filter = Filter::Trained { weight, bias: None, norm };
            }
        }
    }

    /// timm's VGG: other names, and a map larger than 7x7 is not made smaller first.
    fn fit_linears(&self, spec: &mut ModelSpec) -> Result<()> {
        let is_mean = |step: &Step| matches!(step, Step::MeanTo { .. });
        let tail = &mut spec.network.tail;
        if !tail.iter().any(is_mean) || !self.has(&format!("{}weight", LINEARS[0].1)) {
            return Ok(());
        }
        for step in tail {
            let Step::Conv(Conv { filter: Filter::Trained { weight, bias, .. }, .. }) = step else {
                continue;
            };
            for (torch, timm) in LINEARS {
                *weight = weight.replace(torch, timm);
                *bias = bias.take().map(|bias| bias.replace(torch, timm));
            }
        }
        let (height, width) = map_before_tail(spec);
        if height.min(width) >= VGG_SIDE {
            spec.network.tail.retain(|step| !is_mean(step));
        } else if height.max(width) > VGG_SIDE {
            let expected = format!("one that leaves {VGG_SIDE} pixels on both sides or on neither");
            let found = format!("one that leaves {height}x{width}");
            let file = self.checkpoint.dir().join(CONFIG_FILE);
            return Err(Error::refused(&file, "input_size", expected, found));
        }
        Ok(())
    }

    /// Sets the names of a convolution by what is there.
    fn fit_conv(&self, conv: &mut Conv) {
        let Filter::Trained { weight, bias, norm } = &mut conv.filter else { return };
        if !self.has(weight) {
            let other = weight.replace(".downsample.", ".shortcut.");
            if self.has(&other) {
                *weight = other;
                *norm = norm.take().map(|norm| norm.replace(".downsample.", ".shortcut."));
            }
        }
        let own = weight.strip_suffix("weight").map(|stem| format!("{stem}bias"));
        *bias = bias.take().or(own.filter(|own| self.has(own)));
        // A bias and no norm at all: it was folded in by whoever saved this.
        let has_norm =
            |norm: &String| NORM_PARTS.iter().any(|part| self.has(&format!("{norm}.{part}")));
        *norm = norm.take().filter(|norm| bias.is_none() || has_norm(norm));
    }

    /// Finds the classifier.
    fn fit_head(&self, head: &mut Head) {
        let Some(classifier) = &mut head.classifier else { return };
        let Some(usual) = classifier.weights.first().cloned() else { return };
        let usual = usual.trim_end_matches(".weight");
        let mut stems = std::iter::once(usual).chain(HEADS);
        let stem = stems.find(|stem| self.has(&format!("{stem}.weight"))).unwrap_or(usual);
        *classifier = Linear::of(&[stem.to_owned()], classifier.inputs, classifier.outputs);
    }
}

/// The first convolution tells grey from colour where the configuration did not.
fn fit_channels(spec: &mut ModelSpec, checkpoint: &Checkpoint) -> Result<()> {
    let Input::Pixels(input) = &mut spec.input else { return Ok(()) };
    let Some(stem) = spec.network.convs_mut().next() else { return Ok(()) };
    let Filter::Trained { weight, .. } = &stem.filter else { return Ok(()) };
    let [_, channels, _, _] = *checkpoint.tensor(weight)?.shape() else { return Ok(()) };
    if spec.told.channels {
        return Ok(());
    }
    if let Some(preprocessing) = refit(input, channels) {
        *input = preprocessing;
        stem.inputs = channels;
    }
    Ok(())
}

/// Height and width of the map that the last segment leaves.
fn map_before_tail(spec: &ModelSpec) -> (usize, usize) {
    let Input::Pixels(Preprocessing { height, width, .. }) = spec.input else { return (1, 1) };
    let mut steps = spec.network.segments.iter().flat_map(|segment| &segment.steps);
    steps.try_fold((height, width), |map, step| step.map(map)).unwrap_or((height, width))
}
