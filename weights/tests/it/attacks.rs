//! The safetensors attack list: every rule of the format, broken one at a time.

use offramp_weights::{Checkpoint, ErrorKind};
use proptest::prelude::*;
use safetensors::SafeTensors;

use crate::common::{self, Put};
use crate::text;

/// The reader's answer to a whole weight file.
fn answer(content: &[u8]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().unwrap();
    common::write(dir.path(), "config.json", b"{}");
    common::write(dir.path(), "model.safetensors", content);
    match Checkpoint::open(dir.path()) {
        Ok(checkpoint) => Ok(checkpoint.names().map(Into::into).collect()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
            Err(text(Err::<(), _>(error), dir.path()))
        }
    }
}

#[track_caller]
fn refused(content: &[u8], because: &str) {
    let found = answer(content).expect_err("this must be refused");
    assert!(found.starts_with("model.safetensors: damaged: "), "{found}");
    assert!(found.contains(because), "{found}");
}

#[track_caller]
fn foreign(content: &[u8], what: &str) {
    let found = answer(content).expect_err("this must be refused");
    let expected = format!("model.safetensors: expected a safetensors file, found {what}");
    assert!(found.starts_with(&expected), "{found}");
}

#[track_caller]
fn refused_header(header: &str, data_bytes: usize, because: &str) {
    refused(&common::file(header, &vec![0; data_bytes]), because);
}

const ONE: &str = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;

#[test]
fn a_sound_file_is_read() {
    assert_eq!(answer(&common::file(ONE, &[0; 8])), Ok(vec!["a".into()]));
    assert_eq!(answer(&common::file(&format!("{ONE}   "), &[0; 8])), Ok(vec!["a".into()]));
    assert_eq!(answer(&common::file("{}", &[])), Ok(vec![]));
}

#[test]
fn length_of_the_file() {
    foreign(&[], "no bytes, or only zeros");
    foreign(&[0; 4096], "no bytes, or only zeros");
    refused(&[2, 0, 0, 0, 0, 0, 0], "7 bytes long");
    let sound = common::file(ONE, &[0; 8]);
    refused(&sound[..sound.len() - 1], "take 8 bytes, the file holds 7");
    refused(&[&sound[..], &[0]].concat(), "take 8 bytes, the file holds 9");
}

#[test]
fn another_kind_of_file_is_named() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:9f3a\nsize 4404\n";
    let cases: [(&[u8], &str); 7] = [
        (pointer, "a Git LFS pointer in its place: fetch the file itself with `git lfs pull`"),
        (b"PK\x03\x04\x00\x00\x08\x08\x00\x00", "a zip archive, as torch.save writes: convert it"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "a Python pickle, as torch.save wrote"),
        (b"<!DOCTYPE html>\n<html lang=\"en\">", "a web page"),
        (b"GGUF\x03\x00\x00\x00\x00\x00\x00", "a GGUF file of llama.cpp"),
        (b"\x08\x07\x12\x07pytorch\x1a\x05", "an ONNX network"),
        (b"Invalid username or password.", "text that begins `Invalid username"),
    ];
    for (content, found) in cases {
        foreign(content, found);
    }
    // What begins as a safetensors file should is damaged, not another.
    refused(&common::file("{}", &[1]), "damaged: the tensors take 0 bytes");
}

#[test]
fn length_of_the_header() {
    let with = |length: u64| [&length.to_le_bytes(), ONE.as_bytes(), &[0; 8]].concat();
    refused(&with(1_000), "a header of 1000 bytes in a file of 70");
    refused(&with(100_000_000), "a header of 100000000 bytes in a file");
    refused(&with(100_000_001), "of at most 100000000");
    refused(&with(u64::MAX), "of at most 100000000");
    refused(&with(0), "does not begin with `{`");
}

