//! Opening, looking up, converting and hashing.

use half::{bf16, f16};
use offramp_weights::{Checkpoint, Elem, Error, ErrorKind, ModelSpec, Stored};

use crate::common::{self, CONFIG, Put, write};
use crate::{folder, text};

#[test]
fn what_is_missing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let open = || text(Checkpoint::open(dir.path()), dir.path().parent().unwrap());
    let either = "expected model.safetensors or model.safetensors.index.json; there is neither";
    assert!(open().ends_with(either), "{}", open());
    write(dir.path(), "pytorch_model.bin", b"pickle");
    assert!(open().contains("only a PyTorch pickle: convert it to safetensors"), "{}", open());
    write(dir.path(), "model.safetensors", &common::safetensors(&[]));
    let config = text(Checkpoint::open(dir.path()), dir.path());
    assert_eq!(config, "config.json: expected a file named config.json; there is none");

    let nowhere = dir.path().join("nowhere");
    let error = Checkpoint::open(&nowhere).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.to_string().ends_with("there is no such folder"), "{error}");
    let error = Checkpoint::open(&dir.path().join("pytorch_model.bin")).unwrap_err();
    assert!(error.to_string().ends_with("this is not a folder"), "{error}");
}

#[test]
fn a_folder_in_place_of_a_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    write(dir.path(), "config.json", b"{}");
    let found = text(Checkpoint::open(dir.path()), dir.path());
    assert_eq!(found, "model.safetensors: damaged: not a regular file");
}

#[test]
fn only_floats_are_tensors() {
    let puts = [
        Put::raw("ids", "I64", &[1, 2], vec![0; 16]),
        Put::raw("wide", "F64", &[1], vec![0; 8]),
        Put::floats("weight", Elem::F32, &[2], &[1.0, 2.0]),
        Put::raw("mask", "BOOL", &[3], vec![1; 3]),
    ];
    let dir = folder(CONFIG, &puts);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["weight"]);
    assert!(checkpoint.has("ids") && !checkpoint.has("id"));
    assert!(checkpoint.get("ids").is_err() && checkpoint.get("id").unwrap().is_none());
    let found = text(checkpoint.tensor("wide"), dir.path());
    let expected =
        "model.safetensors: tensor `wide`: expected elements of F32, F16 or BF16, found F64";
    assert_eq!(found, expected);
    assert_eq!(checkpoint.bytes(), common::safetensors(&puts).len() as u64);
}

/// Wrappers of PyTorch put their names before or into those of tensors.
#[test]
fn names_are_without_those_of_wrappers() {
    let named = |names: &[&str]| {
        let puts: Vec<_> =
            names.iter().map(|name| Put::floats(name, Elem::F32, &[1], &[0.5])).collect();
        let dir = folder(CONFIG, &puts);
        let checkpoint = Checkpoint::open(dir.path());
        let found = checkpoint.map(|found| found.names().map(String::from).collect::<Vec<_>>());
        text(found, dir.path())
    };
    let all = ["module._orig_mod.b.c", "_orig_mod.a", "d._fsdp_wrapped_module.e", "model.net.f"];
    let dir = folder(CONFIG, &all.map(|name| Put::floats(name, Elem::F32, &[1], &[0.5])));
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b.c", "d.e", "f"]);
    assert_eq!(checkpoint.tensor("b.c").unwrap().name(), all[0]);
    assert_eq!(checkpoint.tensor(all[0]).unwrap().name(), all[0]);
    for (twice, plain) in [
        (["_orig_mod.x.y", "x.y"], "x.y"),
        (["model.x", "module.x"], "x"),
        (["a._orig_mod.b", "module.a.b"], "a.b"),
    ] {
        let expected = format!(
            "model.safetensors: damaged: tensors `{}` and `{}` are both `{plain}` without the \
             names of wrappers",
            twice[0], twice[1]
        );
        assert_eq!(named(&twice), expected);
    }
}

