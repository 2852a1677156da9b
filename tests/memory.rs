//! Resident memory of a BERT-base-sized model: weights on disk, what the device reserved, and
//! little else. A process of its own, as other tests would count too.
#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use offramp::{AfterExit, Answer, DeviceChoice, Engine, EngineOptions, Exits, Model, PassSettings};
use offramp_tests::models::BertSize;

const SLACK_BYTES: usize = 64 << 20;

#[test]
#[cfg(target_os = "linux")]
fn resident_memory_is_weights_and_arena() {
    let dir = tempfile::tempdir().unwrap();
    BertSize::BASE.write(dir.path(), 1).unwrap();
    let model = Model::open(dir.path()).unwrap();
    let options = EngineOptions { device: DeviceChoice::Cpu, ..EngineOptions::default() };
    let mut engine = Engine::new(&model, &options).unwrap();
    let mut batch = engine.batch();
    for row in 0..32 {
        batch.push(&[row; 16], &[]).unwrap().unwrap();
    }
    let exits = Exits::off(engine.plan());
    let settings = PassSettings::new(&exits, AfterExit::Compact);
    let mut answered = 0;
    engine.run(&batch, &settings, &mut |_: Answer<'_>| answered += 1).unwrap();
    assert_eq!(answered, 32);
    let allowed = model.checkpoint().bytes() as usize + engine.reserved_bytes() + SLACK_BYTES;
    let peak = peak_resident_bytes();
    assert!(peak <= allowed, "{} MB resident at most, {} MB allowed", peak >> 20, allowed >> 20);
    let least = engine.plan().layout.parameters() * 4;
    assert!(peak >= least, "{} MB resident: the figure cannot be right", peak >> 20);
}

fn peak_resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib << 10
}
