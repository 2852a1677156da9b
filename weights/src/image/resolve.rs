//! An image spec held against its checkpoint: every tensor needed is there, fits, and none is left.

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::file::{Checkpoint, Tensor, shown};
use crate::image::build::VGG_SIDE;
use crate::image::fold::NORM_PARTS;
use crate::image::{Conv, Filter, ImageSpec, Step};
use crate::leftover::check_no_adapters;
use crate::spec::{CLASSES_MAX, CONFIG_FILE, refit};

/// Other names of the classifier.
const HEADS: [&str; 3] = ["linear", "classifier", "head.fc"];
/// torchvision's names of VGG's linear layers, and timm's.
const LINEARS: [(&str, &str); 2] =
    [("classifier.0.", "pre_logits.fc1."), ("classifier.3.", "pre_logits.fc2.")];

/// Finds out how the checkpoint names its tensors, which of them have biases and norms, and sets
/// names, channels, classes and labels by what is there; then checks every shape. Values are
/// checked when read.
///
/// Known variants: the classifier as `fc` or `linear`, a shortcut as
/// `downsample` or `shortcut`, trained where a copy was expected, norms folded into biases
/// already, timm's names of VGG's linear layers.
///
/// Errors name the file, the tensor, what was expected and what was found; a tensor of the
/// network's own kind that it has no place for is one: the checkpoint is of a deeper network.
/// `spec` is then unchanged.
pub fn resolve_image(spec: &mut ImageSpec, checkpoint: &Checkpoint) -> Result<()> {
    let mut fitted = spec.clone();
    check_no_adapters(checkpoint)?;
    let names = Variant { checkpoint };
    names.fit_copies(&mut fitted);
    names.fit_linears(&mut fitted)?;
    fitted.convs_mut().for_each(|conv| names.fit_conv(conv));
    fit_channels(&mut fitted, checkpoint)?;
    names.fit_head(&mut fitted)?;
    fitted.convs().try_for_each(|conv| check_conv(conv, checkpoint))?;
    check_head(&fitted, checkpoint)?;
    fitted.scores.check(fitted.head.classes, &checkpoint.dir().join(CONFIG_FILE))?;
    check_none_left(&fitted, checkpoint)?;
    *spec = fitted;
    Ok(())
}

