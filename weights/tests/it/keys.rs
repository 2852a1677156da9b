//! Keys that change what a network computes: followed, or refused by file, key and value.

use offramp_weights::image::Preprocessing;
use offramp_weights::{ModelSpec, TextSpec};

use crate::common::{CONFIG, IMAGE_CONFIG};

fn parse(json: &str) -> Result<ModelSpec, String> {
    ModelSpec::parse(json.as_bytes(), "config.json".as_ref()).map_err(|error| error.to_string())
}

/// `config` with one more key.
fn with(config: &str, key: &str) -> String {
    config.replacen('{', &format!("{{{key}, "), 1)
}

/// The transformer with one more key.
fn text(key: &str) -> Result<TextSpec, String> {
    parse(&with(CONFIG, key)).map(|spec| spec.text().unwrap().clone())
}

/// How a picture becomes an input in a ResNet with these keys.
fn image(keys: &str) -> Result<Preprocessing, String> {
    let config = format!(r#"{{"architecture": "resnet18", {keys}}}"#);
    parse(&config).map(|spec| spec.image().unwrap().clone())
}

const HUGGING_FACE: &str = r#"{"model_type": "resnet", "depths": [1, 1, 1, 1]}"#;

#[test]
fn a_transformers_variants_are_refused() {
    let cases = [
        (r#""add_cross_attention": true"#, "`add_cross_attention` must be false"),
        (r#""is_encoder_decoder": true"#, "`is_encoder_decoder` must be false, found true"),
        (r#""position_embedding_type": "relative_key_query""#, "`absolute`, found `relative_key_q"),
        (r#""pruned_heads": {"1": [0]}"#, "`pruned_heads` must be left out, found {\"1\": [0]}"),
        (r#""quantization_config": {"bits": 4}"#, "`quantization_config` must be left out, found"),
        (r#""auto_map": {"AutoModel": "x.Y"}"#, "`auto_map.AutoModel` must be left out, found `x."),
        (r#""adapters": {"adapters": {"task": "h"}}"#, "`adapters.adapters` must be left out"),
        (r#""pre_seq_len": 16"#, "`pre_seq_len` must be 0 or left out, found 16"),
        (r#""peft_type": "LORA""#, "`peft_type` must be left out, found `LORA`"),
        (r#""pooler_type": "mean""#, "`pooler_type` must be `first_token_transform`, found `mean`"),
    ];
    for (key, expected) in cases {
        let error = text(key).unwrap_err();
        assert!(error.starts_with("config.json: `") && error.contains(expected), "{error}");
        // Of a Hugging Face network over images too, where it means something there.
        let shared = ["auto_map", "quantization", "peft", "adapters"];
        if shared.iter().any(|part| key.contains(part)) {
            let error = parse(&with(HUGGING_FACE, key)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn keys_that_change_nothing_pass() {
    let keys = [
        r#""add_cross_attention": false"#,
        r#""pruned_heads": {}"#,
        r#""pruned_heads": {"0": []}"#,
        r#""quantization_config": null"#,
        r#""auto_map": {"AutoConfig": "x.Y", "AutoTokenizer": [null, "x.Z"]}"#,
        r#""adapters": {"adapters": {}, "config_map": {"a": 1}, "fusions": {}}"#,
        r#""pooler_type": "first_token_transform", "directionality": "bidi""#,
        r#""chunk_size_feed_forward": 8, "torch_dtype": "float16", "use_cache": false"#,
        r#""tie_word_embeddings": false, "classifier_dropout": 0.3, "nobodys": {"a": [1]}"#,
        r#""task_specific_params": {"x": NaN}, "hidden_dropout_prob": Infinity"#,
    ];
    for key in keys {
        assert_eq!(text(key).as_ref(), text(r#""x": 0"#).as_ref(), "{key}");
    }
}

/// Transformers takes BERT's words for DistilBERT's.
#[test]
fn a_size_under_two_keys_must_be_one() {
    let config = r#"{"model_type": "distilbert", "n_layers": 3, "n_heads": 2, "hidden_dim": 64,
        "vocab_size": 100, "max_position_embeddings": 40, "dim": 32}"#;
    let layers = |config: &str| parse(config).map(|spec| spec.sites());
    assert_eq!(layers(config), Ok(3));
    assert_eq!(layers(&config.replace("n_layers", "num_hidden_layers")), Ok(3));
    assert_eq!(layers(&with(config, r#""num_hidden_layers": 3, "hidden_size": 32"#)), Ok(3));
    let other = [
        ("num_hidden_layers", 6, "`num_hidden_layers` must be 3, as `n_layers`, found 6"),
        ("hidden_size", 64, "`hidden_size` must be 32, as `dim`, found 64"),
        ("num_attention_heads", 4, "`num_attention_heads` must be 2, as `n_heads`, found 4"),
    ];
    for (key, value, expected) in other {
        let error = layers(&with(config, &format!(r#""{key}": {value}"#))).unwrap_err();
        assert_eq!(error, format!("config.json: {expected}"));
    }
    assert_eq!(
        layers(&with(config, r#""sinusoidal_pos_embds": true, "layer_norm_eps": 7"#)),
        Ok(3)
    );
}

/// Python keeps any value as a label.
#[test]
fn labels_that_are_no_texts() {
    let labels = |values: &str| {
        let config = CONFIG.replace(r#"{"0": "no", "1": "yes", "2": "maybe"}"#, values);
        parse(&config).map(|spec| spec.labels().to_vec())
    };
    assert_eq!(labels(r#"{"0": 0, "1": 1}"#).unwrap(), ["0", "1"]);
    assert_eq!(labels(r#"{"0": -1, "1": 18446744073709551615}"#).unwrap()[1], u64::MAX.to_string());
    assert_eq!(labels(r#"{"1": 2.5, "0": 1.0}"#).unwrap(), ["1.0", "2.5"]);
    assert_eq!(labels(r#"{"0": true, "1": false, "2": null}"#).unwrap(), ["True", "False", "None"]);
    assert!(labels(r#"{"0": ["a"], "1": "b"}"#).unwrap_err().contains("`id2label"));
    assert!(labels(r#"{"0": NaN, "1": "b"}"#).unwrap_err().contains("finite number"));
    let image = |labels: &str| {
        let config = IMAGE_CONFIG.replace(r#"["no", "yes", "maybe"]"#, labels);
        parse(&config).map(|spec| spec.labels().to_vec())
    };
    assert_eq!(image(r#"["a", 7, true]"#).unwrap(), ["a", "7", "True"]);
    assert_eq!(image(r#"{"2": "c", "0": "a", "1": 1}"#).unwrap(), ["a", "1", "c"]);
    assert!(image(r#"{"0": "a", "9": "b"}"#).unwrap_err().contains("0 to 1 as keys"));
}

#[test]
fn timms_variants_are_refused_wherever_they_stand() {
    let cases = [
        ("global_pool", r#""max""#, "`avg`, found `max`"),
        ("global_pool", r#""catavgmax""#, "`avg`, found `catavgmax`"),
        ("output_stride", "16", "32, found 16"),
        ("act_layer", r#""silu""#, "`relu`, found `silu`"),
        ("norm_layer", r#""groupnorm""#, "`batchnorm2d`, found `groupnorm`"),
        ("aa_layer", r#""blurpool""#, "left out, found `blurpool`"),
        ("bn_eps", "0.001", "1e-5, found 0.001"),
        ("stem_type", r#""deep""#, "left out, found `deep`"),
        ("replace_stem_pool", "true", "false, found true"),
        ("avg_down", "true", "false, found true"),
        ("cardinality", "32", "1, found 32"),
        ("base_width", "4", "64, found 4"),
        ("block_args", r#"{"attn_layer": "se"}"#, "left out, found {"),
    ];
    for (key, value, expected) in cases {
        let error = image(&format!(r#""{key}": {value}"#)).unwrap_err();
        assert!(error.contains(&format!("`{key}` must be {expected}")), "{error}");
        let error = image(&format!(r#""model_args": {{"{key}": {value}}}"#)).unwrap_err();
        assert!(error.contains(&format!("`model_args.{key}` must be {expected}")), "{error}");
        let error = image(&format!(r#""pretrained_cfg": {{"{key}": {value}}}"#)).unwrap_err();
        assert!(error.contains(&format!("`pretrained_cfg.{key}` must be {expected}")), "{error}");
    }
    let error = image(r#""model_args": {"layers": [3, 4, 6, 3]}"#).unwrap_err();
    assert!(error.contains("`model_args.layers` must be left out, found [3, 4, 6, 3]"), "{error}");
    let error = image(r#""pretrained_cfg": {"label_offset": 1}"#).unwrap_err();
    assert!(error.contains("`pretrained_cfg.label_offset` must be 0, found 1"), "{error}");
}

#[test]
fn timms_usual_network_passes() {
    let plain = image(r#""x": 0"#).unwrap();
    let keys = [
        r#""global_pool": "avg", "num_features": 512"#,
        r#""model_args": {"global_pool": "fastavg", "output_stride": 32, "act_layer": "ReLU"}"#,
        r#""model_args": {"bn_eps": 1e-05, "aa_layer": null, "stem_type": "", "drop_rate": 0.2}"#,
        r#""model_args": {"norm_layer": "BatchNorm2d", "block_args": {}, "zero_init_last": false}"#,
        r#""pretrained_cfg": null, "label_descriptions": {"a": "b"}"#,
    ];
    for keys in keys {
        assert_eq!(image(keys).unwrap(), plain, "{keys}");
    }
}

#[test]
fn a_list_is_no_object() {
    let image = |key: &str| image(key).map(drop);
    let text = |key: &str| text(key).map(drop);
    let cases = [
        ("model_args", image(r#""model_args": [10, 1]"#)),
        ("pretrained_cfg", image(r#""pretrained_cfg": [[1, 28, 28]]"#)),
        ("pretrained_cfg", image(r#""pretrained_cfg": []"#)),
        ("sentence_transformers", image(r#""sentence_transformers": ["a.Sigmoid"]"#)),
        ("sentence_transformers", text(r#""sentence_transformers": ["a.Sigmoid"]"#)),
    ];
    for (key, read) in cases {
        let error = read.unwrap_err();
        let expected = format!("`{key}`: invalid type: sequence, expected an object");
        assert!(error.starts_with("config.json: ") && error.contains(&expected), "{error}");
    }
    let error = image(r#""model_args": {"in_chans": "1"}"#).unwrap_err();
    assert!(error.contains("`model_args.in_chans`: invalid type: string"), "{error}");
    let error = text(r#""auto_map": ["x.Y"]"#).unwrap_err();
    assert!(error.contains("`auto_map` must be an object, found [\"x.Y\"]"), "{error}");
}

/// timm's older form: all of `config.json` is what `pretrained_cfg` is today.
#[test]
fn flat_keys_are_those_of_pretrained_cfg() {
    let inner = [
        r#""mean": [0.5, 0.4, 0.3], "std": [0.1, 0.2, 0.3]"#,
        r#""input_size": [3, 64, 64], "crop_pct": 0.95, "interpolation": "nearest""#,
        r#""input_size": [1, 40, 56], "mean": [0.2], "std": [0.3], "crop_mode": "center""#,
        r#""crop_pct": 0.9, "crop_mode": "squash""#,
        r#""mean": [0.5, 0.5, 0.5]"#,
    ];
    for inner in inner {
        let nested = image(&format!(r#""pretrained_cfg": {{{inner}}}"#)).unwrap();
        assert_eq!(image(inner).unwrap(), nested, "{inner}");
        assert_ne!(image(r#""x": 0"#).unwrap(), nested, "{inner}");
        // Beside an object they mean nothing, as in timm.
        let both = image(&format!(r#""pretrained_cfg": {{}}, {inner}"#)).unwrap();
        assert_eq!(both, image(r#""pretrained_cfg": {}"#).unwrap());
    }
    let refused = image(r#""crop_mode": "border""#).unwrap_err();
    assert!(refused.contains("`crop_mode` must be `center` or `squash`, found `border`"));
    let labels = r#"{"architecture": "resnet18", "num_classes": 2, "labels": ["a", "b"]}"#;
    assert_eq!(parse(labels).unwrap().labels(), ["a", "b"]);
}

#[test]
fn model_args_tell_classes_and_channels() {
    let classes = |keys: &str| {
        let config = format!(r#"{{"architecture": "resnet18", {keys}}}"#);
        parse(&config).map(|spec| spec.classes())
    };
    assert_eq!(classes(r#""model_args": {"num_classes": 7}"#), Ok(7));
    assert_eq!(classes(r#""pretrained_cfg": {"num_classes": 8}"#), Ok(8));
    assert_eq!(classes(r#""num_classes": 7, "pretrained_cfg": {"num_classes": 8}"#), Ok(7));
    let error = classes(r#""num_classes": 7, "model_args": {"num_classes": 8}"#).unwrap_err();
    assert!(error.contains("`model_args.num_classes` must be 7, as `num_classes`, found 8"));
    let grey = image(r#""model_args": {"in_chans": 1}, "input_size": [3, 32, 32]"#).unwrap();
    assert_eq!((grey.channels, grey.height, grey.mean), (1, 32, vec![0.449]));
    let error = image(r#""model_args": {"in_chans": 4}"#).unwrap_err();
    assert!(error.contains("`model_args.in_chans` must be of 1 channel or 3"), "{error}");
}
