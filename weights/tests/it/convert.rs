//! Model folders from bare weights.

use offramp_weights::image::{ChannelOrder, Interpolation, Resize};
use offramp_weights::network::TensorForm;
use offramp_weights::{Checkpoint, Conversion, Elem, ModelSpec, resolve};

use crate::common::{self, IMAGE_CONFIG, Put};
use crate::text;

/// The conversion that makes the tiny network again.
fn tiny() -> Conversion {
    Conversion {
        architecture: "resnet20".into(),
        input_size: Some([1, 8, 6]),
        depths: Some(vec![1, 1, 1]),
        widths: Some(vec![2, 4, 6]),
        ..Conversion::default()
    }
}

/// Runs `conversion` over `puts`; gives the folder and what was made, or the error's text.
fn run(conversion: &Conversion, puts: &[Put]) -> Result<(tempfile::TempDir, ModelSpec), String> {
    let dir = tempfile::tempdir().unwrap();
    common::write(dir.path(), "state.safetensors", &common::safetensors(puts));
    let made = conversion.run(&dir.path().join("state.safetensors"), &dir.path().join("a/b"));
    match made {
        Ok(spec) => Ok((dir, spec)),
        Err(error) => {
            assert!(!dir.path().join("a").exists(), "something was written");
            Err(text(Err::<(), _>(error), dir.path()))
        }
    }
}

fn puts() -> Vec<Put> {
    common::tensors(&common::parse(IMAGE_CONFIG))
}

#[test]
fn the_folder_reads_as_what_was_made() {
    let wrapped = puts().into_iter().map(|put| Put { name: format!("module.{}", put.name), ..put });
    let mut wrapped: Vec<_> = wrapped.collect();
    wrapped.push(Put::raw("module.bn1.num_batches_tracked", "I64", &[], vec![1; 8]));
    let labels = Some(["no", "yes", "maybe"].map(String::from).to_vec());
    let asked = Conversion { labels, is_bgr: true, crop_share: Some(0.9), ..tiny() };
    let (dir, made) = run(&asked, &wrapped).unwrap();
    let folder = dir.path().join("a/b");
    let config = std::fs::read_to_string(folder.join("config.json")).unwrap();
    assert!(config.contains("0.449\n"), "{config}");
    let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().permissions();
    assert_eq!(mode("model.safetensors"), mode("config.json"));
    let mut spec = ModelSpec::read(&folder).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    resolve(&mut spec, &checkpoint).unwrap();
    assert_eq!(spec, made);
    let input = spec.image().unwrap();
    assert_eq!((input.order, spec.labels[2].as_str()), (ChannelOrder::Bgr, "maybe"));
    let resize = Resize::Cover { height: 8, width: 6 };
    assert_eq!((&input.mean, input.resize), (&vec![0.449], resize));
    let mut names: Vec<_> = puts().into_iter().map(|put| put.name).collect();
    names.sort();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), names);
    for put in puts() {
        let found = checkpoint.tensor(&put.name).unwrap();
        assert_eq!(
            Put::floats(&put.name, Elem::F32, &put.shape, &found.to_vec().unwrap()).bytes,
            put.bytes
        );
    }
}

#[test]
fn only_weights_become_halves() {
    let (dir, made) = run(&Conversion { halves: true, ..tiny() }, &puts()).unwrap();
    let checkpoint = Checkpoint::open(&dir.path().join("a/b")).unwrap();
    for form in made.network.tensors() {
        let tensor = checkpoint.tensor(&form.name).unwrap();
        let expected = if tensor.shape().len() > 1 { Elem::F16 } else { Elem::F32 };
        assert_eq!(tensor.elem(), expected, "{form:?}");
    }
    let stored = checkpoint.tensor("fc.weight").unwrap().to_vec().unwrap();
    let expected = puts().into_iter().find(|put| put.name == "fc.weight").unwrap().bytes;
    let (expected, _) = expected.as_chunks();
    let expected: Vec<_> = expected.iter().map(|value| f32::from_le_bytes(*value)).collect();
    assert_eq!(stored, expected);
}

#[test]
fn values_that_do_not_fit_are_refused() {
    let with = |value: f32| {
        let mut puts = puts();
        puts.retain(|put| put.name != "conv1.weight");
        let mut values = vec![0.5; 18];
        values[7] = value;
        puts.push(Put::floats("conv1.weight", Elem::F32, &[2, 1, 3, 3], &values));
        puts
    };
    let halves = Conversion { halves: true, ..tiny() };
    assert!(run(&halves, &with(65_504.0)).is_ok());
    let error = run(&halves, &with(65_536.0)).unwrap_err();
    let expected = "state.safetensors: tensor `conv1.weight`: expected values that F16 can hold, \
                    found 65536 at element 7";
    assert_eq!(error, expected);
    assert!(run(&tiny(), &with(65_536.0)).is_ok());
    let error = run(&tiny(), &with(f32::NAN)).unwrap_err();
    assert!(error.ends_with("expected finite values, found NaN at element 7"), "{error}");
}

#[test]
fn settings_are_checked_as_those_of_a_file() {
    let error = run(&Conversion { architecture: "lenet".into(), ..tiny() }, &puts()).unwrap_err();
    assert!(error.starts_with("a/b/config.json: `architecture` must be one of"), "{error}");
    let error = run(&Conversion { std: Some(vec![0.0]), ..tiny() }, &puts()).unwrap_err();
    assert_eq!(error, "a/b/config.json: `std` must be finite, above 0, found 0");
    let error = run(&Conversion { stride_in_1x1: true, ..tiny() }, &puts()).unwrap_err();
    assert!(error.contains("`stride_in_1x1` must be false"), "{error}");
    let other = Conversion { hidden_width: Some(8), ..tiny() };
    assert!(run(&other, &puts()).unwrap_err().contains("`hidden_width` must be left out"));
}

/// Bare weights of a vision transformer are timm's, and so is what it does with pictures.
#[test]
fn a_vision_transformer_is_written_as_timm_reads_it() {
    let bare = common::parse(r#"{"architecture": "vit_tiny_patch16_224", "num_classes": 3}"#);
    let put = |form: TensorForm| {
        let count = form.shape.iter().product();
        Put::floats(&form.name, Elem::F16, &form.shape, &vec![0.5; count])
    };
    let puts: Vec<Put> = bare.network.tensors().map(put).collect();
    let asked = Conversion { architecture: "vit_tiny_patch16_224".into(), ..Conversion::default() };
    let (dir, made) = run(&asked, &puts).unwrap();
    let written = ModelSpec::read(&dir.path().join("a/b")).unwrap();
    assert_eq!((written.image(), made.image()), (bare.image(), bare.image()));
    let config = std::fs::read_to_string(dir.path().join("a/b/config.json")).unwrap();
    assert!(config.contains("\"crop_pct\": 0.9") && config.contains("bicubic"), "{config}");
    let told =
        Conversion { interpolation: Some("bilinear".into()), crop_share: Some(1.0), ..asked };
    let (_dir, made) = run(&told, &puts).unwrap();
    let input = made.image().unwrap();
    let expected = (Interpolation::Bilinear, Resize::Shorter { side: 224 });
    assert_eq!((input.interpolation, input.resize), expected);
    let deep = Conversion { depths: Some(vec![3]), ..told };
    let error = run(&deep, &puts).unwrap_err();
    assert!(error.contains("`depths` must be left out for this architecture"), "{error}");
}
