//! config.json: what is understood, and what is refused by name.

use offramp_weights::network::{Attention, Embed, Linear, Norm, Residual, Step};
use offramp_weights::{Activation, ErrorKind, ModelSpec, Pool, TextSpec};

use crate::common::CONFIG;

fn parse(json: &str) -> Result<ModelSpec, String> {
    let spec = ModelSpec::parse(json.as_bytes(), "config.json".as_ref());
    spec.map_err(|error| error.to_string())
}

fn text(spec: &ModelSpec) -> &TextSpec {
    spec.text().unwrap()
}

/// Layers, hidden width, heads and inner width.
fn sizes(spec: &ModelSpec) -> (usize, usize, usize, usize) {
    let inner = spec.network.inner().unwrap().outputs;
    (spec.sites(), spec.site_width(0), spec.network.attention_heads().unwrap(), inner)
}

/// Of the feed-forward blocks.
fn activation(spec: &ModelSpec) -> Activation {
    spec.network.inner().unwrap().activation.unwrap()
}

fn norm_eps(spec: &ModelSpec) -> f32 {
    let Step::Embed(embed) = &spec.network.segments[0].steps[0] else { panic!("{spec:?}") };
    embed.norm.as_ref().unwrap().eps
}

/// Of the dense layer of the head.
fn head_activation(spec: &ModelSpec) -> Activation {
    let [Step::Linear(dense)] = &spec.network.tail[..] else { panic!("{spec:?}") };
    dense.activation.unwrap()
}

/// The answer to [`CONFIG`] with one text in it replaced.
fn with(from: &str, to: &str) -> Result<ModelSpec, String> {
    assert!(CONFIG.contains(from), "{from}");
    parse(&CONFIG.replacen(from, to, 1))
}

#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    assert_eq!(with(from, to).unwrap_err(), format!("config.json: {expected}"));
}

#[test]
fn bert() {
    let spec = parse(CONFIG).unwrap();
    let expected = TextSpec {
        family: "bert",
        tokenizer: "Bert",
        vocab: 10,
        positions: 8,
        position_offset: 0,
        pad_token: 0,
        kinds: 2,
        tokenizer_class: None,
    };
    assert_eq!((spec.name(), text(&spec)), ("bert", &expected));
    assert_eq!(
        (spec.labels(), spec.told.classes),
        (&["no", "yes", "maybe"].map(String::from)[..], true)
    );
    assert_eq!((sizes(&spec), text(&spec).row_tokens_max()), ((2, 4, 2, 6), 8));
    assert_eq!(head_activation(&spec), Activation::Tanh);
}

/// The second layer of the tiny model, step by step.
#[test]
fn a_layer_is_two_sums_and_their_norms() {
    let spec = parse(CONFIG).unwrap();
    let name = |rest: &str| format!("bert.encoder.layer.1.{rest}");
    let linear = |stems: &[&str], inputs, outputs, activation| {
        let named = |part| stems.iter().map(|stem| name(&format!("{stem}.{part}"))).collect();
        Step::Linear(Linear {
            weights: named("weight"),
            biases: named("bias"),
            inputs,
            outputs,
            activation,
        })
    };
    let norm = |stem: &str| {
        let scale = name(&format!("{stem}.LayerNorm.weight"));
        let shift = name(&format!("{stem}.LayerNorm.bias"));
        Step::Norm(Norm { scale, shift, width: 4, eps: 1e-12 })
    };
    let sum = |body| Step::Residual(Residual { body, shortcut: None, relu: false });
    let qkv = ["attention.self.query", "attention.self.key", "attention.self.value"];
    let expected = [
        sum(vec![
            linear(&qkv, 4, 12, None),
            Step::Attention(Attention { heads: 2, width: 4 }),
            linear(&["attention.output.dense"], 4, 4, None),
        ]),
        norm("attention.output"),
        sum(vec![
            linear(&["intermediate.dense"], 4, 6, Some(Activation::GeluErf)),
            linear(&["output.dense"], 6, 4, None),
        ]),
        norm("output"),
    ];
    assert_eq!(spec.network.segments[1].steps, expected);
    assert_eq!(spec.network.head.pool, Pool::First);
    let Step::Embed(Embed { rows, .. }) = &spec.network.segments[0].steps[0] else { panic!() };
    assert_eq!(*rows, [10, 8, 2]);
}

#[test]
fn roberta_positions_start_after_the_pad_token() {
    let config = CONFIG.replace("\"bert\"", "\"roberta\"");
    let spec = parse(&config.replace("\"pad_token_id\": 0", "\"pad_token_id\": 1")).unwrap();
    let read = text(&spec);
    assert_eq!((spec.name(), read.position_offset, read.row_tokens_max()), ("roberta", 2, 6));
    let spec = parse(&config.replace("\"pad_token_id\": 0", "\"pad_token_id\": null")).unwrap();
    assert_eq!((text(&spec).pad_token, text(&spec).position_offset), (1, 2));
    let error = parse(&config.replace("\"pad_token_id\": 0", "\"pad_token_id\": 7")).unwrap_err();
    assert!(error.contains("`max_position_embeddings` must be above 8"), "{error}");
}

