//! `preprocessor_config.json`: each processor of Hugging Face by its own arithmetic.

use offramp_weights::image::{Interpolation, Middle, Preprocessing, Resize};
use offramp_weights::{ErrorKind, ModelSpec, Result};

use crate::common;

/// What the file makes of a ResNet's input.
fn read(preprocessor: &str) -> Result<Preprocessing> {
    read_beside(r#"{"model_type": "resnet"}"#, preprocessor)
}

fn read_beside(config: &str, preprocessor: &str) -> Result<Preprocessing> {
    let dir = tempfile::tempdir().unwrap();
    common::write(dir.path(), "config.json", config.as_bytes());
    common::write(dir.path(), "preprocessor_config.json", preprocessor.as_bytes());
    ModelSpec::read(dir.path()).map(|spec| spec.image().unwrap().clone())
}

/// Sides of the input, and what a picture is resized to.
fn sizes(preprocessor: &str) -> ([usize; 2], Resize) {
    let found = read(preprocessor).unwrap();
    assert_eq!(found.middle, Middle::Down);
    ([found.height, found.width], found.resize)
}

#[track_caller]
fn refused(preprocessor: &str, expected: &str) {
    let error = read(preprocessor).unwrap_err();
    assert_eq!(error.file().file_name().unwrap(), "preprocessor_config.json");
    assert!(error.to_string().contains(expected), "{error}");
}

fn shorter(side: usize) -> Resize {
    Resize::Shorter { side }
}

fn squash(height: usize, width: usize) -> Resize {
    Resize::Squash { height, width }
}

#[test]
fn a_file_that_names_no_processor_is_read_as_convnexts() {
    let found = read(
        r#"{"size": {"shortest_edge": 96}, "crop_pct": 0.5, "resample": 0,
        "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}"#,
    );
    let found = found.unwrap();
    assert_eq!((found.height, found.width, found.resize), (96, 96, shorter(192)));
    assert_eq!((found.interpolation, found.mean), (Interpolation::Nearest, vec![0.1, 0.2, 0.3]));
    assert_eq!(sizes(r#"{"size": 224}"#), ([224, 224], shorter(256)));
    assert_eq!(sizes("{}"), ([384, 384], squash(384, 384)));
    assert_eq!(sizes(r#"{"size": {"height": 64, "width": 32}}"#), ([64, 32], squash(64, 32)));
    let cropped = r#"{"size": {"shortest_edge": 128}, "crop_size": {"height": 64, "width": 32}}"#;
    assert_eq!(sizes(cropped), ([64, 32], shorter(128)));
    let found = read("{}").unwrap();
    assert_eq!((found.mean, found.std), (vec![0.5; 3], vec![0.5; 3]));
    assert_eq!(found.interpolation, Interpolation::Bicubic);
}

/// `int(edge / crop_pct)` in double precision; from 384 on nothing is cropped.
#[test]
fn convnext_takes_a_share_of_small_pictures_only() {
    let sized = |edge: usize, share: &str| {
        sizes(&format!(
            r#"{{"image_processor_type": "ConvNextImageProcessor",
            "size": {{"shortest_edge": {edge}}}, "crop_pct": {share}}}"#
        ))
    };
    assert_eq!(sized(224, "0.875"), ([224, 224], shorter(256)));
    assert_eq!(sized(224, "0.9"), ([224, 224], shorter(248)));
    assert_eq!(sized(30, "0.6"), ([30, 30], shorter(50)));
    assert_eq!(sized(383, "0.95"), ([383, 383], shorter(403)));
    assert_eq!(sized(384, "0.95"), ([384, 384], squash(384, 384)));
    refused(
        r#"{"feature_extractor_type": "ConvNextFeatureExtractor",
            "size": {"height": 64, "width": 64}}"#,
        "`size` must be an object with shortest_edge, for this processor, found height and width",
    );
    refused(
        r#"{"image_processor_type": "ConvNextImageProcessorFast", "do_center_crop": true}"#,
        "`do_center_crop` must be false or left out for this processor, found true",
    );
}

/// Python's `int(edge / crop_pct)` for all edges to 600 and these shares: the sums of all.
#[test]
fn shares_are_pythons_to_the_pixel() {
    let sums = [("0.6", 300_300), ("0.7", 257_314), ("0.875", 205_800), ("0.95", 189_507)];
    for (share, sum) in sums {
        let side = |edge: usize| {
            let config = format!(
                r#"{{"architecture": "resnet18", "input_size": [3, {edge}, {edge}],
                "crop_pct": {share}}}"#
            );
            let spec = ModelSpec::parse(config.as_bytes(), "config.json".as_ref()).unwrap();
            match spec.image().unwrap().resize {
                Resize::Shorter { side } => side,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((1..=600).map(side).sum::<usize>(), sum, "{share}");
    }
}

/// Both are integers, and no share is between them: 30 of 50 is 50.
#[test]
fn a_crop_and_a_size_are_taken_as_they_are() {
    for name in ["CLIP", "Bit", "DeiT", "MobileNetV1", "MobileNetV2"] {
        for (size, crop) in [(50, 30), (250, 224), (232, 224), (20, 30), (599, 61)] {
            let found = sizes(&format!(
                r#"{{"image_processor_type": "{name}ImageProcessor",
                "size": {{"shortest_edge": {size}}},
                "crop_size": {{"height": {crop}, "width": 9}}}}"#
            ));
            assert_eq!(found, ([crop, 9], shorter(size)), "{name}");
        }
    }
}

