//! `offramp stream`: labelled images in, a drifting stream out.

use std::fs;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::{Folder, Run, run};

const FASHION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/fashion-mnist");
const SIDES: [u32; 2] = [6, 5];

fn idx(magic: u32, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = magic.to_be_bytes().to_vec();
    sizes.iter().for_each(|size| file.extend(size.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Six images of two classes, 1 and 3: dark ones and bright ones. Gives the file of images.
fn two_classes(folder: &Folder) -> String {
    let classes = [1, 3, 1, 3, 1, 3];
    let pixels = (0..180_u32).map(|index| {
        let base = if (index / 30).is_multiple_of(2) { 40 } else { 160 };
        (base + index * 7 % 30) as u8
    });
    let images = idx(0x0803, &[6, SIDES[0], SIDES[1]], &pixels.collect::<Vec<_>>());
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&images).unwrap();
    let path = folder.path("two-images-idx3-ubyte.gz");
    fs::write(&path, packed.finish().unwrap()).unwrap();
    fs::write(folder.path("two-labels-idx1-ubyte.gz"), idx(0x0801, &[6], &classes)).unwrap();
    path
}

fn stream(images: &str, out: &str, more: &[&str]) -> Run {
    run(&[&["stream", "--images", images, "--out", out], more].concat(), "")
}

fn unpacked(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// 64-bit FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn scenes(out: &str) -> Vec<Value> {
    let text = fs::read_to_string(format!("{out}-scenes.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_seed_gives_the_same_bytes_everywhere() {
    let folder = Folder::new();
    let (images, out) = (two_classes(&folder), folder.path("made/s"));
    let flags = ["--frames", "200", "--seed", "3", "--mirror"];
    stream(&images, &out, &flags).expect_code(0);
    let files = ["-images-idx3-ubyte.gz", "-labels-idx1-ubyte.gz", "-scenes.jsonl"];
    let read = |out: &str| files.map(|end| fs::read(format!("{out}{end}")).unwrap());
    let first = read(&out);
    let hashes = [
        hash(&unpacked(&format!("{out}{}", files[0]))),
        hash(&unpacked(&format!("{out}{}", files[1]))),
        hash(&first[2]),
    ];
    let expected = [0x4826_ebe1_b996_5f85, 0x0602_5265_50a6_b8e6, 0x38b7_e075_ce55_e4e5];
    assert_eq!(hashes, expected, "{hashes:#018x?}");
    assert_eq!(first[0][4..8], [0; 4], "no time in a packed file");

    let again = folder.path("again");
    stream(&images, &again, &flags).expect_code(0);
    assert_eq!(read(&again), first);
    let other = folder.path("other");
    stream(&images, &other, &["--frames", "200", "--seed", "4", "--mirror"]).expect_code(0);
    assert!(read(&other).iter().zip(&first).all(|(a, b)| a != b));
}

#[test]
fn labels_and_scenes_tell_what_the_frames_show() {
    let folder = Folder::new();
    let (images, out) = (two_classes(&folder), folder.path("s"));
    let flags = ["--frames", "400", "--scenes", "4", "--cut", "0.25", "--brightness", "0.1"];
    let about = stream(&images, &out, &[&flags[..], &["--json"]].concat()).expect_code(0).json();
    assert_eq!(about["classes"], json!({ "1": 1, "3": 3 }));
    assert_eq!((&about["frames"], &about["cut_frame"]), (&json!(400), &json!(100)));
    let pixels = unpacked(about["images"].as_str().unwrap());
    let labels = unpacked(about["labels"].as_str().unwrap());
    assert_eq!(pixels[..16], idx(0x0803, &[400, SIDES[0], SIDES[1]], &[]));
    assert_eq!(labels[..8], idx(0x0801, &[400], &[]));
    let (frames, labels) = (pixels[16..].chunks_exact(30), &labels[8..]);
    assert_eq!((frames.len(), labels.len()), (400, 400));
    for (frame, label) in frames.zip(labels) {
        let mean = frame.iter().copied().map(u32::from).sum::<u32>() / 30;
        assert_eq!(*label, if mean < 110 { 1 } else { 3 }, "{mean}");
    }
    scenes_add_up(&scenes(&out), labels);
}

fn scenes_add_up(scenes: &[Value], labels: &[u8]) {
    assert_eq!(scenes.len(), 4);
    let number = |value: &Value| value.as_u64().unwrap() as usize;
    let mut next = 0;
    for scene in scenes {
        let (first, frames) = (number(&scene["first_frame"]), number(&scene["frames"]));
        assert_eq!(first, next);
        next += frames;
        let ones = labels[first..next].iter().filter(|label| **label == 1).count();
        assert_eq!(number(&scene["shown"]["1"]), ones, "{scene}");
        assert_eq!(number(&scene["shown"]["3"]), frames - ones, "{scene}");
        assert_eq!(scene["cut"], json!(first == 100));
        assert!((0.9..=1.1).contains(&scene["brightness"].as_f64().unwrap()), "{scene}");
    }
    assert_eq!(next, 400);
}

#[test]
fn folders_are_classes_by_the_order_of_their_names() {
    let folder = Folder::new();
    for (class, level) in [("shirt", 200), ("bag", 20)] {
        let path = folder.path(&format!("pictures/{class}/1.png"));
        fs::create_dir_all(folder.path(&format!("pictures/{class}"))).unwrap();
        let grey = image::ExtendedColorType::L8;
        image::save_buffer(&path, &[level; 12], 4, 3, grey).unwrap();
    }
    let (pictures, out) = (folder.path("pictures"), folder.path("s"));
    let done = stream(&pictures, &out, &["--frames", "60", "--cut", "0"]).expect_code(0);
    let told = "60 frames of 3 x 4 from 2 images of 2 classes: 8 scenes, ";
    assert!(done.out.starts_with(told) && done.out.contains("no cut"), "{}", done.out);
    let frames = unpacked(&format!("{out}-images-idx3-ubyte.gz"));
    let labels = unpacked(&format!("{out}-labels-idx1-ubyte.gz"));
    for (frame, label) in frames[16..].chunks_exact(12).zip(&labels[8..]) {
        assert_eq!(*label, u8::from(frame[0] > 90));
    }
    let expected = [("shirt/2.png", 3, 4), ("bag/2.png", 12, 1)];
    for (name, width, channels) in expected {
        let path = folder.path(&format!("pictures/{name}"));
        let colour = match channels {
            1 => image::ExtendedColorType::L8,
            _ => image::ExtendedColorType::Rgb8,
        };
        let bytes = vec![9; width as usize * 4 * if channels == 1 { 1 } else { 3 }];
        image::save_buffer(&path, &bytes, width, 4, colour).unwrap();
        let error = stream(&pictures, &out, &["--frames", "9"]).expect_code(1).err;
        assert!(error.contains(name) && error.contains("expected"), "{error}");
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn what_cannot_be_streamed_is_said() {
    let folder = Folder::new();
    let (images, out) = (two_classes(&folder), folder.path("s"));
    let plain = folder.path("plain.gz");
    fs::copy(&images, &plain).unwrap();
    let empty = folder.path("empty");
    fs::create_dir(&empty).unwrap();
    let checks: [(&str, &[&str], i32, &str); 6] = [
        (&plain, &["--frames", "9"], 1, "pictures without labels"),
        (&empty, &["--frames", "9"], 1, "no pictures"),
        (&images, &["--frames", "0"], 2, "--frames"),
        (&images, &["--frames", "9", "--scenes", "1"], 2, "--cut 0"),
        (&images, &["--frames", "9", "--cut", "1.5"], 2, "--cut"),
        ("nowhere", &["--frames", "9"], 1, "nowhere: cannot open"),
    ];
    for (images, more, code, message) in checks {
        let done = stream(images, &out, more).expect_code(code);
        assert!(done.err.contains(message), "{message}: {}", done.err);
    }
    let own = folder.path("two");
    let error = stream(&images, &own, &["--frames", "9"]).expect_code(2).err;
    assert!(error.contains("--out would replace --images"), "{error}");
    assert!(!std::path::Path::new(&format!("{out}-images-idx3-ubyte.gz")).exists());
}

#[test]
fn the_shipped_model_reads_a_stream() {
    let (folder, images) = (Folder::new(), format!("{FASHION}/test-images-idx3-ubyte.gz"));
    let out = folder.path("s");
    stream(&images, &out, &["--frames", "300", "--seed", "1"]).expect_code(0);
    let input = format!("{out}-images-idx3-ubyte.gz");
    let args = ["evaluate", "--model", FASHION, "--input", &input, "--json"];
    let figures = run(&args, "").expect_code(0).json();
    let compact = figures.as_array().unwrap().last().unwrap().clone();
    assert!(compact["agreement"].as_f64().unwrap() >= 0.9, "{compact}");
    assert!(compact["accuracy"].as_f64().unwrap() >= 0.6, "{compact}");
    assert!(compact["mean_depth"].as_f64().unwrap() < 0.9, "{compact}");
}
