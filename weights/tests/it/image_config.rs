//! config.json of image networks: what is understood, and what is refused by name.

use offramp_weights::ModelSpec;
use offramp_weights::image::{ChannelOrder, Interpolation, Middle, Preprocessing, Resize};
use offramp_weights::network::{Conv, Filter, Residual, Step};

use crate::common::{self, IMAGE_CONFIG};

fn parse(json: &str) -> Result<ModelSpec, String> {
    let spec = ModelSpec::parse(json.as_bytes(), "config.json".as_ref());
    spec.map_err(|error| error.to_string())
}

/// A bare configuration of `architecture`, with `more` keys.
fn named(architecture: &str, more: &str) -> Result<ModelSpec, String> {
    parse(&format!(r#"{{"architecture": "{architecture}"{more}}}"#))
}

#[track_caller]
fn refused(found: Result<ModelSpec, String>, expected: &str) {
    assert_eq!(found.unwrap_err(), format!("config.json: {expected}"));
}

/// The convolutions behind each other, without names: inputs, outputs, kernel, stride.
fn shapes(spec: &ModelSpec) -> Vec<[usize; 4]> {
    spec.network.convs().map(|conv| [conv.inputs, conv.outputs, conv.kernel, conv.stride]).collect()
}

/// Channels that the classifier reads.
fn features(spec: &ModelSpec) -> usize {
    spec.network.head.classifier.as_ref().unwrap().inputs
}

/// The convolutions of a block's body.
fn path(block: &Residual) -> Vec<&Conv> {
    let convs = block.body.iter().map(|step| match step {
        Step::Conv(conv) => conv,
        other => panic!("{other:?}"),
    });
    convs.collect()
}

#[test]
fn a_small_residual_network() {
    let spec = parse(IMAGE_CONFIG).unwrap();
    let expected = Preprocessing {
        height: 8,
        width: 6,
        channels: 1,
        order: ChannelOrder::Rgb,
        resize: Resize::Cover { height: 8, width: 6 },
        middle: Middle::Even,
        interpolation: Interpolation::Bilinear,
        mean: vec![0.5],
        std: vec![0.25],
    };
    assert_eq!(*spec.image().unwrap(), expected);
    assert_eq!(spec.labels, ["no", "yes", "maybe"]);
    let names: Vec<_> = spec.network.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["layer1.0", "layer2.0", "layer3.0"]);
    let widths: Vec<_> = spec.network.segments.iter().map(|segment| segment.width()).collect();
    assert_eq!(widths, [2, 4, 6]);
    assert_eq!((spec.network.tail.len(), features(&spec), spec.classes()), (0, 6, 3));
    let stem = Conv {
        filter: Filter::Trained {
            weight: "conv1.weight".into(),
            bias: None,
            norm: Some("bn1".into()),
        },
        inputs: 1,
        outputs: 2,
        kernel: 3,
        stride: 1,
        padding: 1,
        relu: true,
    };
    let [Step::Conv(first), Step::Residual(block)] = &spec.network.segments[0].steps[..] else {
        panic!("{:?}", spec.network.segments[0].steps)
    };
    assert_eq!(*first, stem);
    assert_eq!((&block.shortcut, block.relu), (&None, true));
    assert_eq!(path(block).iter().map(|conv| conv.relu).collect::<Vec<_>>(), [true, false]);
    let [Step::Residual(block)] = &spec.network.segments[1].steps[..] else {
        panic!("{:?}", spec.network.segments[1].steps)
    };
    let path = path(block);
    let Some(Step::Conv(shortcut)) = block.shortcut.as_deref() else { panic!("{block:?}") };
    assert_eq!((path[0].stride, path[1].stride), (2, 1));
    assert_eq!(shortcut.filter, Filter::Copy);
    assert_eq!((shortcut.inputs, shortcut.outputs, shortcut.stride), (2, 4, 2));
}

#[test]
fn architectures_have_their_known_sizes() {
    let known = [
        ("resnet18", 8, 20, 512),
        ("resnet34", 16, 36, 512),
        ("resnet50", 16, 53, 2048),
        ("resnet101", 33, 104, 2048),
        ("resnet152", 50, 155, 2048),
        ("resnet20", 9, 21, 64),
        ("resnet32", 15, 33, 64),
        ("resnet44", 21, 45, 64),
        ("resnet56", 27, 57, 64),
        ("resnet110", 54, 111, 64),
        ("vgg11", 5, 10, 4096),
        ("vgg13_bn", 5, 12, 4096),
        ("vgg16", 5, 15, 4096),
        ("vgg19_bn", 5, 18, 4096),
    ];
    for (name, segments, convs, width) in known {
        let spec = named(name, "").unwrap();
        let found = (spec.sites(), spec.network.convs().count(), features(&spec));
        assert_eq!(found, (segments, convs, width), "{name}");
        assert_eq!((spec.classes(), spec.labels[999].as_str()), (1000, "LABEL_999"), "{name}");
    }
    let parameters = |name: &str| {
        let spec = named(name, "").unwrap();
        let convs: usize = spec.network.convs().map(|conv| conv.outputs * conv.columns()).sum();
        convs + features(&spec) * spec.classes()
    };
    assert_eq!(parameters("resnet50"), 25_502_912);
    assert_eq!(parameters("vgg16"), 138_344_128);
}

#[test]
fn a_bottleneck_strides_in_its_3x3_or_in_its_first() {
    let first_of_stage = |more: &str| {
        let spec = named("resnet50", more).unwrap();
        let [Step::Residual(block)] = &spec.network.segments[3].steps[..] else { panic!() };
        path(block).iter().map(|conv| conv.stride).collect::<Vec<_>>()
    };
    assert_eq!(first_of_stage(""), [1, 2, 1]);
    assert_eq!(first_of_stage(r#", "stride_in_1x1": true"#), [2, 1, 1]);
    let expected =
        "`stride_in_1x1` must be false: this architecture has no bottlenecks, found true";
    refused(named("resnet18", r#", "stride_in_1x1": true"#), expected);
}

#[test]
fn vgg_numbers_its_layers_as_torchvision() {
    let weights = |name: &str| {
        let spec = named(name, "").unwrap();
        let weight = |conv: &Conv| match &conv.filter {
            Filter::Trained { weight, .. } => weight.trim_end_matches(".weight").to_owned(),
            Filter::Copy => panic!("a copy"),
        };
        spec.network.convs().map(weight).collect::<Vec<_>>().join(" ")
    };
    let expected = "features.0 features.2 features.5 features.7 features.10 features.12 \
                    features.14 features.17 features.19 features.21 features.24 features.26 \
                    features.28 classifier.0 classifier.3";
    assert_eq!(weights("vgg16"), expected);
    let expected = "features.0 features.4 features.8 features.11 features.15 features.18 \
                    features.22 features.25 classifier.0 classifier.3";
    assert_eq!(weights("vgg11_bn"), expected);
    let spec = named("vgg16", "").unwrap();
    let names: Vec<_> = spec.network.segments.iter().map(|segment| segment.name.as_str()).collect();
    assert_eq!(names, ["features.4", "features.9", "features.16", "features.23", "features.30"]);
    assert_eq!(spec.network.tail[0], Step::MeanTo { side: 7 });
    assert_eq!(shapes(&spec)[13..], [[512, 4096, 7, 1], [4096, 4096, 1, 1]]);
}

#[test]
fn hugging_faces_words() {
    let config = r#"{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16],
        "depths": [2, 1], "layer_type": "bottleneck", "hidden_act": "relu", "num_channels": 1,
        "downsample_in_first_stage": true, "id2label": {"0": "cat", "1": "dog"}}"#;
    let spec = parse(config).unwrap();
    assert_eq!((spec.name(), spec.labels.len()), ("resnet", 2));
    assert_eq!(spec.image().unwrap().channels, 1);
    let expected = [
        [1, 8, 7, 2],
        [8, 2, 1, 1],
        [2, 2, 3, 2],
        [2, 8, 1, 1],
        [8, 8, 1, 2],
        [8, 2, 1, 1],
        [2, 2, 3, 1],
        [2, 8, 1, 1],
        [8, 4, 1, 1],
        [4, 4, 3, 2],
        [4, 16, 1, 1],
        [8, 16, 1, 2],
    ];
    assert_eq!(shapes(&spec), expected);
    assert_eq!(spec.network.segments[1].name, "stages.0.layers.1");
    let names: Vec<_> = spec.network.tensors().map(|form| form.name).collect();
    let last = "resnet.encoder.stages.1.layers.0.layer.2.normalization.running_var";
    let shortcut = "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight";
    assert!([last, shortcut].iter().all(|name| names.iter().any(|own| own == name)), "{names:?}");
    let with = |from: &str, to: &str| parse(&config.replacen(from, to, 1));
    refused(with("\"relu\"", "\"gelu\""), "`hidden_act` must be `relu`, found `gelu`");
    refused(with("bottleneck", "wide"), "`layer_type` must be basic or bottleneck, found `wide`");
    refused(with("[8, 16]", "[8, 18]"), "`hidden_sizes` must be multiples of 4, found 18");
    let expected = "`hidden_sizes` must be as many stages as `depths`, 2, found 1";
    refused(with("[8, 16]", "[8]"), expected);
    refused(with("[2, 1]", "[100, 100]"), "`depths` must be at most 128 in all, found 200");
    refused(
        with("\"num_channels\": 1", "\"num_channels\": 4"),
        "`num_channels` must be of 1 channel or 3, found 4 channels",
    );
    refused(with("_size\": 8", "_size\": 0"), "`embedding_size` must be 1 to 16384, found 0");
}

#[test]
fn what_is_not_given_is_as_usual() {
    let spec = named("resnet50", "").unwrap();
    let found = spec.image().unwrap();
    assert_eq!((found.channels, found.height, found.width), (3, 224, 224));
    assert_eq!(found.resize, Resize::Shorter { side: 256 });
    assert_eq!(found.interpolation, Interpolation::Bicubic);
    assert_eq!((found.mean[0], found.std[2]), (0.485, 0.225));
    let small = named("resnet20", "").unwrap();
    let found = small.image().unwrap();
    assert_eq!((found.channels, found.height), (3, 32));
    assert_eq!(found.resize, Resize::Shorter { side: 32 });
    assert_eq!(found.interpolation, Interpolation::Bilinear);
    let grey = named("vgg11", r#", "pretrained_cfg": {"input_size": [1, 64, 64]}"#).unwrap();
    let found = grey.image().unwrap();
    assert_eq!((&found.mean, &found.std), (&vec![0.449], &vec![0.226]));
    let grey = named("vgg11", r#", "pretrained_cfg": {"mean": [0.3], "std": [0.2]}"#).unwrap();
    let inputs = grey.network.convs().next().unwrap().inputs;
    assert_eq!((grey.image().unwrap().channels, inputs), (1, 1));
    let found = named("vgg11", r#", "channel_order": "bgr""#).unwrap();
    assert_eq!(found.image().unwrap().order, ChannelOrder::Bgr);
}

#[test]
fn preprocessing_out_of_range_is_refused() {
    let with = |keys: &str| named("resnet18", &format!(r#", "pretrained_cfg": {{{keys}}}"#));
    let cases = [
        (r#""input_size": [2, 8, 8]"#, "`input_size` must be of 1 channel or 3, found 2 channels"),
        (
            r#""input_size": [3, 0, 8]"#,
            "`input_size` must be 1 to 4096 pixels high and wide, found 0",
        ),
        (
            r#""input_size": [3, 8, 9999]"#,
            "`input_size` must be 1 to 4096 pixels high and wide, found 9999",
        ),
        (r#""mean": [0.5, 0.5]"#, "`mean` must be of 1 channel or 3, found 2 channels"),
        (
            r#""input_size": [3, 64, 64], "mean": [0.5]"#,
            "`mean` must be one value per channel, 3, found 1",
        ),
        (r#""std": [0.5, 0, 0.5]"#, "`std` must be finite, above 0, found 0"),
        (r#""std": [0.5, 1e300, 0.5]"#, "`std` must be finite, above 0, found inf"),
        (
            r#""mean": [123.675, 116.28, 103.53]"#,
            "`mean` must be from 0 to 1, as levels are, found 123.675",
        ),
        (r#""crop_pct": 0"#, "`crop_pct` must be 0.01 to 1, found 0"),
        (r#""crop_pct": 1.5"#, "`crop_pct` must be 0.01 to 1, found 1.5"),
        (r#""crop_mode": "border""#, "`crop_mode` must be `center` or `squash`, found `border`"),
        (
            r#""interpolation": "lanczos""#,
            "`interpolation` must be nearest, bilinear or bicubic, found `lanczos`",
        ),
    ];
    for (keys, expected) in cases {
        refused(with(keys), expected);
    }
    refused(
        named("vgg11", r#", "channel_order": "gbr""#),
        "`channel_order` must be rgb or bgr, found `gbr`",
    );
}

#[test]
fn an_input_of_which_nothing_is_left_is_refused() {
    let sized = |name: &str, side: usize| {
        named(name, &format!(r#", "pretrained_cfg": {{"input_size": [3, {side}, {side}]}}"#))
    };
    assert!(sized("vgg11", 32).is_ok());
    let expected = "`input_size` must be large enough for vgg11: features.20 is left with nothing, \
                    found 31x31";
    refused(sized("vgg11", 31), expected);
    // Padding keeps a residual network's maps alive.
    assert!(sized("resnet18", 1).is_ok());
}

#[test]
fn overrides_are_checked() {
    let cases = [
        ("resnet18", r#""depths": []"#, "`depths` must be one stage or more, found none"),
        ("resnet18", r#""depths": [1, 0, 1, 1]"#, "`depths` must be 1 to 128, found 0"),
        (
            "resnet18",
            r#""depths": [1, 1]"#,
            "`widths` must be as many stages as `depths`, 2, found 4",
        ),
        ("resnet18", r#""widths": [1, 2, 3, 5000]"#, "`widths` must be 1 to 4096, found 5000"),
        ("resnet18", r#""stem_width": -1"#, "`stem_width` must be 1 to 16384, found -1"),
        (
            "resnet18",
            r#""hidden_width": 8"#,
            "`hidden_width` must be left out for this architecture, found it",
        ),
        (
            "vgg11",
            r#""stem_width": 8"#,
            "`stem_width` must be left out for this architecture, found it",
        ),
        ("vgg11", r#""hidden_width": 0"#, "`hidden_width` must be 1 to 16384, found 0"),
        (
            "resnet20",
            r#""widths": [8, 4, 8]"#,
            "`widths` must be rising: the shortcuts of this architecture only add channels, \
             found [8, 4, 8]",
        ),
        (
            "resnet20",
            r#""stem_width": 32"#,
            "`stem_width` must be 1 to 16, the first of `widths`, found 32",
        ),
    ];
    for (name, keys, expected) in cases {
        refused(named(name, &format!(", {keys}")), expected);
    }
    let error = named("resnet19", "").unwrap_err();
    assert!(error.contains("one of resnet18, 34, 50, 101, 152 (ImageNet), resnet20"), "{error}");
    assert!(error.ends_with("found `resnet19`"), "{error}");
}

#[test]
fn labels() {
    let found = |more: &str| named("resnet18", more).map(|spec| spec.labels);
    assert_eq!(found(r#", "label_names": ["a", "b"]"#).unwrap(), ["a", "b"]);
    assert_eq!(found(r#", "id2label": {"1": "b", "0": "a"}"#).unwrap(), ["a", "b"]);
    assert_eq!(found(r#", "num_classes": 3"#).unwrap(), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    let expected = "`num_classes` must be 2, the number of entries in `label_names`, found 3";
    refused(named("resnet18", r#", "num_classes": 3, "label_names": ["a", "b"]"#), expected);
    refused(
        named("vgg11", r#", "label_names": []"#),
        "`label_names` must be one label or more, found none",
    );
    refused(named("vgg11", r#", "num_classes": 0"#), "`num_classes` must be 1 to 65536, found 0");
}

#[test]
fn a_spec_answers_for_text_and_images_alike() {
    let file = "config.json".as_ref();
    let image = ModelSpec::parse(IMAGE_CONFIG.as_bytes(), file).unwrap();
    assert_eq!((image.name(), image.classes(), image.sites()), ("resnet20", 3, 3));
    assert_eq!([0, 1, 2, 3].map(|site| image.site_width(site)), [2, 4, 6, 0]);
    assert!(image.text().is_none() && image.image().is_some());
    let text = common::spec();
    assert_eq!((text.name(), text.classes(), text.sites()), ("bert", 3, 2));
    assert_eq!([0, 1, 2].map(|site| text.site_width(site)), [4, 4, 0]);
    assert_eq!(text.labels(), image.labels());
    assert!(text.image().is_none() && text.text().is_some());
}

#[test]
fn a_network_of_timm_may_be_wrapped_by_transformers() {
    let with = |keys: &str| {
        let config = IMAGE_CONFIG.replacen('{', &format!("{{{keys}"), 1);
        ModelSpec::parse(config.as_bytes(), "config.json".as_ref())
    };
    let plain = with("").unwrap();
    let wrapped = r#""model_type": "timm_wrapper", "do_pooling": true, "initializer_range": 0.02,
        "architectures": ["TimmWrapperForImageClassification"], "#;
    assert_eq!(with(wrapped).unwrap(), plain);
    let error = with(r#""model_type": "beit", "#).unwrap_err().to_string();
    assert!(error.contains("`model_type` must be one of"), "{error}");
}

const VIT: &str = r#"{"architecture": "vit_tiny_patch16_224", "num_classes": 3,
    "global_pool": "token",
    "model_args": {"embed_dim": 8, "depth": 2, "num_heads": 2, "patch_size": 4},
    "pretrained_cfg": {"input_size": [3, 8, 12]}}"#;

#[test]
fn a_vision_transformer_by_timm() {
    let spec = parse(VIT).unwrap();
    assert_eq!((spec.sites(), spec.site_width(0), spec.classes()), (2, 8, 3));
    assert_eq!(spec.network.image_tokens(), Some(7), "six patches behind a class token");
    assert_eq!(spec.network.attention_heads(), Some(2));
    let names: Vec<_> = spec.network.tensors().map(|form| form.name).collect();
    for name in ["cls_token", "pos_embed", "blocks.1.attn.qkv.weight", "norm.bias", "head.weight"] {
        assert!(names.iter().any(|own| own == name), "{name}: {names:?}");
    }
    let full = named("deit_small_patch16_224", "").unwrap();
    assert_eq!((full.sites(), full.site_width(11)), (12, 384));
    assert_eq!(full.network.image_tokens(), Some(197));
}

#[test]
fn what_a_vision_transformer_cannot_be_here_is_refused() {
    let with = |from: &str, to: &str| parse(&VIT.replacen(from, to, 1));
    refused(with("\"token\"", "\"avg\""), "`global_pool` must be `token`, found `avg`");
    refused(
        with("\"depth\": 2", "\"init_values\": 1e-5"),
        "`model_args.init_values` must be left out, found 1e-5",
    );
    refused(
        with("\"num_heads\": 2", "\"num_heads\": 3"),
        "`model_args.num_heads` must be a divisor of model_args.embed_dim, which is 8, found 3",
    );
    let distilled = named("deit_tiny_distilled_patch16_224", "").unwrap_err();
    assert!(distilled.contains("`architecture` must be one of"), "{distilled}");
}

const HUGGING_VIT: &str = r#"{"model_type": "vit", "hidden_size": 8, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 12, "image_size": 8, "patch_size": 4,
    "num_channels": 3}"#;

#[test]
fn a_vision_transformer_reads_pictures_as_timm_does() {
    let read = |architecture: &str, more: &str| {
        let input = named(architecture, more).unwrap().image().unwrap().clone();
        (input.resize, input.interpolation, input.mean, input.std)
    };
    let shorter = |side| Resize::Shorter { side };
    let imagenet = || (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]);
    let half = || (vec![0.5; 3], vec![0.5; 3]);
    for (architecture, side, (mean, std)) in [
        ("vit_base_patch16_224", 248, half()),
        ("vit_base_patch16_384", 384, half()),
        ("deit_base_patch16_224", 248, imagenet()),
        ("deit_base_patch16_384", 384, imagenet()),
    ] {
        let expected = (shorter(side), Interpolation::Bicubic, mean, std);
        assert_eq!(read(architecture, ""), expected, "{architecture}");
    }
    let told = r#", "crop_pct": 0.5, "interpolation": "bilinear", "mean": [0.1, 0.2, 0.3]"#;
    let (resize, interpolation, mean, _) = read("vit_base_patch16_224", told);
    let expected = (shorter(448), Interpolation::Bilinear, vec![0.1, 0.2, 0.3]);
    assert_eq!((resize, interpolation, mean), expected);
}

#[test]
fn keys_of_other_networks_are_refused_by_a_vision_transformer() {
    for config in [VIT, HUGGING_VIT] {
        let with = |key: &str| parse(&config.replacen('{', &format!("{{{key}, "), 1));
        let lists = [("depths", "[1]"), ("widths", "[8]")];
        let sizes = [("stem_width", "8"), ("hidden_width", "8"), ("stride_in_1x1", "true")];
        for (key, value) in lists.into_iter().chain(sizes) {
            let expected = "must be left out for this architecture";
            let given = format!("\"{key}\": {value}");
            refused(with(&given), &format!("`{key}` {expected}, found {value}"));
        }
        assert!(with("\"stride_in_1x1\": false").is_ok());
        let read = with("\"channel_order\": \"bgr\"").unwrap();
        assert_eq!(read.image().unwrap().order, ChannelOrder::Bgr);
        let odd = with("\"channel_order\": \"gbr\"");
        refused(odd, "`channel_order` must be rgb or bgr, found `gbr`");
    }
    refused(
        parse(&HUGGING_VIT.replacen("channels\": 3", "channels\": 2", 1)),
        "`num_channels` must be of 1 channel or 3, found 2 channels",
    );
    refused(
        parse(&VIT.replacen("args\": {", "args\": {\"num_classes\": 4, ", 1)),
        "`model_args.num_classes` must be 3, as `num_classes`, found 4",
    );
}