/// Weights of another framework lie the other way round.
#[test]
fn other_frameworks_are_refused() {
    let open = |format: &str| {
        let header = format!(r#"{{"__metadata__":{{"format":"{format}"}}}}"#);
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "config.json", CONFIG.as_bytes());
        write(dir.path(), "model.safetensors", &common::file(&header, &[]));
        Checkpoint::open(dir.path()).map(|_| ()).map_err(|error| error.to_string())
    };
    for format in ["tf", "flax", "jax"] {
        let expected =
            format!("model.safetensors: `__metadata__.format` must be `pt`, found `{format}`");
        assert!(open(format).unwrap_err().ends_with(&expected));
    }
    for format in ["pt", "np", "mlx", "mine"] {
        assert_eq!(open(format), Ok(()));
    }
}

#[test]
fn an_adapter_in_the_folder_is_refused() {
    for name in ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"] {
        let dir = folder(CONFIG, &common::bert());
        assert!(Checkpoint::open(dir.path()).is_ok());
        write(dir.path(), name, b"{}");
        let error = text(Checkpoint::open(dir.path()).map(|_| ()), dir.path());
        let expected = format!("{name}: expected a whole model; this is an adapter, which is not");
        assert!(error.starts_with(&expected), "{error}");
        // Alone, as peft saves it, there is no config.json that could be missed first.
        std::fs::remove_file(dir.path().join("config.json")).unwrap();
        let error = ModelSpec::read(dir.path()).unwrap_err();
        assert!(error.to_string().contains("merge it into its base model"), "{error}");
    }
}

#[test]
fn other_weights_are_named() {
    let cases = [
        ("model.gguf", "GGUF"),
        ("model.onnx", "ONNX"),
        ("tf_model.h5", "TensorFlow"),
        ("flax_model.msgpack", "Flax"),
        ("best.pth", "only a PyTorch pickle"),
        ("pytorch_model-00001-of-00002.bin", "only a PyTorch pickle"),
        ("weights.safetensors", "one of another name: rename it"),
        ("model-00001-of-00002.safetensors", "shards without their index"),
        ("ramps.safetensors", "there is neither"),
    ];
    for (name, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), name, b"x");
        let error = Checkpoint::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn the_nearest_names_are_offered() {
    let dir = folder(CONFIG, &common::bert());
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let found = checkpoint.tensor("pooler.dense.weight").unwrap_err().to_string();
    assert!(
        found.contains(
            "no tensor `pooler.dense.weight`; the nearest are bert.pooler.dense.weight, "
        ),
        "{found}"
    );
}

/// All 65,536 halves of either kind; those that are not finite must be refused by index.
#[test]
fn halves_convert_exactly() {
    let all = || 0..=u16::MAX;
    let single = |elem, bits| match elem {
        Elem::F16 => f16::from_bits(bits).to_f32(),
        _ => bf16::from_bits(bits).to_f32(),
    };
    for elem in [Elem::F16, Elem::BF16] {
        for pad in [0, 1] {
            let finite: Vec<u16> = all().filter(|bits| single(elem, *bits).is_finite()).collect();
            let bytes = finite.iter().flat_map(|bits| bits.to_le_bytes()).collect();
            let half = Put::raw("half", &elem.to_string(), &[finite.len()], bytes);
            // One odd byte before it, so that the halves lie at odd addresses.
            let dir = folder(CONFIG, &[Put::raw("pad", "U8", &[pad], vec![0; pad]), half]);
            let checkpoint = Checkpoint::open(dir.path()).unwrap();
            let found = checkpoint.tensor("half").unwrap().to_vec().unwrap();
            let expected = finite.iter().map(|bits| single(elem, *bits).to_bits());
            assert!(found.iter().map(|value| value.to_bits()).eq(expected), "{elem} {pad}");
        }
    }
}