#[test]
fn distilbert_has_its_own_words() {
    let config = r#"{"model_type": "distilbert", "dim": 32, "n_layers": 3, "n_heads": 2,
        "hidden_dim": 64, "vocab_size": 100, "max_position_embeddings": 40, "activation": "relu"}"#;
    let spec = parse(config).unwrap();
    assert_eq!(sizes(&spec), (3, 32, 2, 64));
    let found = (text(&spec).kinds, norm_eps(&spec), activation(&spec));
    assert_eq!(found, (0, 1e-12, Activation::Relu));
    assert_eq!(head_activation(&spec), Activation::Relu);
    assert_eq!(spec.labels, ["LABEL_0", "LABEL_1"]);
    let error = parse(&config.replace("n_heads", "heads")).unwrap_err();
    assert_eq!(error, "config.json: `n_heads` must be 1 to 32, found no such key");
}

#[test]
fn the_family_may_be_in_the_architecture_only() {
    let found = with("\"model_type\": \"bert\",", "").unwrap();
    assert_eq!(found.name(), "bert");
    let config = CONFIG.replace("\"model_type\": \"bert\",", "");
    let named = |name| parse(&config.replace("BertForSequenceClassification", name));
    assert_eq!(named("RobertaModel").unwrap().name(), "roberta");
    assert!(named("BertJapaneseThing").is_err());
    let error = named("GPT2LMHeadModel").unwrap_err();
    let expected = "`model_type` must be one of bert, roberta, distilbert, resnet, vit, deit, \
                    found no such key";
    assert_eq!(error, format!("config.json: {expected}"));
    refused(
        "\"bert\"",
        "\"llama\"",
        "`model_type` must be one of bert, roberta, distilbert, resnet, vit, deit, found `llama`",
    );
}

#[test]
fn other_kinds_are_refused() {
    refused(
        "\"is_decoder\": false",
        "\"is_decoder\": true",
        "`is_decoder` must be false: only encoders run here, found true",
    );
    refused(
        "\"is_decoder\": false",
        "\"position_embedding_type\": \"relative_key\"",
        "`position_embedding_type` must be `absolute`, found `relative_key`",
    );
    assert!(with("\"is_decoder\": false", "\"position_embedding_type\": \"absolute\"").is_ok());
    refused(
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "`architectures` must be a sequence classifier or a bare encoder, \
         found `BertForTokenClassification`",
    );
}

