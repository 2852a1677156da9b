//! Random, flipped and truncated bytes through every reader: no panic, and no more memory than
//! twice the file and a little.
#![expect(clippy::unwrap_used, reason = "a failed step fails its test")]

#[path = "../common/mod.rs"]
mod common;

mod alloc;
mod readers;

use proptest::prelude::*;
use proptest::sample::Index;
use readers::{Reader, readers};

/// Random cases per reader and property.
const CASES: u32 = 400;
/// Bit flips per reader, spread over the file.
const FLIPS: u64 = 10_000;
/// Memory that does not grow with the file, bytes: tables at their first sizes, and messages.
const SLACK_BYTES: usize = 1 << 20;

/// Runs the reader over `content`; returns whether it accepted it.
fn attempt(reader: &Reader, content: &[u8]) -> bool {
    std::fs::write(reader.target(), content).unwrap();
    let (accepted, peak_bytes) = alloc::peak(|| reader.read());
    let allowed = 2 * content.len() + SLACK_BYTES;
    assert!(peak_bytes <= allowed, "{}: {peak_bytes} bytes for {}", reader.name, content.len());
    accepted
}

#[test]
fn sound_files_are_accepted() {
    for reader in readers() {
        assert!(attempt(&reader, &reader.sound), "{}", reader.name);
    }
}

#[test]
fn truncated_files() {
    for reader in readers() {
        for length in 0..reader.sound.len() {
            let accepted = attempt(&reader, &reader.sound[..length]);
            // Only text can lose its last line break.
            let rest = reader.sound[length..].iter();
            assert!(
                !accepted || rest.copied().all(|byte| byte == b'\n'),
                "{} {length}",
                reader.name
            );
        }
    }
}

#[test]
fn flipped_bits() {
    let mut random = fastrand::Rng::with_seed(7);
    for reader in readers() {
        let mut refused = 0;
        for _ in 0..FLIPS {
            let mut content = reader.sound.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..content.len());
                content[at] ^= 1 << random.u32(..8);
            }
            refused += u64::from(!attempt(&reader, &content));
        }
        assert!(refused > FLIPS / 20, "{}: only {refused} refused", reader.name);
    }
}

/// Files of several megabytes that are all structure: what costs a reader most per byte.
#[test]
fn dense_structure_costs_no_more() {
    let many = |count: usize, one: &dyn Fn(usize) -> String| {
        (0..count).map(one).collect::<Vec<_>>().join(",")
    };
    let header = |body: String| common::file(&format!("{{{body}}}"), &[]);
    let empty = r#"{"dtype":"U8","shape":[0,0,0,0,0,0,0,0],"data_offsets":[0,0]}"#;
    let weights = [
        header(many(8_192, &|i| format!(r#""{i}":{empty}"#))),
        header(many(100_000, &|i| format!(r#""{i}":{empty}"#))),
        header(format!(r#""a":{{"shape":[{}]}}"#, many(3_000_000, &|_| "1".into()))),
        header(format!(r#""a":{{"x":[{}]}}"#, many(3_000_000, &|_| "[]".into()))),
        header(format!(r#""__metadata__":{{{}}}"#, many(300_000, &|i| format!(r#""{i}":"""#)))),
        header(format!(r#""a":"{}""#, "\\u0001".repeat(1_000_000))),
        header(format!(r#""a":{}"#, "7".repeat(5_000_000))),
    ];
    let object = |body: String| format!("{{{body}}}").into_bytes();
    // Labels are the exception: 65,536 empty ones, the most allowed, take 3.1 MB from 0.7.
    let configs = [
        object(format!(r#""architectures":[{}]"#, many(1_000_000, &|_| r#""""#.into()))),
        object(format!(r#""id2label":{{{}}}"#, many(20_000, &|i| format!(r#""{i}":"""#)))),
        object(format!(r#""hidden_act":"{}""#, "\u{1}".repeat(60_000).replace('\u{1}', "\\n"))),
        object(format!(r#""vocab_size":"{}""#, "x".repeat(60_000))),
        object(format!(r#""x":{}"#, "[".repeat(3_000_000))),
    ];
    let image_key = r#""architecture":"resnet18""#;
    let images = [
        object(format!(r#"{image_key},"label_names":[{}]"#, many(20_000, &|_| r#""""#.into()))),
        object(format!(r#"{image_key},"label_names":[{}]"#, many(2_000_000, &|_| "[]".into()))),
        object(format!(r#"{image_key},"depths":[{}]"#, many(2_000_000, &|_| "1".into()))),
        object(format!(
            r#"{image_key},"pretrained_cfg":{{"mean":[{}]}}"#,
            many(9, &|_| "1".into())
        )),
        object(format!(r#"{image_key},"depths":[125,1,1,1]"#)),
        object(format!(r#""size":[{}]"#, many(1_000_000, &|_| "{}".into()))),
        object(format!(r#""size":{{"x":[{}]}}"#, many(1_000_000, &|_| "{}".into()))),
    ];
    let readers = readers();
    for content in &weights {
        for place in [0, 2, 5] {
            attempt(&readers[place], content);
        }
    }
    for content in configs.iter().chain(&images) {
        for place in [1, 3, 4, 6, 7] {
            attempt(&readers[place], content);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn random_bytes(content in prop::collection::vec(any::<u8>(), 0..400)) {
        for reader in readers::shared() {
            prop_assert!(!attempt(reader, &content), "{}", reader.name);
        }
    }

    /// Random text where the header or the document would be.
    #[test]
    fn random_text(
        text in r#"\{("[a-z_0]{1,8}":(\[|\{|[0-9]{1,20}|"F32"|null)?[\]\},]{0,3}){0,9}"#,
    ) {
        let header = common::file(&text, &[0; 16]);
        for reader in readers::shared() {
            attempt(reader, text.as_bytes());
            attempt(reader, &header);
        }
    }

    /// Pieces of a sound file, moved about.
    #[test]
    fn spliced(from in any::<Index>(), to in any::<Index>(), length in 1_usize..64) {
        for reader in readers::shared() {
            let mut content = reader.sound.clone();
            let (from, to) = (from.index(content.len()), to.index(content.len()));
            let piece = content[from..content.len().min(from + length)].to_vec();
            content.splice(to..to, piece);
            attempt(reader, &content);
        }
    }
}
