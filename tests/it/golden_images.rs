//! Logits equal the original framework's, for every family of image models.

use std::path::Path;

use offramp::{Model, Picture, Row};
use offramp_tests::golden_images_dir;
use serde::Deserialize;

use crate::golden::{assert_close, logits};
use crate::machine;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    logits: Vec<f32>,
}

/// The images of a model, and what the original framework says about each.
fn read_cases(dir: &Path, model: &Model) -> Vec<(Row, Case)> {
    let input = model.spec().image().unwrap();
    let shape = [input.height, input.width, input.channels];
    let preprocessor = model.preprocessor().unwrap();
    let text = std::fs::read_to_string(dir.join("cases.json")).unwrap();
    let cases = serde_json::from_str::<Golden>(&text).unwrap().cases;
    let pixels = std::fs::read(dir.join("pixels.bin")).unwrap();
    let images = pixels.chunks_exact(pixels.len() / cases.len());
    let row = |image: &[u8]| {
        Row::Image(preprocessor.apply(&Picture::new(shape, image.to_vec()).unwrap()))
    };
    images.map(row).zip(cases).collect()
}

fn check(name: &str) {
    let dir = golden_images_dir().join(name);
    let model = Model::open(&dir).unwrap();
    let (rows, cases): (Vec<Row>, Vec<Case>) = read_cases(&dir, &model).into_iter().unzip();
    assert!(!cases.is_empty(), "{name}");
    for (index, (case, found)) in cases.iter().zip(logits(&model, &rows)).enumerate() {
        let what = format!("{name}, image {index}");
        assert_close(&what, &found, &case.logits, machine::IMAGE_LOGITS_REL);
        let alone = logits(&model, &rows[index..=index]);
        assert_eq!(alone[0], found, "{what}: alone and in company");
    }
}

macro_rules! golden {
    ($($test:ident: $name:literal,)*) => {
        $(#[test] fn $test() { check($name); })*

        #[test]
        fn every_golden_image_model_has_a_test() {
            let mut tested = vec![$($name),*];
            tested.sort_unstable();
            let entries = std::fs::read_dir(golden_images_dir()).unwrap();
            let folders = entries.map(|entry| entry.unwrap()).filter(|e| e.path().is_dir());
            let mut found: Vec<String> =
                folders.map(|e| e.file_name().into_string().unwrap()).collect();
            found.sort_unstable();
            assert_eq!(found, tested);
        }
    };
}

golden! {
    resnet_of_basic_blocks: "resnet-basic",
    resnet_of_bottlenecks: "resnet-bottleneck",
    resnet_with_the_stride_in_the_first_1x1: "resnet-bottleneck-v1",
    resnet_for_small_images: "resnet-cifar",
    resnet_for_small_images_trained: "resnet-cifar-trained",
    resnet_in_f16: "resnet-f16",
    resnet_folded_by_its_author: "resnet-folded",
    resnet_by_hugging_face_of_basic_blocks: "resnet-hf-basic",
    resnet_by_hugging_face_of_bottlenecks: "resnet-hf-bottleneck",
    resnet_by_hugging_face_v1: "resnet-hf-v1",
    vit_by_timm: "vit-timm",
    vit_by_hugging_face: "vit-hf",
    vit_in_f16: "vit-f16",
    deit_by_timm: "deit-timm",
    deit_by_hugging_face: "deit-hf",
    vgg: "vgg",
    vgg_with_batch_norm: "vgg-bn",
    vgg_by_timm: "vgg-timm",
    vgg_by_timm_for_large_images: "vgg-timm-large",
}