#[test]
fn chunks_cover_the_tensor_in_order() {
    let values: Vec<f32> = (0..1000).map(|i| i as f32 / 8.0).collect();
    for elem in [Elem::F32, Elem::F16, Elem::BF16] {
        for pad in 0..4 {
            let stored = Put::floats("x", elem, &[10, 100], &values);
            let dir = folder(CONFIG, &[Put::raw("pad", "U8", &[pad], vec![0; pad]), stored]);
            let checkpoint = Checkpoint::open(dir.path()).unwrap();
            let tensor = checkpoint.tensor("x").unwrap();
            let whole = tensor.to_vec().unwrap();
            assert!(elem == Elem::BF16 || whole == values);
            for chunk in [0, 1, 7, 999, 1000, 1001, usize::MAX] {
                let mut seen = Vec::new();
                let step = |first: usize, values: &[f32]| {
                    assert_eq!(first, seen.len());
                    assert!(values.len() <= chunk.max(1));
                    seen.extend_from_slice(values);
                    Ok::<(), Error>(())
                };
                tensor.for_each_chunk(chunk, step).unwrap();
                assert_eq!(seen, whole);
                seen.clear();
                let stored = tensor.for_each_stored(chunk, |first, stored| {
                    assert_eq!(first, seen.len());
                    match (elem, stored) {
                        (Elem::F32, Stored::F32(values)) => seen.extend_from_slice(values),
                        (Elem::F16, Stored::F16(values)) => {
                            seen.extend(values.iter().map(|v| v.to_f32()))
                        }
                        (Elem::BF16, Stored::Bf16(values)) => {
                            seen.extend(values.iter().map(|v| v.to_f32()))
                        }
                        other => panic!("{other:?}"),
                    }
                    Ok::<(), Error>(())
                });
                stored.unwrap();
                assert_eq!(seen, whole);
            }
        }
    }
}

