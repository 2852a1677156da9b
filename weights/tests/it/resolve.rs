//! Specs against checkpoints.

use offramp_weights::network::Step;
use offramp_weights::{Checkpoint, Elem, ErrorKind, ModelSpec, Pool, Task, resolve};

use crate::common::{self, CONFIG, Put};
use crate::{folder, text};

/// The spec as resolved against `puts`, or the error's text.
fn resolved(config: &str, puts: &[Put]) -> Result<ModelSpec, String> {
    let dir = folder(config, puts);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let mut spec = ModelSpec::read(dir.path()).unwrap();
    let before = spec.clone();
    match resolve(&mut spec, &checkpoint) {
        Ok(()) => Ok(spec),
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Tensor | ErrorKind::Refused), "{error}");
            assert_eq!(spec, before);
            let all = dir.path().display().to_string();
            Err(text(Err::<(), _>(error), dir.path()).replace(&all, "folder"))
        }
    }
}

/// The tensors of the tiny model, without those whose name contains `part`.
fn without(part: &str) -> Vec<Put> {
    common::bert().into_iter().filter(|put| !put.name.contains(part)).collect()
}

/// The tensors of the tiny model, with one of another shape.
fn reshaped(name: &str, shape: &[usize]) -> Vec<Put> {
    let mut puts = without(name);
    let count = shape.iter().product();
    puts.push(Put::floats(name, Elem::F32, shape, &vec![0.5; count]));
    puts
}

/// The weight of the dense layer on the first token, where there is one.
fn dense(spec: &ModelSpec) -> Option<&str> {
    match &spec.network.tail[..] {
        [Step::Linear(dense)] => Some(&dense.weights[0]),
        _ => None,
    }
}

#[test]
fn a_whole_model() {
    let spec = resolved(CONFIG, &common::bert()).unwrap();
    assert_eq!(spec, common::spec());
    assert_eq!((spec.classes(), dense(&spec)), (3, Some("bert.pooler.dense.weight")));
    assert_eq!(spec.labels, ["no", "yes", "maybe"]);
}

#[test]
fn a_bare_encoder_has_no_classes() {
    let bare = |puts: Vec<Put>| {
        let strip = |put: Put| Put { name: put.name.replace("bert.", ""), ..put };
        resolved(CONFIG, &puts.into_iter().map(strip).collect::<Vec<_>>()).unwrap()
    };
    let spec = bare(without("classifier"));
    assert_eq!((spec.classes(), spec.labels.len()), (0, 0));
    assert_eq!(dense(&spec), Some("pooler.dense.weight"));
    assert_eq!(spec.network.head.pool, Pool::First);
    let mut puts = without("classifier");
    puts.retain(|put| !put.name.contains("pooler"));
    let spec = bare(puts);
    assert_eq!((dense(&spec), spec.network.head.pool), (None, Pool::Mean));
}

#[test]
fn roberta_keeps_its_pooler_elsewhere() {
    let config = CONFIG.replace("\"bert\"", "\"roberta\"");
    let puts = common::tensors(&common::parse(&config));
    let spec = resolved(&config, &puts).unwrap();
    assert_eq!(dense(&spec), Some("classifier.dense.weight"));
    let classifier = spec.network.head.classifier.unwrap();
    assert_eq!(classifier.weights, ["classifier.out_proj.weight"]);

    let bare = |put: Put| {
        let name = put.name.replace("classifier.dense", "pooler.dense");
        Put { name: name.replace("roberta.", ""), ..put }
    };
    let bare = puts.into_iter().map(bare).filter(|put| !put.name.starts_with("classifier"));
    let spec = resolved(&config, &bare.collect::<Vec<_>>()).unwrap();
    assert_eq!((spec.classes(), dense(&spec)), (0, Some("pooler.dense.weight")));
}

#[test]
fn old_layer_norm_names() {
    let old = |put: Put| {
        let name = put.name.replace("LayerNorm.weight", "LayerNorm.gamma");
        Put { name: name.replace("LayerNorm.bias", "LayerNorm.beta"), ..put }
    };
    let puts: Vec<_> = common::bert().into_iter().map(old).collect();
    assert_eq!(puts.iter().filter(|put| put.name.ends_with("gamma")).count(), 5);
    let spec = resolved(CONFIG, &puts).unwrap();
    let Some(Step::Norm(norm)) = spec.network.segments[1].steps.last() else { panic!("{spec:?}") };
    assert_eq!(norm.scale, "bert.encoder.layer.1.output.LayerNorm.gamma");
    assert_eq!(norm.shift, "bert.encoder.layer.1.output.LayerNorm.beta");
}

#[test]
fn a_wrong_shape_is_told_in_full() {
    let name = "bert.encoder.layer.1.intermediate.dense.weight";
    let expected = "model.safetensors: tensor `bert.encoder.layer.1.intermediate.dense.weight`: \
                    expected shape [6, 4], found shape [4, 6]";
    assert_eq!(resolved(CONFIG, &reshaped(name, &[4, 6])).unwrap_err(), expected);
}