#[test]
fn the_header_is_one_json_object() {
    refused_header("[]", 0, "does not begin with `{`");
    refused_header(" {}", 0, "does not begin with `{`");
    refused_header("{", 0, "EOF while parsing");
    refused_header("{}{}", 0, "trailing characters");
    refused_header("{\"a\u{1}\":1}", 0, "control character");
    refused(&common::file(ONE, &[0; 8]).map_byte(10, 0xff), "invalid utf-8 sequence");
    let unread = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"own":"x"}}"#;
    let at = 8 + unread.find('x').unwrap();
    let content = common::file(unread, &[0; 8]);
    assert_eq!(answer(&content), Ok(vec!["a".into()]));
    refused(&content.map_byte(at, 0xc2), "not the JSON expected: invalid utf-8 sequence");
    refused_header(
        r#"{"a":["F32",[2],[0,8]]}"#,
        8,
        "`a`: invalid type: sequence, expected an object",
    );
    for nest in ["[", "{\"a\":"] {
        let deep = format!("{{\"a\":{}", nest.repeat(100_000));
        refused_header(&deep, 0, "nested over 64 deep");
    }
    let shallow = format!("{{\"a\":{}", "[\"[[[[\"".repeat(60));
    refused_header(&shallow, 0, "not the JSON expected");
}

#[test]
fn giant_tokens_and_long_lists() {
    let long = "x".repeat(70_000);
    refused_header(&format!(r#"{{"{long}":1}}"#), 0, "is over 65536 bytes");
    refused_header(&format!(r#"{{"a":{}}}"#, "1".repeat(70_000)), 0, "is over 65536 bytes");
    let name = "n".repeat(600);
    let named = ONE.replace('a', "#").replacen('#', &name, 1).replace('#', "a");
    refused_header(&named, 8, "a name is over 512 bytes");
    let flat = r#"{"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]}}"#;
    refused_header(flat, 4, "a list of at most 8 items");
    let entries: Vec<_> =
        (0..9_000).map(|i| ONE[1..ONE.len() - 1].replace("a\"", &format!("{i}\""))).collect();
    refused_header(&format!("{{{}}}", entries.join(",")), 8, "at most 8192");
}

#[test]
fn spans() {
    let two = |first: &str, second: &str| {
        format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{first}}},
                "b":{{"dtype":"F32","shape":[2],"data_offsets":{second}}}}}"#
        )
    };
    assert!(answer(&common::file(&two("[8,16]", "[0,8]"), &[0; 16])).is_ok());
    refused_header(&two("[0,8]", "[4,12]"), 12, "`b` lies at 4..12, expected to start at 8");
    refused_header(&two("[0,8]", "[12,20]"), 20, "`b` lies at 12..20, expected to start at 8");
    refused_header(&two("[0,8]", "[0,8]"), 8, "`b` lies at 0..8, expected to start at 8");
    refused_header(&two("[0,8]", "[16,8]"), 16, "`b` lies at 16..8");
    refused_header(&two("[4,12]", "[12,20]"), 20, "`a` lies at 4..12, expected to start at 0");
    refused_header(&two("[0,8]", "[-8,0]"), 16, "integer `-8`");
    refused_header(&two("[0,8]", "[8]"), 16, "invalid length 1");
    refused_header(&two("[0,8]", "[8,1e3]"), 16, "floating point");
    refused_header(&two("[0,8]", "[8,18446744073709551616]"), 16, "not the JSON expected");
    let end = usize::MAX;
    refused_header(&two("[0,8]", &format!("[8,{end}]")), 16, "has 18446744073709551607 bytes");
}

