//! Threshold files: there and back, staleness, ranges.

use offramp_weights::{
    ErrorKind, FittedOn, ModelHash, Policy, RampHash, SiteThreshold, Task, ThresholdFile,
};

use crate::text;

const MODEL: ModelHash = ModelHash([1; 32]);
const RAMPS: RampHash = RampHash([2; 32]);

fn fitted() -> ThresholdFile {
    let at = |site, threshold| SiteThreshold { site, threshold };
    ThresholdFile {
        policy: Policy::Patience { k: 3 },
        fitted_on: FittedOn { model: MODEL, ramps: RAMPS },
        task: Task::Classes,
        tolerance: None,
        target_agreement: 0.99,
        confidence: Some(0.95),
        calibration_rows: 2000,
        agreement: 0.1 + 0.2,
        mean_depth: 17.0 / 18.0,
        thresholds: vec![at(0, 0.97), at(2, 1.0 / 3.0), at(3, 0.0), at(5, 2.0)],
    }
}

/// Writes the file, replaces a text in it, and reads it.
fn with(from: &str, to: &str) -> Result<ThresholdFile, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thresholds.json");
    fitted().write(&path).unwrap();
    let content = std::fs::read_to_string(&path).unwrap();
    assert!(content.contains(from), "{content}");
    std::fs::write(&path, content.replacen(from, to, 1)).unwrap();
    let read = ThresholdFile::read(&path, &MODEL, &RAMPS);
    read.map_err(|error| text(Err::<(), _>(error), dir.path()))
}

#[track_caller]
fn refused(from: &str, to: &str, because: &str) {
    let error = with(from, to).unwrap_err();
    assert!(error.starts_with("thresholds.json: ") && error.contains(because), "{error}");
}

#[test]
fn there_and_back_bit_for_bit() {
    assert_eq!(with("0.99", "0.99").unwrap(), fitted());
    assert_eq!(with("0.95", "null").unwrap().confidence, None);
}

#[test]
fn other_weights_or_ramps_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thresholds.json");
    fitted().write(&path).unwrap();
    let error = ThresholdFile::read(&path, &ModelHash([9; 32]), &RAMPS).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stale);
    let expected = "thresholds.json: made for model 010101010101, but this model is \
                    090909090909; fit again with `offramp fit-thresholds`";
    assert_eq!(text(Err::<(), _>(error), dir.path()), expected);
    let error = ThresholdFile::read(&path, &MODEL, &RampHash([9; 32])).unwrap_err();
    assert!(error.to_string().contains("made for ramp bundle 020202020202, but this ramp bundle"));
}

#[test]
fn values_out_of_range() {
    refused("0.97", "1.01", "`threshold of site 0` must be 0 to 1, or 2.0 for never, found 1.01");
    refused("0.97", "-0.1", "`threshold of site 0`");
    refused("2.0", "2.5", "`threshold of site 5`");
    refused("2.0", "1e30", "`threshold of site 5`");
    refused("0.99", "1.5", "`target_agreement` must be 0 to 1, found 1.5");
    refused("0.95", "1.0", "`confidence` must be above 0 and below 1, found 1");
    refused("0.30000000000000004", "-1", "`agreement`");
    refused("0.944", "1.944", "`mean_depth` must be 0 to 1");
    refused("\"site\": 2", "\"site\": 0", "`thresholds` must be by rising site");
    refused("\"site\": 2", "\"site\": 9", "`thresholds` must be by rising site");
    refused("2000", "-1", "not the JSON expected");
}

#[test]
fn keys_are_those_and_no_others() {
    refused("\"agreement\"", "\"agreemend\"", "unknown field `agreemend`");
    refused("\"confidence\"", "\"policy\": \"margin\", \"confidence\"", "duplicate field `policy`");
    refused("\"calibration_rows\": 2000,", "", "missing field `calibration_rows`");
    refused("\"ramps\": \"02", "\"ramps\": \"0x", "a hash is 64 hexadecimal digits");
    refused("]\n}", "]\n}}", "trailing characters");
}

#[test]
fn policies_by_name() {
    let policies =
        [Policy::Confidence, Policy::Entropy, Policy::Margin, Policy::Patience { k: 128 }];
    for policy in policies {
        assert_eq!(policy.to_string().parse(), Ok(policy));
    }
    for bad in [
        "",
        "Confidence",
        "patience",
        "patience()",
        "patience(0)",
        "patience(129)",
        "patience(3",
        "patience(-1)",
    ] {
        assert!(bad.parse::<Policy>().is_err(), "{bad}");
        refused(
            "patience(3)",
            bad,
            "confidence, entropy, margin, or patience(k) with k from 1 to 128",
        );
    }
}

#[test]
fn nothing_out_of_range_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thresholds.json");
    let spoilt = [
        ThresholdFile { agreement: f64::NAN, ..fitted() },
        ThresholdFile { mean_depth: f64::INFINITY, ..fitted() },
        ThresholdFile { confidence: Some(f64::NAN), ..fitted() },
        ThresholdFile { policy: Policy::Patience { k: 0 }, ..fitted() },
        ThresholdFile {
            thresholds: vec![SiteThreshold { site: 0, threshold: f32::NAN }],
            ..fitted()
        },
    ];
    for file in spoilt {
        assert_eq!(file.write(&path).unwrap_err().kind(), ErrorKind::Refused);
        assert!(!path.exists());
    }
}

#[test]
fn numbers_have_a_tolerance_and_nothing_else_has() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("thresholds.json");
    let write = |task, tolerance| {
        ThresholdFile { task, tolerance, ..fitted() }.write(&path)?;
        ThresholdFile::read(&path, &MODEL, &RAMPS)
    };
    for task in [Task::Value, Task::Score] {
        let file = write(task, Some(0.02)).unwrap();
        assert_eq!((file.task, file.tolerance), (task, Some(0.02)));
        for tolerance in [None, Some(0.0), Some(1.0), Some(f32::NAN)] {
            assert!(write(task, tolerance).unwrap_err().to_string().contains("`tolerance`"));
        }
    }
    assert_eq!(write(Task::Labels, None).unwrap().task, Task::Labels);
    assert!(write(Task::Labels, Some(0.02)).is_err() && write(Task::Classes, Some(0.5)).is_err());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"task\": \"labels\"") && !text.contains("tolerance"), "{text}");
}

#[test]
fn lists_are_no_objects() {
    let fitted_on = format!(
        "\"fitted_on\": {{\n    \"model\": \"{}\",\n    \"ramps\": \"{}\"\n  }}",
        "01".repeat(32),
        "02".repeat(32)
    );
    let list = format!("\"fitted_on\": [\"{}\", \"{}\"]", "01".repeat(32), "02".repeat(32));
    refused(&fitted_on, &list, "`fitted_on`: invalid type: sequence, expected an object");
    let site = "{\n      \"site\": 0,\n      \"threshold\": 0.97\n    }";
    refused(site, "[0, 0.97]", "`thresholds[0]`: invalid type: sequence, expected an object");
}