/// Every tensor, one at a time, must be there and of its own shape.
#[test]
fn every_tensor_is_checked() {
    for put in common::bert() {
        let name = &put.name;
        let longer: Vec<_> = put.shape.iter().map(|dim| dim + 1).collect();
        let error = resolved(CONFIG, &reshaped(name, &longer)).unwrap_err();
        assert!(error.contains(&format!("tensor `{name}`: expected shape ")), "{error}");
        if name != "classifier.weight" {
            let error = resolved(CONFIG, &without(name)).unwrap_err();
            let expected = format!("folder: no tensor `{name}`; the nearest are ");
            assert!(error.starts_with(&expected), "{error}");
        }
    }
}

#[test]
fn the_classifier_says_how_many_classes() {
    let with_rows = |config: &str, rows: usize| {
        let mut puts = without("classifier");
        puts.push(Put::floats("classifier.weight", Elem::F32, &[rows, 4], &vec![0.5; rows * 4]));
        puts.push(Put::floats("classifier.bias", Elem::F32, &[rows], &vec![0.5; rows]));
        resolved(config, &puts)
    };
    let error = with_rows(CONFIG, 2).unwrap_err();
    let expected =
        "model.safetensors: tensor `classifier.weight`: expected shape [3, 4], found shape [2, 4]";
    assert_eq!(error, expected);
    let unnamed = CONFIG.replace("id2label", "other");
    let counted = unnamed.replacen('{', "{\"num_labels\": 3,", 1);
    let error = with_rows(&counted, 5).unwrap_err();
    assert!(error.ends_with("expected shape [3, 4], found shape [5, 4]"), "{error}");
    let spec = with_rows(&unnamed, 5).unwrap();
    assert_eq!((spec.classes(), spec.labels[4].as_str()), (5, "LABEL_4"));
    let error = with_rows(&unnamed, 0).unwrap_err();
    assert!(error.ends_with("expected shape [classes, 4], found shape [0, 4]"), "{error}");
}

#[test]
fn a_deeper_checkpoint_is_refused() {
    let config = CONFIG.replace("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1");
    let error = resolved(&config, &common::bert()).unwrap_err();
    let expected = "expected no such tensor in a bert of 1 segments, found one: config.json is of \
                    another network";
    assert!(error.contains("layer.1.") && error.ends_with(expected), "{error}");
}