#[test]
fn shapes_and_element_types() {
    let one = |dtype: &str, shape: &str, end: usize| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    refused_header(&one("F16", "[2]", 8), 8, "`a`, F16 [2], has 8 bytes");
    refused_header(&one("F64", "[2]", 8), 8, "`a`, F64 [2], has 8 bytes");
    refused_header(&one("F4", "[3]", 1), 1, "`a`, F4 [3], has 1 bytes");
    refused_header(&one("F33", "[2]", 8), 8, "unknown variant `F33`");
    refused_header(&one("F32", "[-2]", 8), 8, "integer `-2`");
    refused_header(&one("F32", "[4294967296,4294967296]", 0), 0, "has 0 bytes");
    refused_header(&one("F32", "[4611686018427387904]", 0), 0, "has 0 bytes");
    refused_header(&one("F32", "[2305843009213693952,8]", 0), 0, "has 0 bytes");
    refused_header(&one("F32", r#"["2"]"#, 8), 8, "not the JSON expected");
    refused_header(&one("F32", "2", 8), 8, "a list of at most 8 items");
    // A dimension of 0 is an empty tensor, no dimension one element.
    assert!(answer(&common::file(&one("F32", "[0,7]", 0), &[])).is_ok());
    assert!(answer(&common::file(&one("F32", "[]", 4), &[0; 4])).is_ok());
    refused_header(&one("F32", "[0,7]", 4), 4, "has 4 bytes");
    refused_header(&one("F32", "[]", 0), 0, "has 0 bytes");
}

#[test]
fn keys_come_once() {
    let a = &ONE[1..ONE.len() - 1];
    refused_header(&format!("{{{a},{a}}}"), 8, "expected to start at 8");
    let empty = r#""a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}"#;
    refused_header(&format!("{{{empty},{empty}}}"), 0, "tensor `a` is listed twice");
    refused_header(&format!(r#"{{"\u0061{},{empty}}}"#, &empty[2..]), 0, "`a` is listed twice");
    refused_header(&ONE.replace("\"shape\"", "\"shape\":[2],\"shape\""), 8, "duplicate field");
    refused_header(r#"{"__metadata__":{},"__metadata__":{}}"#, 0, "duplicate field");
    refused_header(r#"{"__metadata__":{"offramp":"","offramp":""}}"#, 0, "duplicate field");
    refused_header(&ONE.replace(r#""dtype":"F32","#, ""), 8, "missing field `dtype`");
}

#[test]
fn metadata_holds_texts() {
    assert!(answer(&common::file(r#"{"__metadata__":{"format":"pt"}}"#, &[])).is_ok());
    refused_header(r#"{"__metadata__":{"format":1}}"#, 0, "expected a string");
    refused_header(r#"{"__metadata__":[]}"#, 0, "an object of texts");
}

trait MapByte {
    fn map_byte(self, at: usize, to: u8) -> Self;
}

impl MapByte for Vec<u8> {
    fn map_byte(mut self, at: usize, to: u8) -> Self {
        self[at] = to;
        self
    }
}

fn put() -> impl Strategy<Value = Put> {
    let dtypes = [("F32", 4), ("F16", 2), ("BF16", 2), ("F64", 8), ("I64", 8), ("BOOL", 1)];
    let dtype = prop::sample::select(dtypes.to_vec());
    ("[a-e]{1,2}", dtype, prop::collection::vec(0_usize..4, 0..4)).prop_map(
        |(name, (dtype, bytes), shape)| {
            let count: usize = shape.iter().product();
            Put::raw(&name, dtype, &shape, vec![0; count * bytes])
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Damaged or not, what this reader accepts the format's own crate accepts too.
    #[test]
    fn no_more_lenient_than_the_format(
        puts in prop::collection::vec(put(), 0..5),
        flip in prop::option::weighted(0.7, (0_usize..4_000, 0_u8..8)),
    ) {
        let mut content = common::safetensors(&puts);
        if let Some((at, bit)) = flip {
            let at = at % content.len();
            content[at] ^= 1 << bit;
        }
        let theirs = SafeTensors::deserialize(&content);
        if let Ok(ours) = answer(&content) {
            let theirs = theirs.map_err(|error| TestCaseError::fail(error.to_string()))?;
            for name in &ours {
                prop_assert!(theirs.tensor(name).is_ok());
            }
            prop_assert!(ours.len() <= theirs.len());
        } else if flip.is_none() {
            let mut names: Vec<_> = puts.iter().map(|put| &put.name).collect();
            names.sort();
            names.dedup();
            prop_assert!(names.len() < puts.len(), "a sound file was refused");
        }
    }
}
