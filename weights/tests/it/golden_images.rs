//! The networks that `tools/recipes/golden_images.py` makes resolve, and read finite values.

use std::path::{Path, PathBuf};

use offramp_weights::image::{ChannelOrder, Interpolation, Resize};
use offramp_weights::network::{Filter, Step};
use offramp_weights::{Checkpoint, ModelSpec, resolve};
use serde::Deserialize;

use crate::forward::forward;

const DIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/data/golden-images");

/// Name, pictures as `[channels, height, width]`, segments, width behind the last.
const CASES: [(&str, [usize; 3], usize, usize); 19] = [
    ("deit-hf", [1, 32, 32], 3, 32),
    ("deit-timm", [3, 24, 24], 3, 32),
    ("resnet-basic", [3, 33, 29], 5, 16),
    ("resnet-bottleneck", [3, 32, 32], 5, 32),
    ("resnet-bottleneck-v1", [3, 33, 29], 5, 32),
    ("resnet-cifar", [1, 28, 28], 9, 12),
    ("resnet-cifar-trained", [3, 15, 19], 9, 12),
    ("resnet-f16", [3, 32, 32], 5, 16),
    ("resnet-folded", [3, 32, 32], 5, 16),
    ("resnet-hf-basic", [3, 33, 29], 4, 12),
    ("resnet-hf-bottleneck", [1, 32, 32], 4, 24),
    ("resnet-hf-v1", [3, 40, 32], 4, 16),
    ("vgg", [3, 64, 40], 5, 16),
    ("vgg-bn", [1, 256, 224], 5, 16),
    ("vgg-timm", [3, 32, 32], 5, 16),
    ("vgg-timm-large", [1, 256, 288], 5, 16),
    ("vit-f16", [3, 32, 32], 3, 32),
    ("vit-hf", [3, 30, 30], 3, 32),
    ("vit-timm", [3, 32, 40], 3, 32),
];

/// How far values may be from PyTorch's: weights are folded to f32.
const TOLERANCE: f64 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    logits: Vec<f64>,
    /// Means over the map behind each segment.
    sites: Vec<Vec<f64>>,
}

fn open(name: &str) -> (ModelSpec, Checkpoint) {
    let dir: PathBuf = Path::new(DIR).join(name);
    let mut spec = ModelSpec::read(&dir).unwrap();
    let checkpoint = Checkpoint::open(&dir).unwrap();
    resolve(&mut spec, &checkpoint).unwrap();
    (spec, checkpoint)
}

#[test]
fn every_network_resolves_and_reads() {
    for (name, [channels, height, width], segments, last) in CASES {
        let (spec, checkpoint) = open(name);
        let found = spec.image().unwrap();
        assert_eq!(
            [found.channels, found.height, found.width],
            [channels, height, width],
            "{name}"
        );
        let found = (spec.sites(), spec.site_width(spec.sites() - 1));
        assert_eq!(found, (segments, last), "{name}");
        assert_eq!((spec.classes(), spec.labels.len()), (5, 5), "{name}");
        for conv in spec.network.convs() {
            let weights = conv.weights(&checkpoint, 0..conv.outputs).unwrap();
            let biases = conv.biases(&checkpoint).unwrap();
            assert_eq!(weights.len(), conv.outputs * conv.columns(), "{name}");
            assert_eq!(biases.len(), conv.outputs, "{name}");
        }
    }
}

/// Names, structure, strides, folding and the order of weights, all at once.
#[test]
fn every_network_gives_what_pytorch_gave() {
    for (name, [channels, height, width], ..) in CASES {
        let (spec, checkpoint) = open(name);
        let pixels = std::fs::read(Path::new(DIR).join(name).join("pixels.bin")).unwrap();
        let pictures = pixels.chunks_exact(channels * height * width);
        assert!(pictures.remainder().is_empty(), "{name}");
        let text = std::fs::read_to_string(Path::new(DIR).join(name).join("cases.json")).unwrap();
        let cases = serde_json::from_str::<Golden>(&text).unwrap().cases;
        assert_eq!(pictures.len(), cases.len(), "{name}");
        for (pixels, case) in pictures.zip(&cases) {
            let found = forward(&spec, &checkpoint, pixels);
            assert_close(name, &found.logits, &case.logits);
            assert_eq!(found.sites.len(), case.sites.len(), "{name}");
            for (found, expected) in found.sites.iter().zip(&case.sites) {
                assert_close(name, found, expected);
            }
        }
    }
}

#[track_caller]
fn assert_close(name: &str, found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(1.0_f64, |largest, value| largest.max(value.abs()));
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs() / largest;
        assert!(difference <= TOLERANCE, "{name}: {found} instead of {expected}");
    }
}

#[test]
fn no_network_is_left_out() {
    let entries = std::fs::read_dir(DIR).unwrap();
    let mut found: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    found.sort();
    assert_eq!(found, CASES.map(|case| case.0));
}

/// Each checkpoint spells its names in its own way.
#[test]
fn names_are_those_of_the_checkpoint() {
    let head = |name| open(name).0.network.head.classifier.unwrap().weights.remove(0);
    assert_eq!(head("resnet-basic"), "fc.weight");
    assert_eq!(head("resnet-bottleneck"), "fc.weight");
    assert_eq!(head("resnet-cifar"), "linear.weight");
    assert_eq!(head("resnet-hf-v1"), "classifier.1.weight");
    assert_eq!(head("vgg"), "classifier.6.weight");
    assert_eq!(head("vgg-timm"), "head.fc.weight");
    let (spec, _) = open("resnet-folded");
    let is_folded =
        |filter: &Filter| matches!(filter, Filter::Trained { bias: Some(_), norm: None, .. });
    assert!(spec.network.convs().all(|conv| is_folded(&conv.filter)));
}

#[test]
fn shortcuts_are_copies_unless_the_checkpoint_has_trained_ones() {
    let copies = |name| {
        let (spec, _) = open(name);
        spec.network.convs().filter(|conv| conv.filter == Filter::Copy).count()
    };
    assert_eq!(copies("resnet-cifar"), 2);
    assert_eq!(copies("resnet-cifar-trained"), 0);
}

#[test]
fn what_a_picture_becomes() {
    let (spec, _) = open("resnet-hf-v1");
    let found = spec.image().unwrap();
    let squashed = Resize::Squash { height: found.height, width: found.width };
    assert_eq!((found.resize, found.interpolation), (squashed, Interpolation::Bicubic));
    assert_eq!((&found.mean, &found.std), (&vec![0.5; 3], &vec![0.25; 3]));
    let order = |name| open(name).0.image().unwrap().order;
    assert_eq!(order("resnet-bottleneck-v1"), ChannelOrder::Bgr);
    assert_eq!(order("resnet-basic"), ChannelOrder::Rgb);
}

/// torchvision makes any map 7x7, timm only small ones.
#[test]
fn timm_leaves_large_maps_as_they_are() {
    let is_mean = |step: &Step| matches!(step, Step::MeanTo { .. });
    let means = |name| open(name).0.network.tail.iter().any(is_mean);
    assert!(means("vgg") && means("vgg-bn") && means("vgg-timm"));
    assert!(!means("vgg-timm-large"));
}
