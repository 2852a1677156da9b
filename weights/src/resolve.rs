//! A spec held against its checkpoint: every tensor that the model needs is there, and fits.

use crate::error::Result;
use crate::file::{Checkpoint, Tensor, shown};
use crate::leftover;
use crate::names::{Names, Part};
use crate::spec::{CLASSES_MAX, CONFIG_FILE, TextSpec, refit};

/// Finds out how the checkpoint names its tensors, sets `classes`, `labels` and `has_pooler` by
/// what is there, and checks the shape of every tensor needed. Values are checked when read.
///
/// A checkpoint without a classifier is a bare encoder: 0 classes, no labels. Errors name the
/// file, the tensor, the shape expected and the one found; a tensor of the encoder's own kind that
/// it has no place for is one, and so is an adapter. `spec` is then unchanged.
pub fn resolve(spec: &mut TextSpec, checkpoint: &Checkpoint) -> Result<Names> {
    let mut fitted = spec.clone();
    leftover::check_no_adapters(checkpoint)?;
    let start = format!("{}.", spec.family);
    let prefix = checkpoint.all_names().any(|name| name.starts_with(&start));
    let mut names = Names::new(spec.family, prefix);
    match checkpoint.get(&names.of(Part::Classifier, 0))? {
        Some(classifier) => fit_head(&mut fitted, &classifier)?,
        None => {
            names = names.without_head();
            fitted.classes = 0;
            fitted.labels.clear();
            fitted.has_pooler = checkpoint.has(&names.of(Part::Pooler, 0));
        }
    }
    fitted.scores.check(fitted.classes, &checkpoint.dir().join(CONFIG_FILE))?;
    check_shapes(&fitted, &names, checkpoint)?;
    leftover::check_none(&fitted, &names, checkpoint)?;
    *spec = fitted;
    Ok(names)
}

/// The classifier's rows are the classes. As many labels must be told of, or none.
fn fit_head(spec: &mut TextSpec, classifier: &Tensor<'_>) -> Result<()> {
    let misfit = |rows: &str| {
        let expected = format!("shape [{rows}, {}]", spec.hidden);
        classifier.misfit(expected, format!("shape {}", shown(classifier.shape())))
    };
    let classes = match *classifier.shape() {
        [classes, _] if (1..=CLASSES_MAX).contains(&classes) => classes,
        _ => return Err(misfit("classes")),
    };
    let labels = refit(&spec.labels, spec.labels_are_told, classes);
    let labels = labels.ok_or_else(|| misfit(&spec.labels.len().to_string()))?;
    spec.classes = classes;
    spec.labels = labels;
    spec.has_pooler = true;
    Ok(())
}

fn check_shapes(spec: &TextSpec, names: &Names, checkpoint: &Checkpoint) -> Result<()> {
    for (part, layer) in Part::of(spec) {
        names.find(checkpoint, part, layer)?.expect_shape(&part.shape(spec))?;
    }
    check_no_layer_after(spec, names, checkpoint)
}

/// A deeper checkpoint under a shallower config would run, and answer nonsense.
fn check_no_layer_after(spec: &TextSpec, names: &Names, checkpoint: &Checkpoint) -> Result<()> {
    let name = names.of(Part::Query, spec.layers);
    match checkpoint.has(&name) {
        false => Ok(()),
        true => {
            let expected = format!("{} layers, as config.json says", spec.layers);
            Err(checkpoint.misfit(&name, expected, "one more".into()))
        }
    }
}

impl Part {
    /// The parts that a model of `spec` has, each with its layer, or with 0.
    pub(crate) fn of(spec: &TextSpec) -> impl Iterator<Item = (Self, usize)> {
        let kinds = spec.kinds > 0;
        let embeddings =
            Self::EMBEDDINGS.into_iter().filter(move |part| *part != Self::KindEmbedding || kinds);
        let layers = (0..spec.layers).flat_map(|layer| Self::LAYER.map(|part| (part, layer)));
        let pooler = Self::POOLER.into_iter().filter(|_| spec.has_pooler);
        let classifier = Self::CLASSIFIER.into_iter().filter(|_| spec.classes > 0);
        let head = pooler.chain(classifier).map(|part| (part, 0));
        embeddings.map(|part| (part, 0)).chain(layers).chain(head)
    }

    /// The shape that a model of `spec` needs.
    pub fn shape(self, spec: &TextSpec) -> Vec<usize> {
        let (hidden, wide) = (spec.hidden, spec.intermediate);
        match self {
            Self::WordEmbedding => vec![spec.vocab, hidden],
            Self::PositionEmbedding => vec![spec.positions, hidden],
            Self::KindEmbedding => vec![spec.kinds, hidden],
            Self::Up => vec![wide, hidden],
            Self::Down => vec![hidden, wide],
            Self::Classifier => vec![spec.classes, hidden],
            Self::Query | Self::Key | Self::Value | Self::AttentionOut | Self::Pooler => {
                vec![hidden, hidden]
            }
            Self::UpBias => vec![wide],
            Self::ClassifierBias => vec![spec.classes],
            Self::EmbeddingNormScale
            | Self::EmbeddingNormShift
            | Self::QueryBias
            | Self::KeyBias
            | Self::ValueBias
            | Self::AttentionOutBias
            | Self::AttentionNormScale
            | Self::AttentionNormShift
            | Self::DownBias
            | Self::OutNormScale
            | Self::OutNormShift
            | Self::PoolerBias => vec![hidden],
        }
    }
}
