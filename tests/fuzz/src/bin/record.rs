//! Record files: rows are no more than the bytes hold, and are written the same way again.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use offramp::{Observation, RowSlot, Seen};
use offramp_fuzz::{Rewritten, bounded, folder, is_drawn, plant};
use offramp_tune::feedback::{Feedback, RecordHeader, RecordReader, RecordWriter};
use offramp_tune::profile::ShapeProfile;

/// A row that met no ramp: seven words.
const ROW_BYTES_MIN: usize = 28;

static FILES: LazyLock<(Rewritten, PathBuf)> = LazyLock::new(|| {
    let dir = folder();
    (Rewritten::new(&dir, "rows.record"), dir.join("written.record"))
});

/// Records of three ramps, with and without rows and shapes.
fn seeds() -> Vec<Vec<u8>> {
    let shape = ShapeProfile {
        rows: 4,
        row_tokens: 32,
        segment_us: vec![1.5, 2.0],
        exit_us: vec![Some(0.5), None],
        compact_us: None,
    };
    let mut header: RecordHeader = serde_json::from_value(serde_json::json!({
        "schema_version": RecordHeader::SCHEMA_VERSION, "model": "m", "ramps": "r",
        "policy": "confidence", "sites": [0, 1, 3], "fitted": [0.5, 0.75, 2.0],
        "source": "rows.jsonl", "shapes": [],
    }))
    .expect("a header");
    let seen = [0, 2].map(|ramp| Seen { ramp, label: 3, score: 0.5 });
    let row = |count: usize| Feedback {
        seen: seen[..count].to_vec(),
        exit: 2,
        final_label: (count > 0).then_some(7),
        is_sample: count == 1,
        version: 5 << 40,
        pass_rows: 8,
    };
    let path = folder().join("seed.record");
    let made = |header: &RecordHeader, rows: &[Feedback]| {
        write(&path, header, rows);
        std::fs::read(&path).expect("written")
    };
    let bare = [made(&header, &[]), made(&header, &[row(0), row(1), row(2)])];
    header.shapes.push(shape);
    bare.into_iter().chain([made(&header, &[row(2)])]).collect()
}

fuzz_target!(
    init: plant(seeds()),
    |bytes: &[u8]| {
        let (given, written) = &*FILES;
        given.put(bytes, 0);
        let read = bounded(8 * bytes.len() + (1 << 20), || read(given.path(), bytes.len()));
        let Some((header, rows, true)) = read else { return };
        if !is_drawn(bytes, 4) {
            return;
        }
        write(written, &header, &rows);
        let again = std::fs::read(written).expect("written");
        let data = |bytes: &[u8]| {
            let length = u32::from_le_bytes(*bytes[8..].first_chunk().expect("a length"));
            bytes[12 + length as usize..].to_vec()
        };
        assert_eq!(data(&again), data(bytes));
    }
);

/// The header, the rows, and whether they were read to the end.
fn read(path: &Path, bytes: usize) -> Option<(RecordHeader, Vec<Feedback>, bool)> {
    let reader = RecordReader::open(path).ok()?;
    let header = reader.header().clone();
    let mut rows = Vec::new();
    for row in reader {
        let Ok(row) = row else { return Some((header, rows, false)) };
        assert!(row.exit as usize <= header.sites.len());
        assert!(row.seen.iter().all(|seen| (seen.ramp as usize) < header.sites.len()));
        rows.push(row);
        assert!(rows.len() * ROW_BYTES_MIN <= bytes);
    }
    Some((header, rows, true))
}

fn write(path: &Path, header: &RecordHeader, rows: &[Feedback]) {
    let mut writer = RecordWriter::create(path, header).expect("a record can be made");
    for row in rows {
        let Feedback { seen, exit, final_label, is_sample, version, pass_rows } = row;
        let observation = Observation {
            row: 0,
            slot: RowSlot(0),
            seen,
            exit: *exit,
            final_label: *final_label,
            is_sample: *is_sample,
            version: *version,
        };
        writer.push(&observation, *pass_rows).expect("it can be written");
    }
    writer.finish().expect("it can be finished");
}
