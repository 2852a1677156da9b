//! Image specs against checkpoints.

use offramp_weights::network::Filter;
use offramp_weights::{Checkpoint, Elem, ErrorKind, ModelSpec, resolve};

use crate::common::{self, IMAGE_CONFIG, Put};
use crate::{folder, text};

/// The spec as resolved against `puts`, or the error's text.
fn resolved(config: &str, puts: &[Put]) -> Result<ModelSpec, String> {
    let dir = folder(config, puts);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let mut spec = common::parse(config);
    let before = spec.clone();
    match resolve(&mut spec, &checkpoint) {
        Ok(()) => Ok(spec),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Tensor);
            assert_eq!(spec, before);
            let all = dir.path().display().to_string();
            Err(text(Err::<(), _>(error), dir.path()).replace(&all, "folder"))
        }
    }
}

/// The weight of the classifier.
fn weight(spec: &ModelSpec) -> &str {
    &spec.network.head.classifier.as_ref().unwrap().weights[0]
}

/// The tensors of the tiny network.
fn puts() -> Vec<Put> {
    common::tensors(&common::parse(IMAGE_CONFIG))
}

/// The same under other names.
fn renamed(name: impl Fn(&str) -> String) -> Vec<Put> {
    puts().into_iter().map(|put| Put { name: name(&put.name), ..put }).collect()
}

fn ones(name: &str, shape: &[usize]) -> Put {
    Put::floats(name, Elem::F32, shape, &vec![1.0; shape.iter().product()])
}

#[test]
fn a_whole_network() {
    let spec = resolved(IMAGE_CONFIG, &puts()).unwrap();
    assert_eq!(spec, common::parse(IMAGE_CONFIG));
}

#[test]
fn a_prefix_is_found() {
    for prefix in
        ["module.", "model.", "backbone.", "timm_model.", "module._orig_mod.", "net.model."]
    {
        let spec = resolved(IMAGE_CONFIG, &renamed(|name| format!("{prefix}{name}"))).unwrap();
        assert_eq!(spec, common::parse(IMAGE_CONFIG), "{prefix}");
    }
    // The classifier alone may stand outside.
    let outside = |name: &str| match name.starts_with("fc") {
        true => name.to_owned(),
        false => format!("backbone.{name}"),
    };
    assert_eq!(weight(&resolved(IMAGE_CONFIG, &renamed(outside)).unwrap()), "fc.weight");
}

#[test]
fn the_classifier_has_several_names() {
    for name in ["linear", "classifier", "head.fc"] {
        let spec = resolved(IMAGE_CONFIG, &renamed(|old| old.replace("fc", name))).unwrap();
        assert_eq!(weight(&spec), format!("{name}.weight"));
        assert_eq!(spec.network.head.classifier.unwrap().biases, [format!("{name}.bias")]);
    }
    let mut bare = puts();
    bare.retain(|put| put.name != "fc.bias");
    let error = resolved(IMAGE_CONFIG, &bare).unwrap_err();
    assert!(error.contains("no tensor `fc.bias`"), "{error}");
}

#[test]
fn the_classifier_says_how_many_classes() {
    let with_rows = |config: &str, rows: usize| {
        let mut puts = puts();
        puts.retain(|put| !put.name.starts_with("fc"));
        puts.extend([ones("fc.weight", &[rows, 6]), ones("fc.bias", &[rows])]);
        resolved(config, &puts)
    };
    let error = with_rows(IMAGE_CONFIG, 2).unwrap_err();
    let expected =
        "model.safetensors: tensor `fc.weight`: expected shape [3, 6], found shape [2, 6]";
    assert_eq!(error, expected);
    let unnamed = IMAGE_CONFIG.replace("label_names", "other");
    let error = with_rows(&unnamed, 5).unwrap_err();
    assert!(error.ends_with("expected shape [3, 6], found shape [5, 6]"), "{error}");
    let unnamed = unnamed.replace("\"num_classes\": 3,", "");
    let spec = with_rows(&unnamed, 5).unwrap();
    assert_eq!((spec.classes(), spec.labels[4].as_str()), (5, "LABEL_4"));
    let error = with_rows(&unnamed, 0).unwrap_err();
    assert!(error.ends_with("expected shape [classes, 6], found shape [0, 6]"), "{error}");
}

