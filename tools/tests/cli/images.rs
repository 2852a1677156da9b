//! Images in, by every way that they come.

use std::fs;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::{Folder, golden, golden_images, run};

const MODEL: &str = "resnet-cifar";
const SIDE: u32 = 28;

/// The images of the model, and the logits they must give.
fn cases() -> (Vec<Vec<u8>>, Vec<Vec<f64>>) {
    let dir = golden_images(MODEL);
    let text = fs::read_to_string(format!("{dir}/cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let logits = |case: &Value| -> Vec<f64> {
        case["logits"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
    };
    let logits: Vec<_> = cases["cases"].as_array().unwrap().iter().map(logits).collect();
    let pixels = fs::read(format!("{dir}/pixels.bin")).unwrap();
    let images = pixels.chunks_exact(pixels.len() / logits.len()).map(<[u8]>::to_vec);
    (images.collect(), logits)
}

fn write(folder: &Folder, name: &str, bytes: &[u8]) -> String {
    let path = folder.path(name);
    fs::create_dir_all(std::path::Path::new(&path).parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    path
}

fn idx(images: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    [images.len() as u32, SIDE, SIDE].iter().for_each(|n| file.extend(n.to_be_bytes()));
    file.extend(images.concat());
    file
}

/// Classifies `input`; every answer must have the logits of its case. Gives the ids.
fn classify(input: &str, more: &[&str], logits: &[Vec<f64>]) -> Vec<Value> {
    let model = golden_images(MODEL);
    let args = ["classify", "--model", &model, "--input", input, "--logits"];
    let lines = run(&[&args[..], more].concat(), "").expect_code(0).lines();
    assert_eq!(lines.len(), logits.len());
    for (line, expected) in lines.iter().zip(logits) {
        let found = line["logits"].as_array().unwrap();
        for (found, expected) in found.iter().zip(expected) {
            let off = (found.as_f64().unwrap() - expected).abs();
            assert!(off <= 1e-3, "{line}: expected {expected}");
        }
    }
    lines.iter().map(|line| line["id"].clone()).collect()
}

#[test]
fn idx_raw_and_packed_files_give_the_same_answers() {
    let (folder, (images, logits)) = (Folder::new(), cases());
    let plain = write(&folder, "some-images-idx3-ubyte", &idx(&images));
    assert_eq!(classify(&plain, &[], &logits), [1, 2, 3]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&idx(&images)).unwrap();
    let packed = write(&folder, "packed.gz", &packed.finish().unwrap());
    assert_eq!(classify(&packed, &[], &logits), [1, 2, 3]);
    let raw = write(&folder, "raw.u8", &images.concat());
    assert_eq!(classify(&raw, &["--shape", "28x28x1"], &logits), [1, 2, 3]);
}

#[test]
fn folders_of_pictures_are_read_by_name_and_damage_stays_where_it_is() {
    let (folder, (images, logits)) = (Folder::new(), cases());
    for (name, image) in ["pictures/b/2.png", "pictures/a/1.png"].iter().zip(&images) {
        let path = write(&folder, name, &[]);
        image::save_buffer(&path, image, SIDE, SIDE, image::ExtendedColorType::L8).unwrap();
    }
    let pictures = folder.path("pictures");
    let expected = [logits[1].clone(), logits[0].clone()];
    assert_eq!(classify(&pictures, &[], &expected), ["a/1.png", "b/2.png"]);
    write(&folder, "pictures/a/0.png", b"no picture");
    let model = golden_images(MODEL);
    let done = run(&["classify", "--model", &model, "--input", &pictures], "").expect_code(1);
    let lines = done.lines();
    assert!(lines[0]["error"].as_str().unwrap().contains("0.png"), "{}", lines[0]);
    assert_eq!(lines[0]["id"], "a/0.png");
    assert!(lines[1]["label"].is_string() && lines[2]["label"].is_string());
}

#[test]
fn other_sizes_are_resized() {
    let folder = Folder::new();
    let path = folder.path("large.png");
    let picture = image::RgbImage::from_fn(90, 70, |x, y| image::Rgb([x as u8, y as u8, 9]));
    picture.save(&path).unwrap();
    let model = golden_images(MODEL);
    let done = run(&["classify", "--model", &model, "--input", &path], "").expect_code(0);
    assert_eq!(done.lines()[0]["id"], "large.png");
}

#[test]
fn what_does_not_fit_is_said() {
    let (folder, (images, _)) = (Folder::new(), cases());
    let (text, pictures) = (golden("bert-cls"), golden_images(MODEL));
    let raw = write(&folder, "raw.u8", &images.concat());
    let cut = write(&folder, "cut-idx3", &idx(&images)[..900]);
    let questions = folder.write("questions.txt", "Who?\n");
    let checks: [(&str, &[&str], i32, &str); 6] = [
        (&pictures, &["--input", &raw], 1, "expected an IDX file"),
        (&pictures, &["--input", &raw, "--shape", "5x5x1"], 1, "5 x 5 x 1"),
        (&pictures, &["--input", &raw, "--shape", "28x28"], 2, "HEIGHTxWIDTHxCHANNELS"),
        (&pictures, &["--input", &cut], 1, "image 2 of 3"),
        (&pictures, &[], 2, "reads images"),
        (&text, &["--input", &raw, "--shape", "28x28x1"], 2, "the model reads text"),
    ];
    for (model, more, code, message) in checks {
        let args = [&["classify", "--model", model][..], more].concat();
        let done = run(&args, "").expect_code(code);
        assert!(done.err.contains(message), "{message}: {}", done.err);
    }
    let args = ["classify", "--model", &pictures, "--input", &questions];
    assert!(run(&args, "").expect_code(1).err.contains("questions.txt"));
}

#[test]
fn the_shipped_model_reads_images_and_answers_early() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist");
    let about = run(&["inspect", "--model", dir, "--json"], "").expect_code(0).json();
    assert_eq!(about["architecture"], "resnet20");
    assert_eq!(about["segments"].as_array().unwrap().len(), 9);
    let figures = run(&["evaluate", "--model", dir, "--json"], "").expect_code(0).json();
    let compact = figures.as_array().unwrap().last().unwrap().clone();
    assert!(compact["agreement"].as_f64().unwrap() >= 0.99, "{compact}");
    assert!(compact["accuracy"].as_f64().unwrap() >= 0.91, "{compact}");
    assert!(compact["mean_depth"].as_f64().unwrap() < 0.6, "{compact}");
}

#[test]
fn costs_and_times_are_told_with_the_tokens_that_an_image_becomes() {
    let folder = Folder::new();
    let out = folder.path("profile.json");
    for (name, tokens) in [("vit-timm", 21), (MODEL, 1)] {
        let model = golden_images(name);
        let about = run(&["inspect", "--model", &model, "--json"], "").expect_code(0).json();
        assert_eq!(about["cost_row_tokens"], tokens, "{name}");
        let profile = ["profile", "--model", &model, "--rows", "1,2", "--rounds", "1"];
        let told = run(&[&profile[..], &["--out", &out, "--json"]].concat(), "").expect_code(0);
        let shapes = told.json()["shapes"].as_array().unwrap().clone();
        let shape = |shape: &Value| (shape["rows"].clone(), shape["row_tokens"].clone());
        let expected = [1, 2].map(|rows| (rows.into(), tokens.into()));
        assert_eq!(shapes.iter().map(shape).collect::<Vec<_>>(), expected, "{name}");
    }
}