fn weight_of(conv: &Conv) -> Option<&str> {
    match &conv.filter {
        Filter::Trained { weight, .. } => Some(weight),
        Filter::Copy => None,
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
    fn fit_copies(&self, spec: &mut ImageSpec) {
        let body = spec.segments.iter_mut().flat_map(|segment| &mut segment.steps);
        for step in body {
            let Step::Residual { path, shortcut: Some(shortcut) } = step else { continue };
            let Some(name) = path.first().and_then(weight_of) else { continue };
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
    fn fit_linears(&self, spec: &mut ImageSpec) -> Result<()> {
        let is_timm = spec.tail.iter().any(|step| matches!(step, Step::MeanTo { .. }))
            && self.has(&format!("{}weight", LINEARS[0].1));
        if !is_timm {
            return Ok(());
        }
        for conv in spec.tail.iter_mut().flat_map(Step::convs_mut) {
            let Filter::Trained { weight, bias, .. } = &mut conv.filter else { continue };
            for (torch, timm) in LINEARS {
                *weight = weight.replace(torch, timm);
                *bias = bias.take().map(|bias| bias.replace(torch, timm));
            }
        }
        let (height, width) = spec.map_before_tail();
        if height.min(width) >= VGG_SIDE {
            spec.tail.retain(|step| !matches!(step, Step::MeanTo { .. }));
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

    /// Finds the classifier, and sets the classes and their labels by its rows.
    fn fit_head(&self, spec: &mut ImageSpec) -> Result<()> {
        let usual = spec.head.weight.trim_end_matches(".weight").to_owned();
        let mut stems = std::iter::once(usual.as_str()).chain(HEADS);
        let stem = stems.find(|stem| self.has(&format!("{stem}.weight"))).unwrap_or(&usual);
        let weight = self.checkpoint.tensor(&format!("{stem}.weight"))?;
        let classes = match *weight.shape() {
            [classes, _] if (1..=CLASSES_MAX).contains(&classes) => classes,
            _ => return Err(head_misfit(&weight, "classes", spec.head.features)),
        };
        let Some(labels) = refit(&spec.labels, spec.told.classes, classes) else {
            let classes = spec.labels.len().to_string();
            return Err(head_misfit(&weight, &classes, spec.head.features));
        };
        spec.head.bias = format!("{stem}.bias");
        (spec.head.weight, spec.head.classes) = (format!("{stem}.weight"), classes);
        spec.labels = labels;
        Ok(())
    }
}

fn head_misfit(weight: &Tensor<'_>, classes: &str, features: usize) -> Error {
    let expected = format!("shape [{classes}, {features}]");
    weight.misfit(expected, format!("shape {}", shown(weight.shape())))
}

/// The first convolution tells grey from colour where the configuration did not.
fn fit_channels(spec: &mut ImageSpec, checkpoint: &Checkpoint) -> Result<()> {
    let Some(stem) = spec.convs_mut().next() else { return Ok(()) };
    let Filter::Trained { weight, .. } = &stem.filter else { return Ok(()) };
    let [_, channels, _, _] = *checkpoint.tensor(weight)?.shape() else { return Ok(()) };
    if spec.told.channels {
        return Ok(());
    }
    if let Some(preprocessing) = spec.preprocessing.refit(channels) {
        spec.preprocessing = preprocessing;
        if let Some(stem) = spec.convs_mut().next() {
            stem.inputs = channels;
        }
    }
    Ok(())
}

fn check_conv(conv: &Conv, checkpoint: &Checkpoint) -> Result<()> {
    let Filter::Trained { weight, bias, norm } = &conv.filter else { return Ok(()) };
    let tensor = checkpoint.tensor(weight)?;
    match tensor.shape().len() {
        // A linear layer over a flattened map.
        2 => tensor.expect_shape(&[conv.outputs, conv.columns()])?,
        _ => tensor.expect_shape(&[conv.outputs, conv.inputs, conv.kernel, conv.kernel])?,
    }
    let norms = norm.iter().flat_map(|norm| NORM_PARTS.map(|part| format!("{norm}.{part}")));
    let mut vectors = bias.iter().cloned().chain(norms);
    vectors.try_for_each(|name| checkpoint.tensor(&name)?.expect_shape(&[conv.outputs]))
}

fn check_head(spec: &ImageSpec, checkpoint: &Checkpoint) -> Result<()> {
    let head = &spec.head;
    checkpoint.tensor(&head.weight)?.expect_shape(&[head.classes, head.features])?;
    checkpoint.tensor(&head.bias)?.expect_shape(&[head.classes])
}

/// A tensor whose name begins as the network's own do, and that it has no use for, means another
/// network: it would run, and answer nonsense.
fn check_none_left(spec: &ImageSpec, checkpoint: &Checkpoint) -> Result<()> {
    let used = spec.tensors();
    let roots: BTreeSet<_> = used.iter().map(|name| root(name)).collect();
    let counts = |name: &str| name.ends_with("num_batches_tracked");
    let mut left = checkpoint.all_names().filter(|name| !used.contains(*name) && !counts(name));
    match left.find(|name| roots.contains(root(name))) {
        None => Ok(()),
        Some(name) => {
            let expected = format!("no such tensor in a {}", spec.architecture);
            let found = "one: config.json is of another network".into();
            Err(checkpoint.misfit(name, expected, found))
        }
    }
}

/// The letters that a name begins with: `layer` of `layer1.0.conv1.weight`.
fn root(name: &str) -> &str {
    name.split(|c: char| c == '.' || c.is_ascii_digit()).next().unwrap_or(name)
}

impl ImageSpec {
    /// The names of all tensors that it reads.
    pub fn tensors(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::from([self.head.weight.clone(), self.head.bias.clone()]);
        for conv in self.convs() {
            let Filter::Trained { weight, bias, norm } = &conv.filter else { continue };
            names.insert(weight.clone());
            names.extend(bias.clone());
            let parts = |norm: &String| NORM_PARTS.map(|part| format!("{norm}.{part}"));
            names.extend(norm.iter().flat_map(parts));
        }
        names
    }

    /// Height and width of the map that the last segment leaves.
    fn map_before_tail(&self) -> (usize, usize) {
        let Self { preprocessing, segments, .. } = self;
        let start = (preprocessing.height, preprocessing.width);
        let mut steps = segments.iter().flat_map(|segment| &segment.steps);
        steps.try_fold(start, |map, step| step.map(map)).unwrap_or(start)
    }
}