#[test]
fn the_first_convolution_tells_grey_from_colour() {
    let coloured = |config: &str| {
        let mut puts = puts();
        puts.retain(|put| put.name != "conv1.weight");
        puts.push(ones("conv1.weight", &[2, 3, 3, 3]));
        resolved(config, &puts)
    };
    let sizes = "\"input_size\": [1, 8, 6], \"mean\": [0.5], \"std\": [0.25], ";
    assert!(IMAGE_CONFIG.contains(sizes));
    let spec = coloured(&IMAGE_CONFIG.replace(sizes, "")).unwrap();
    let input = spec.image().unwrap();
    assert_eq!((input.channels, input.mean[0]), (3, 0.485));
    assert_eq!(spec.network.convs().next().unwrap().inputs, 3);
    // Each of these has said how many channels there are.
    for told in ["\"input_size\": [1, 8, 6], ", "\"mean\": [0.5], ", ""] {
        let args = if told.is_empty() { "\"model_args\": {\"in_chans\": 1}, " } else { "" };
        let config = IMAGE_CONFIG.replace(sizes, told).replacen('{', &format!("{{{args}"), 1);
        let error = coloured(&config).unwrap_err();
        let expected = "expected shape [2, 1, 3, 3], found shape [2, 3, 3, 3]";
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn shortcuts_may_be_trained() {
    for kind in ["shortcut", "downsample"] {
        let mut puts = puts();
        for (layer, outputs, inputs) in [(2, 4, 2), (3, 6, 4)] {
            let stem = format!("layer{layer}.0.{kind}");
            puts.push(ones(&format!("{stem}.0.weight"), &[outputs, inputs, 1, 1]));
            for part in ["weight", "bias", "running_mean", "running_var"] {
                puts.push(ones(&format!("{stem}.1.{part}"), &[outputs]));
            }
        }
        let spec = resolved(IMAGE_CONFIG, &puts).unwrap();
        assert!(spec.network.convs().all(|conv| conv.filter != Filter::Copy), "{kind}");
        puts.retain(|put| put.name != format!("layer3.0.{kind}.1.running_var"));
        let error = resolved(IMAGE_CONFIG, &puts).unwrap_err();
        assert!(error.contains("no tensor `layer3.0."), "{error}");
    }
}

#[test]
fn norms_may_be_folded_already() {
    let folded: Vec<_> = puts()
        .into_iter()
        .filter(|put| !put.name.contains("bn") || put.name.ends_with(".bias"))
        .map(|put| Put { name: put.name.replace("bn", "conv"), ..put })
        .collect();
    let spec = resolved(IMAGE_CONFIG, &folded).unwrap();
    let is_bare = |filter: &Filter| match filter {
        Filter::Trained { bias, norm, .. } => bias.is_some() && norm.is_none(),
        Filter::Copy => true,
    };
    assert!(spec.network.convs().all(|conv| is_bare(&conv.filter)));
    // Half a norm is none that was folded.
    let mut half = puts();
    half.retain(|put| put.name != "bn1.running_mean");
    half.push(ones("conv1.bias", &[2]));
    let error = resolved(IMAGE_CONFIG, &half).unwrap_err();
    assert!(error.contains("no tensor `bn1.running_mean`"), "{error}");
}

/// Every tensor, one at a time, must be there and of its own shape.
#[test]
fn every_tensor_is_checked() {
    for put in puts() {
        let name = &put.name;
        let others = || puts().into_iter().filter(|other| other.name != *name);
        let longer: Vec<_> = put.shape.iter().map(|dim| dim + 1).collect();
        let mut reshaped: Vec<_> = others().collect();
        reshaped.push(ones(name, &longer));
        let error = resolved(IMAGE_CONFIG, &reshaped).unwrap_err();
        assert!(error.contains(&format!("tensor `{name}`: expected shape ")), "{error}");
        if name != "fc.bias" {
            let error = resolved(IMAGE_CONFIG, &others().collect::<Vec<_>>()).unwrap_err();
            let expected = format!("folder: no tensor `{name}`; the nearest are ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn a_deeper_checkpoint_is_refused() {
    let deeper = IMAGE_CONFIG.replace("[1, 1, 1]", "[1, 1, 2]");
    let puts = common::tensors(&common::parse(&deeper));
    let error = resolved(IMAGE_CONFIG, &puts).unwrap_err();
    let expected = "model.safetensors: tensor `layer3.1.bn1.weight`: expected no such tensor in a \
                    resnet20 of 3 segments, found one: config.json is of another network";
    assert_eq!(error, expected);
    // What is no part of such a network does no harm, nor do counters.
    let mut more = self::puts();
    more.push(ones("ramps.0.weight", &[3, 2]));
    more.push(ones("bn1.num_batches_tracked", &[1]));
    more.push(Put::raw("layer1.0.bn1.num_batches_tracked", "I64", &[], vec![0; 8]));
    assert!(resolved(IMAGE_CONFIG, &more).is_ok());
}

const VGG: &str = r#"{"architecture": "vgg11", "depths": [1, 1], "widths": [2, 3], "num_classes": 3,
    "hidden_width": 4, "pretrained_cfg": {"input_size": [1, 32, 28]}}"#;

#[test]
fn linear_layers_are_flat_or_not() {
    let puts = common::tensors(&common::parse(VGG));
    assert!(resolved(VGG, &puts).is_ok());
    let flat = |put: Put| match &*put.name {
        "classifier.0.weight" => Put { shape: vec![4, 3 * 49], ..put },
        "classifier.3.weight" => Put { shape: vec![4, 4], ..put },
        _ => put,
    };
    let flat: Vec<_> = puts.into_iter().map(flat).collect();
    assert!(resolved(VGG, &flat).is_ok());
    let mut wrong = flat;
    wrong.retain(|put| put.name != "classifier.0.weight");
    wrong.push(ones("classifier.0.weight", &[4, 3]));
    let error = resolved(VGG, &wrong).unwrap_err();
    assert!(error.ends_with("expected shape [4, 147], found shape [4, 3]"), "{error}");
}

#[test]
fn timms_vgg_reads_no_map_that_is_both_small_and_large() {
    let timm = |config: &str| {
        let rename = |put: Put| {
            let name = put.name.replace("classifier.0", "pre_logits.fc1");
            let name = name.replace("classifier.3", "pre_logits.fc2");
            Put { name: name.replace("classifier.6", "head.fc"), ..put }
        };
        let puts = common::tensors(&common::parse(config)).into_iter().map(rename);
        let dir = folder(config, &puts.collect::<Vec<_>>());
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        let mut spec = common::parse(config);
        resolve(&mut spec, &checkpoint).map(|()| spec).map_err(|error| error.to_string())
    };
    let spec = timm(VGG).unwrap();
    assert_eq!((weight(&spec), spec.network.tail.len()), ("head.fc.weight", 2));
    let error = timm(&VGG.replace("[1, 32, 28]", "[1, 32, 24]")).unwrap_err();
    let expected = "config.json: `input_size` must be one that leaves 7 pixels on both sides or on \
                    neither, found one that leaves 8x6";
    assert!(error.ends_with(expected), "{error}");
    assert_eq!(timm(&VGG.replace("[1, 32, 28]", "[1, 16, 24]")).unwrap().network.tail.len(), 3);
}

const VIT: &str = r#"{"architecture": "vit_tiny_patch16_224",
    "model_args": {"embed_dim": 8, "depth": 2, "num_heads": 2, "patch_size": 4},
    "pretrained_cfg": {"input_size": [3, 8, 12]}, "num_classes": 3}"#;

#[test]
fn parts_of_other_vision_transformers_are_named() {
    let puts = || common::tensors(&common::parse(VIT));
    assert!(resolved(VIT, &puts()).is_ok());
    let parts = [
        ("pre_logits.fc.weight", "a hidden layer before the head"),
        ("norm_pre.weight", "a norm before the first block"),
        ("fc_norm.weight", "a norm behind the mean of all tokens"),
        ("attn_pool.q.weight", "a pool by attention"),
        ("head_dist.weight", "the second head of a distilled model"),
        ("dist_token", "the token of a distilled model"),
        ("reg_token", "register tokens"),
    ];
    for (name, what) in parts {
        // What such a part changes beside comes after it.
        let mut other = puts();
        other.retain(|put| put.name != "pos_embed");
        other.push(ones(name, &[1, 1, 8]));
        let error = resolved(VIT, &other).unwrap_err();
        let expected = format!(
            "tensor `{name}`: expected no such tensor in a vit_tiny_patch16_224, found {what}, \
             which is not run here"
        );
        assert!(error.ends_with(&expected), "{error}");
    }
}

#[test]
fn classes_of_a_vision_transformer_are_those_of_its_head() {
    let puts = common::tensors(&common::parse(VIT));
    let more = VIT.replacen("\"num_classes\": 3", "\"num_classes\": 4", 1);
    let error = resolved(&more, &puts).unwrap_err();
    assert!(error.ends_with("expected shape [4, 8], found shape [3, 8]"), "{error}");
    let untold = VIT.replacen(", \"num_classes\": 3", "", 1);
    assert_eq!(resolved(&untold, &puts).unwrap().classes(), 3);
}

/// The scale that timm takes for ViT is the same for each colour, and for grey.
#[test]
fn a_grey_vision_transformer_keeps_its_scale() {
    let untold = VIT.replacen("\"input_size\": [3, 8, 12]", "\"crop_pct\": 1", 1);
    let grey = untold.replacen("\"patch_size\": 4", "\"patch_size\": 16, \"in_chans\": 1", 1);
    let colour = untold.replacen("\"patch_size\": 4", "\"patch_size\": 16", 1);
    let spec = resolved(&colour, &common::tensors(&common::parse(&grey))).unwrap();
    let input = spec.image().unwrap();
    assert_eq!((input.channels, &input.mean, &input.std), (1, &vec![0.5], &vec![0.5]));
}