#[test]
fn the_caller_can_stop() {
    #[derive(Debug)]
    enum Mine {
        Enough,
        Theirs,
    }
    impl From<Error> for Mine {
        fn from(_: Error) -> Self {
            Self::Theirs
        }
    }
    let dir = folder(CONFIG, &[Put::floats("x", Elem::F32, &[3], &[1.0, 2.0, f32::NAN])]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let tensor = checkpoint.tensor("x").unwrap();
    let stop = |_: usize, _: &[f32]| Err(Mine::Enough);
    assert!(matches!(tensor.for_each_chunk(2, stop), Err(Mine::Enough)));
    let go_on = |_: usize, _: &[f32]| Ok(());
    assert!(matches!(tensor.for_each_chunk(2, go_on), Err(Mine::Theirs)));
}

#[test]
fn values_that_are_not_finite_are_refused() {
    for elem in [Elem::F32, Elem::F16, Elem::BF16] {
        for (bad, shown) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")]
        {
            let mut values = vec![1.0; 100];
            values[70] = bad;
            let dir = folder(CONFIG, &[Put::floats("bert.x", elem, &[100], &values)]);
            let checkpoint = Checkpoint::open(dir.path()).unwrap();
            let tensor = checkpoint.tensor("bert.x").unwrap();
            let expected = format!(
                "model.safetensors: tensor `bert.x`: expected finite values, \
                 found {shown} at element 70"
            );
            assert_eq!(text(tensor.to_vec(), dir.path()), expected);
            let mut seen = 0;
            let result = tensor.for_each_chunk(30, |_, values| {
                seen += values.len();
                Ok::<(), Error>(())
            });
            assert_eq!((text(result, dir.path()), seen), (expected.clone(), 60));
            let mut pieces = 0;
            let result = tensor.for_each_stored(30, |first, _| {
                assert_eq!(first, 30 * pieces);
                pieces += 1;
                Ok::<(), Error>(())
            });
            assert_eq!((text(result, dir.path()), pieces), (expected, 2));
        }
    }
}

#[test]
fn the_hash_covers_every_byte() {
    let dir = folder(CONFIG, &common::bert());
    let hash = || Checkpoint::open(dir.path()).unwrap().hash();
    let before = hash();
    assert_eq!(before, hash());
    assert_eq!(before.to_string().parse(), Ok(before));
    assert_eq!(before.to_string().len(), 64);
    assert!(before.to_string().starts_with(&before.short()));

    let mut puts = common::bert();
    *puts[9].bytes.last_mut().unwrap() ^= 1;
    write(dir.path(), "model.safetensors", &common::safetensors(&puts));
    let weights = hash();
    assert_ne!(before, weights);
    write(dir.path(), "config.json", format!("{CONFIG} ").as_bytes());
    let config = hash();
    assert_ne!(weights, config);
    write(dir.path(), "preprocessor_config.json", b"{}");
    assert_ne!(config, hash());
}

/// Two shards and an index; the tests damage one or the other.
fn sharded() -> (tempfile::TempDir, Vec<Put>, String) {
    let (dir, puts) = (tempfile::tempdir().unwrap(), common::bert());
    let (first, second) = puts.split_at(12);
    write(dir.path(), "config.json", CONFIG.as_bytes());
    write(dir.path(), "a.safetensors", &common::safetensors(first));
    write(dir.path(), "b.safetensors", &common::safetensors(second));
    let list = |puts: &[Put], file: &str| {
        puts.iter().map(|put| format!(r#""{}":"{file}""#, put.name)).collect::<Vec<_>>()
    };
    let lists = [list(first, "a.safetensors"), list(second, "b.safetensors")].concat();
    let index =
        format!(r#"{{"metadata":{{"total_size":1}},"weight_map":{{{}}}}}"#, lists.join(","));
    write(dir.path(), "model.safetensors.index.json", index.as_bytes());
    (dir, puts, index)
}

#[test]
fn shards_are_one_checkpoint() {
    let (dir, puts, _) = sharded();
    let (shards, whole) = (Checkpoint::open(dir.path()).unwrap(), folder(CONFIG, &puts));
    let whole = Checkpoint::open(whole.path()).unwrap();
    assert!(shards.names().eq(whole.names()));
    assert_eq!(shards.names().count(), puts.len());
    for name in whole.names() {
        let (a, b) = (shards.tensor(name).unwrap(), whole.tensor(name).unwrap());
        assert_eq!((a.shape(), a.to_vec().unwrap()), (b.shape(), b.to_vec().unwrap()));
    }
}

#[test]
fn the_index_must_be_borne_out() {
    let (dir, puts, index) = sharded();
    let open = |index: &str| {
        write(dir.path(), "model.safetensors.index.json", index.as_bytes());
        text(Checkpoint::open(dir.path()), dir.path())
    };
    let name = &puts[0].name;
    let moved = index.replace(&format!(r#"{name}":"a"#), &format!(r#"{name}":"b"#));
    assert!(open(&moved).contains(
        "`bert.embeddings.word_embeddings.weight` is not in b.safetensors, where the index says"
    ));
    let unknown = index.replace(name.as_str(), "other");
    assert!(open(&unknown).contains("tensor `other` is not in a.safetensors"));
    for bad in
        ["../a.safetensors", "/a.safetensors", "x/a.safetensors", "..safetensors", "a.bin", ""]
    {
        let found = open(&index.replace("a.safetensors", bad));
        let expected = "must be a map to names of *.safetensors files in the same folder, found";
        assert!(found.contains(expected) && found.contains(bad), "{found}");
    }
    assert!(
        open(&index.replace("a.safetensors", "c.safetensors"))
            .contains("a file named c.safetensors; there is none")
    );
    assert!(open(r#"{"weight_map":{}}"#).contains("found 0 files"));
    assert!(open("{}").contains("missing field `weight_map`"));
    assert!(open(r#"{"weight_map":{"a":"x","a":"x"}}"#).contains("key `a` comes twice"));

    write(dir.path(), "b.safetensors", &common::safetensors(&puts[11..]));
    let both = open(&index);
    assert!(both.starts_with("b.safetensors: damaged: tensor `"), "{both}");
    assert!(both.ends_with("is in a.safetensors too"), "{both}");
}