#[test]
fn the_task_follows_the_classifier_and_the_configuration() {
    let generic = CONFIG.replace(r#""id2label": {"0": "no", "1": "yes", "2": "maybe"},"#, "");
    let with = |problem: &str| generic.replacen('{', &format!("{{{problem}"), 1);
    let one = || {
        let mut puts = reshaped("classifier.weight", &[1, 4]);
        puts.retain(|put| put.name != "classifier.bias");
        puts.push(Put::floats("classifier.bias", Elem::F32, &[1], &[0.5]));
        puts
    };
    let task = |config: &str, puts: &[Put]| resolved(config, puts).map(|spec| spec.task());
    let (multi, regression) = (
        with(r#""problem_type": "multi_label_classification", "#),
        with(r#""problem_type": "regression", "#),
    );
    assert_eq!(task(&generic, &common::bert()), Ok(Task::Classes));
    assert_eq!(task(&multi, &common::bert()), Ok(Task::Labels));
    assert_eq!(task(&generic, &one()), Ok(Task::Score));
    assert_eq!(task(&regression, &one()), Ok(Task::Value));
    let error = task(&regression, &common::bert()).unwrap_err();
    assert!(error.contains("config.json: `problem_type` must be of one label"), "{error}");
}

/// The tensors of the tiny model, with one more of two values.
fn and(name: &str) -> Vec<Put> {
    let mut puts = common::bert();
    puts.push(Put::floats(name, Elem::F32, &[2], &[0.5, 0.5]));
    puts
}

#[test]
fn adapters_are_refused_by_name() {
    let names = [
        "bert.encoder.layer.0.output.adapters.task.adapter_down.0.weight",
        "bert.encoder.layer.1.attention.self.query.lora_A.weight",
        "bert.encoder.layer.0.attention.self.value.lora_B.default.weight",
        "base_model.model.bert.encoder.layer.0.attention.self.key.base_layer.weight",
        "base_model.model.classifier.modules_to_save.default.weight",
        "prefix_encoder.embedding.weight",
        "bert.encoder.layer.0.intermediate.dense.ia3_l",
    ];
    for name in names {
        let error = resolved(CONFIG, &and(name)).unwrap_err();
        let expected = format!("model.safetensors: tensor `{name}`: expected weights with nothing");
        assert!(error.starts_with(&expected) && error.contains("merge it"), "{error}");
    }
    // The weight is named, not the bias before it.
    let mut puts = and("bert.encoder.layer.0.output.adapters.x.down.bias");
    puts.push(Put::floats(
        "bert.encoder.layer.0.output.adapters.x.down.weight",
        Elem::F32,
        &[1],
        &[0.5],
    ));
    assert!(resolved(CONFIG, &puts).unwrap_err().contains("x.down.weight`"));
}

#[test]
fn tensors_of_the_models_own_kind_must_have_a_place() {
    let names = [
        "bert.encoder.layer.0.crossattention.self.query.weight",
        "bert.encoder.layer.0.attention.self.distance_embedding.weight",
        "bert.encoder.layer.3.output.dense.bias",
        "bert.embeddings.extra.weight",
        "classifier.out_proj.weight",
        "pre_classifier.weight",
    ];
    for name in names {
        let error = resolved(CONFIG, &and(name)).unwrap_err();
        let expected = format!(
            "model.safetensors: tensor `{name}`: expected no such tensor in a bert of 2 segments"
        );
        assert!(error.starts_with(&expected), "{error}");
    }
    // Of any element type: what a quantised layer needs beside its bytes.
    let mut puts = common::bert();
    puts.push(Put::raw("bert.encoder.layer.0.output.dense.weight.SCB", "U8", &[3], vec![0; 3]));
    assert!(resolved(CONFIG, &puts).unwrap_err().contains("dense.weight.SCB`"));
    // Without the prefix, the encoder's own beginnings tell.
    let bare = |puts: Vec<Put>| {
        let strip = |put: Put| Put { name: put.name.replace("bert.", ""), ..put };
        puts.into_iter()
            .filter(|put| !put.name.contains("classifier"))
            .map(strip)
            .collect::<Vec<_>>()
    };
    assert!(resolved(CONFIG, &bare(common::bert())).is_ok());
    let error = resolved(CONFIG, &bare(and("bert.encoder.layer.0.gate.weight"))).unwrap_err();
    assert!(error.contains("tensor `encoder.layer.0.gate.weight`"), "{error}");
}

#[test]
fn what_the_model_does_not_need_may_be_there() {
    let names = [
        "cls.predictions.transform.dense.weight",
        "lm_head.dense.bias",
        "qa_outputs.weight",
        "bert.embeddings.position_ids",
        "n_averaged",
    ];
    let plain = resolved(CONFIG, &common::bert()).unwrap();
    for name in names {
        assert_eq!(resolved(CONFIG, &and(name)).unwrap(), plain, "{name}");
    }
    let config = CONFIG.replace("\"bert\"", "\"roberta\"");
    let mut puts = common::tensors(&common::parse(&config));
    puts.push(Put::floats("roberta.pooler.dense.weight", Elem::F32, &[1], &[0.5]));
    assert!(resolved(&config, &puts).is_ok());
}

#[test]
fn wrappers_are_taken_off() {
    let plain = resolved(CONFIG, &common::bert()).unwrap();
    for wrapper in ["module.", "model.", "_orig_mod.", "module._orig_mod.", "model.module."] {
        let wrap = |put: Put| Put { name: format!("{wrapper}{}", put.name), ..put };
        let puts: Vec<_> = common::bert().into_iter().map(wrap).collect();
        assert_eq!(resolved(CONFIG, &puts).unwrap(), plain, "{wrapper}");
    }
    // Where the encoder alone is wrapped, and where a part of it was compiled.
    let partly = |put: Put| match put.name.strip_prefix("bert.encoder.") {
        Some(rest) => Put { name: format!("model.bert.encoder._orig_mod.{rest}"), ..put },
        None => put,
    };
    let puts: Vec<_> = common::bert().into_iter().map(partly).collect();
    assert_eq!(resolved(CONFIG, &puts).unwrap(), plain);
}

/// An element type that is not read is told, whatever the tensor is.
#[test]
fn other_element_types_are_named() {
    let retyped = |is: &dyn Fn(&str) -> bool, dtype: &str, bytes: usize| {
        let retype = |put: Put| match is(&put.name) {
            true => {
                let count: usize = put.shape.iter().product();
                Put::raw(&put.name, dtype, &put.shape, vec![0; count * bytes])
            }
            false => put,
        };
        let puts: Vec<_> = common::bert().into_iter().map(retype).collect();
        resolved(CONFIG, &puts).unwrap_err()
    };
    for (dtype, bytes) in [("F64", 8), ("F8_E4M3", 1), ("F8_E5M2", 1), ("I8", 1), ("U8", 1)] {
        let expected = |name: &str| {
            format!("tensor `{name}`: expected elements of F32, F16 or BF16, found {dtype}")
        };
        for name in ["classifier.weight", "bert.pooler.dense.bias", "bert.encoder.layer.1.output"] {
            let error = retyped(&|found| found.starts_with(name), dtype, bytes);
            assert!(error.contains(&format!("`, found {dtype}")[3..]), "{error}");
            assert!(error.contains(name), "{error}");
        }
        let error = retyped(&|_| true, dtype, bytes);
        assert!(error.contains(&expected("classifier.weight")), "{error}");
    }
}