#[test]
fn what_a_processor_does_where_its_file_is_silent() {
    let named = |name: &str| read(&format!(r#"{{"image_processor_type": "{name}"}}"#)).unwrap();
    let cases = [
        ("ViTImageProcessor", 224, squash(224, 224), Interpolation::Bilinear, 0.5),
        ("ViTImageProcessorFast", 224, squash(224, 224), Interpolation::Bilinear, 0.5),
        ("ConvNextImageProcessor", 384, squash(384, 384), Interpolation::Bicubic, 0.5),
        ("CLIPImageProcessor", 224, shorter(224), Interpolation::Bicubic, 0.48145466),
        ("BitImageProcessor", 224, shorter(224), Interpolation::Bicubic, 0.48145466),
        ("DeiTFeatureExtractor", 224, squash(256, 256), Interpolation::Bicubic, 0.5),
        ("MobileNetV2ImageProcessor", 224, shorter(256), Interpolation::Bilinear, 0.5),
    ];
    for (name, side, resize, interpolation, mean) in cases {
        let found = named(name);
        assert_eq!((found.height, found.width, found.resize), (side, side, resize), "{name}");
        assert_eq!((found.interpolation, found.mean[0]), (interpolation, mean), "{name}");
    }
    for name in ["EfficientNetImageProcessor", "LevitImageProcessor", "PoolFormer", "convnext"] {
        let expected = format!("found `{name}`");
        refused(&format!(r#"{{"image_processor_type": "{name}"}}"#), &expected);
    }
}

/// `(pixel * factor - mean) / std`.
#[test]
fn factors_and_means() {
    let scales = |keys: &str| {
        let found = read(&format!(r#"{{"size": 64, {keys}}}"#)).unwrap();
        (found.mean[1], found.std[1])
    };
    let given = r#""image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 0.125]"#;
    assert_eq!(scales(given), (0.2, 0.25));
    assert_eq!(scales(&format!(r#"{given}, "rescale_factor": 0.00392156862745098"#)), (0.2, 0.25));
    assert_eq!(scales(&format!(r#"{given}, "rescale_factor": 0.00784313725490196"#)), (0.1, 0.125));
    assert_eq!(scales(&format!(r#"{given}, "rescale_factor": 1"#)), (0.2 / 255.0, 0.25 / 255.0));
    assert_eq!(scales(&format!(r#"{given}, "do_rescale": false"#)), (0.2 / 255.0, 0.25 / 255.0));
    assert_eq!(scales(&format!(r#"{given}, "do_normalize": false"#)), (0.0, 1.0));
    let neither = format!(r#"{given}, "do_normalize": false, "do_rescale": false"#);
    assert_eq!(scales(&neither), (0.0, 1.0 / 255.0));
    assert_eq!(scales(r#""image_mean": 0.25, "image_std": 2"#), (0.25, 2.0));
    for bad in ["0", "-1", "1e-30", "NaN"] {
        refused(
            &format!(r#"{{"size": 64, "rescale_factor": {bad}}}"#),
            "`rescale_factor` must be a",
        );
    }
}

#[test]
fn what_leaves_pictures_of_several_sizes_is_refused() {
    let clip = r#"{"image_processor_type": "CLIPImageProcessor", "#;
    refused(r#"{"do_resize": false}"#, "`do_resize` must be true: every picture becomes an input");
    refused(
        r#"{"image_processor_type": "ViTImageProcessor", "do_resize": false}"#,
        "`do_resize` must be true",
    );
    refused(&format!(r#"{clip}"do_center_crop": false}}"#), "`do_center_crop` must be true: every");
    refused(
        &format!(r#"{clip}"size": {{"shortest_edge": 9, "longest_edge": 99}}}}"#),
        "longest_edge leaves pictures of several sizes",
    );
    // A crop alone makes them one size, and so does a size of both sides.
    let found = sizes(&format!(r#"{clip}"do_resize": false, "crop_size": 48}}"#));
    assert_eq!(found, ([48, 48], Resize::Not));
    let exact =
        format!(r#"{clip}"do_center_crop": false, "size": {{"height": 40, "width": 24}}}}"#);
    assert_eq!(sizes(&exact), ([40, 24], squash(40, 24)));
}

#[test]
fn a_list_is_no_size() {
    for key in ["size", "crop_size"] {
        let expected = format!("`{key}`: invalid type: sequence, expected a number, or an object");
        refused(&format!(r#"{{"{key}": [224, 224]}}"#), &expected);
    }
}

#[test]
fn keys_that_are_not_followed_are_refused() {
    let cases = [
        (r#"{"resample": 1}"#, "`resample` must be 0 (nearest), 2 (bilinear) or 3 (bicubic)"),
        (r#"{"size": {}}"#, "a size has shortest_edge, or height and width"),
        (
            r#"{"image_processor_type": "ViTImageProcessor", "size": {"shortest_edge": 64}}"#,
            "`size` must be height and width: a shortest edge leaves pictures of several sizes",
        ),
        (r#"{"size": -4}"#, "`size` must be 1 to 4096 pixels high and wide, found -4"),
        (r#"{"image_std": [0.5]}"#, "`image_std` must be one value per channel, 3, found 1"),
        (r#"{"image_std": [0.5, 0, 1]}"#, "`image_std` must be finite, above 0, found 0"),
        (
            r#"{"image_mean": [0.5, 128, 0.5]}"#,
            "`image_mean` must be from 0 to 1, as levels are, found 128",
        ),
        (r#"{"do_pad": true}"#, "`do_pad` must be false, found true"),
        (r#"{"do_flip_channel_order": true}"#, "`do_flip_channel_order` must be false, found true"),
        (r#"{"rescale_offset": true}"#, "`rescale_offset` must be false, found true"),
        (
            r#"{"auto_map": {"AutoImageProcessor": "mine.Processor"}}"#,
            "`auto_map.AutoImageProcessor` must be left out, found `mine.Processor`",
        ),
    ];
    for (preprocessor, expected) in cases {
        refused(preprocessor, expected);
    }
    let harmless = r#"{"size": 64, "do_convert_rgb": true, "do_pad": false, "nobodys": NaN}"#;
    assert_eq!(read(harmless).unwrap(), read(r#"{"size": 64}"#).unwrap());
}

/// It counts for Hugging Face's networks, and for no others.
#[test]
fn other_networks_have_no_preprocessor() {
    let plain = read_beside(r#"{"architecture": "resnet18"}"#, "not JSON").unwrap();
    assert_eq!((plain.resize, plain.middle), (shorter(256), Middle::Even));
    assert_eq!(read("not JSON").unwrap_err().kind(), ErrorKind::Damaged);
}

/// A vision transformer of Hugging Face's for pictures of `side`.
fn transformer(model_type: &str, side: usize) -> String {
    format!(r#"{{"model_type": "{model_type}", "image_size": {side}}}"#)
}

fn read_alone(config: &str) -> Result<Preprocessing> {
    let dir = tempfile::tempdir().unwrap();
    common::write(dir.path(), "config.json", config.as_bytes());
    ModelSpec::read(dir.path()).map(|spec| spec.image().unwrap().clone())
}

#[test]
fn a_vision_transformer_without_a_file_is_read_by_its_own_processor() {
    for (model_type, processor) in [("vit", "ViT"), ("deit", "DeiT")] {
        let config = transformer(model_type, 224);
        let file = format!(r#"{{"image_processor_type": "{processor}ImageProcessor"}}"#);
        let named = read_beside(&config, &file).unwrap();
        assert_eq!(named.mean, [0.5; 3]);
        assert_eq!(read_alone(&config).unwrap(), named, "{model_type}: no file");
        assert_eq!(read_beside(&config, "{}").unwrap(), named, "{model_type}: no name");
    }
    let squashed = read_beside(&transformer("vit", 224), r#"{"size": 224}"#).unwrap();
    assert_eq!(squashed.resize, squash(224, 224), "ConvNext's would cut a middle out");
    let large = read_alone(&transformer("vit", 384)).unwrap();
    assert_eq!((large.height, large.width, large.resize), (384, 384, squash(384, 384)));
    let error = read_alone(&transformer("deit", 384)).unwrap_err();
    assert_eq!(error.file().file_name().unwrap(), "preprocessor_config.json");
    let expected = "`size` must be told where `image_size` is 384, found no such file";
    assert!(error.to_string().ends_with(expected), "{error}");
}