#[test]
fn sizes_are_bounded() {
    let keys = [
        ("hidden_size", "4", "1 to 16384"),
        ("num_hidden_layers", "2", "1 to 128"),
        ("num_attention_heads", "2", "1 to 4"),
        ("intermediate_size", "6", "1 to 131072"),
        ("vocab_size", "10", "1 to 4194304"),
        ("max_position_embeddings", "8", "1 to 65536"),
        ("type_vocab_size", "2", "1 to 1024"),
    ];
    for (key, value, range) in keys {
        let from = format!("\"{key}\": {value}");
        for bad in ["0", "-3", "9223372036854775807", "5000000"] {
            let to = format!("\"{key}\": {bad}");
            refused(&from, &to, &format!("`{key}` must be {range}, found {bad}"));
        }
        for bad in ["18446744073709551616", "1.5", "\"4\"", "[4]"] {
            let error = with(&from, &format!("\"{key}\": {bad}")).unwrap_err();
            let expected = format!("config.json: damaged: not the JSON expected: `{key}`: ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
    refused(
        "\"num_attention_heads\": 2",
        "\"num_attention_heads\": 3",
        "`num_attention_heads` must be a divisor of hidden_size, which is 4, found 3",
    );
    refused(
        "\"pad_token_id\": 0",
        "\"pad_token_id\": 10",
        "`pad_token_id` must be 0 to 9, below vocab_size, found 10",
    );
    refused(
        "\"pad_token_id\": 0",
        "\"pad_token_id\": -1",
        "`pad_token_id` must be 0 to 9, below vocab_size, found -1",
    );
}

#[test]
fn the_epsilon_is_a_small_number() {
    assert_eq!(norm_eps(&with("1e-12", "1e-5").unwrap()), 1e-5);
    for bad in ["0", "1", "-1e-5", "1e-60", "1e300"] {
        let error = with("1e-12", bad).unwrap_err();
        assert!(error.contains("`layer_norm_eps` must be above 0 and below 1"), "{error}");
    }
    let error = with("1e-12", "1e999").unwrap_err();
    assert!(error.contains("damaged: not the JSON expected"), "{error}");
    for bad in ["NaN", "Infinity", "-Infinity"] {
        let expected = format!("`layer_norm_eps` must be a finite number or left out, found {bad}");
        refused("1e-12", bad, &expected);
    }
}

#[test]
fn activations() {
    let named = |name: &str| with("\"gelu\"", &format!("\"{name}\"")).map(|spec| activation(&spec));
    assert_eq!(named("gelu_new"), Ok(Activation::GeluTanh));
    assert_eq!(named("gelu_pytorch_tanh"), Ok(Activation::GeluTanh));
    assert_eq!(named("gelu_fast"), Ok(Activation::GeluTanh));
    assert_eq!(named("swish"), Ok(Activation::Silu));
    assert_eq!(named("gelu_python"), Ok(Activation::GeluErf));
    assert_eq!(named("gelu_accurate"), Ok(Activation::GeluTanh));
    let known = "one of gelu, gelu_python, gelu_new, gelu_pytorch_tanh, gelu_python_tanh, \
                 gelu_fast, gelu_accurate, relu, tanh, silu, swish";
    let expected = format!("config.json: `hidden_act` must be {known}, found `mish`");
    assert_eq!(named("mish").unwrap_err(), expected);
}

#[test]
fn labels() {
    let given = r#"{"0": "no", "1": "yes", "2": "maybe"}"#;
    let labels = |to: &str| with(given, to).map(|spec| spec.labels);
    assert_eq!(labels(r#"{"2": "c", "0": "a", "1": "b"}"#).unwrap(), ["a", "b", "c"]);
    let many: Vec<_> = (0..12).map(|i| format!(r#""{i}": "l{i}""#)).collect();
    assert_eq!(labels(&format!("{{{}}}", many.join(","))).unwrap()[10], "l10");
    for (bad, because) in [
        (r#"{"1": "a", "2": "b"}"#, "`id2label` must be 0 to 1 as keys, found 1"),
        (r#"{"0": "a", "7": "b"}"#, "`id2label` must be 0 to 1 as keys, found 7"),
        ("{}", "`id2label` must be one label or more, found none"),
        (r#"{"0": "a", "x": "b"}"#, "`x` is no class number"),
        (r#"{"0": "a", "-1": "b"}"#, "`-1` is no class number"),
        (r#"{"0": "a", "00": "b"}"#, "key `0` comes twice"),
    ] {
        let error = labels(bad).unwrap_err();
        assert!(error.contains(because), "{error}");
    }
    assert!(labels(r#"{"0": "a", "0": "b"}"#).unwrap_err().contains("key `0` comes twice"));
    assert!(labels(r#"{"0": [1]}"#).unwrap_err().contains("not the JSON expected"));

    assert_eq!(labels(r#"null, "num_labels": 4"#).unwrap().len(), 4);
    assert_eq!(labels(r#"null"#).unwrap(), ["LABEL_0", "LABEL_1"]);
    let error = labels(&format!(r#"{given}, "num_labels": 4"#)).unwrap_err();
    assert!(error.contains("`num_labels` must be 3, the number of entries"), "{error}");
    assert!(labels(r#"null, "num_labels": 0"#).is_err());
    assert!(labels(r#"null, "num_labels": 65537"#).is_err());
}

/// Python writes and reads these; a text that spells one is still a text.
#[test]
fn numbers_that_json_lacks_are_passed_over_under_foreign_keys() {
    for bad in ["NaN", "Infinity", "-Infinity", "[1, NaN, {\"b\": -Infinity}]"] {
        let config = CONFIG.replacen('{', &format!("{{\"problem\\\"\": {bad},\n"), 1);
        assert_eq!(parse(&config), parse(CONFIG), "{bad}");
    }
    let named = with("\"yes\"", "\"NaN \\\" Infinity\"").unwrap();
    assert_eq!(named.labels[1], "NaN \" Infinity");
    for (from, key) in [("\"yes\"", "id2label.1"), ("\"gelu\"", "hidden_act"), ("10", "vocab_size")]
    {
        refused(from, "NaN", &format!("`{key}` must be a finite number or left out, found NaN"));
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_document() {
    assert_eq!(parse(&format!("\u{feff}{CONFIG}")), parse(CONFIG));
    assert!(parse(&format!("\u{feff}\u{feff}{CONFIG}")).is_err());
}

#[test]
fn another_kind_of_file_is_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:9f3a\nsize 440449768\n";
    let cases: [(&[u8], &str); 6] = [
        (pointer.as_bytes(), "a Git LFS pointer in its place: fetch the file itself with `git lfs"),
        (b"<!doctype html>\n<html>", "a web page"),
        (b"", "no bytes, or only zeros"),
        (b"Entry not found", "text that begins `Entry not found`"),
        (b"PK\x03\x04\x00\x00", "a zip archive, as torch.save writes"),
        (b"\xff\xfe{\x00}\x00", "text in UTF-16: save it as UTF-8"),
    ];
    for (content, found) in cases {
        let error = ModelSpec::parse(content, "config.json".as_ref()).unwrap_err();
        let expected = format!("config.json: expected a JSON file, found {found}");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }
}

#[test]
fn files() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(ModelSpec::read(dir.path()).unwrap_err().kind(), ErrorKind::Missing);
    std::fs::write(dir.path().join("config.json"), CONFIG).unwrap();
    assert_eq!(ModelSpec::read(dir.path()).unwrap().sites(), 2);
    let long = vec![b' '; (4 << 20) + 1];
    std::fs::write(dir.path().join("config.json"), long).unwrap();
    let error = ModelSpec::read(dir.path()).unwrap_err();
    assert!(error.to_string().ends_with("4194305 bytes long, of at most 4194304"), "{error}");
}
