//! Texts of a mebibyte, of which the shipped model reads 64 tokens: what a hostile request costs a
//! thread that others wait for. What the tokens are is tested beside the tokenizer.

use criterion::{Criterion, criterion_group, criterion_main};
use offramp::Model;

const BYTES: usize = 1 << 20;

fn texts(criterion: &mut Criterion) {
    let model = Model::open_bare(&offramp_tests::shipped_dir()).expect("the shipped model");
    let tokenizer = model.tokenizer().expect("its tokenizer");
    let mut group = criterion.benchmark_group("texts/1MiB");
    group.sample_size(20);
    for (name, unit) in [
        ("words", "who wrote Hamlet? "),
        ("letters", "a "),
        ("one-word", "x"),
        ("ideographs", "\u{4e2d}"),
        ("accents", "e\u{301}"),
        ("one-word-accented", "\u{e9}"),
        ("dropped", "\0"),
        ("dropped-marks", "\u{200b}"),
        ("spaces", " "),
        ("special", "[MASK]"),
        ("brackets", "["),
        ("unknown", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz\u{2603} "),
    ] {
        let text = unit.repeat(BYTES / unit.len());
        group.bench_function(name, |bench| bench.iter(|| tokenizer.encode(&text, None)));
        let half = &text[..text.floor_char_boundary(BYTES / 2)];
        group.bench_function(format!("{name}/pair"), |bench| {
            bench.iter(|| tokenizer.encode(half, Some(half)));
        });
    }
}

criterion_group!(benches, texts);
criterion_main!(benches);
