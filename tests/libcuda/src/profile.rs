//! What the kernels did, summed by name over the launches that have run.

use parking_lot::Mutex;

use std::collections::BTreeMap;

use offramp_ptxsim::Counts;

static KERNELS: Mutex<BTreeMap<String, Sum>> = Mutex::new(BTreeMap::new());

#[derive(Default)]
struct Sum {
    launches: u64,
    counts: Counts,
}

/// Adds a launch that has run.
pub(crate) fn add(kernel: &str, counts: Counts) {
    let mut kernels = KERNELS.lock();
    let sum = kernels.entry(kernel.to_owned()).or_default();
    sum.launches += 1;
    sum.counts += counts;
}

/// Begins again at nothing.
pub(crate) fn reset() {
    KERNELS.lock().clear();
}

/// `[{"kernel": "norm", "launches": 2, "instructions": 96, ..}, ..]`, by name.
pub(crate) fn json() -> String {
    let kernels = KERNELS.lock();
    let entries: Vec<String> = kernels.iter().map(|(kernel, sum)| entry(kernel, sum)).collect();
    format!("[{}]", entries.join(","))
}

fn entry(kernel: &str, sum: &Sum) -> String {
    // Names of PTX entries are identifiers: nothing in them needs escaping.
    let mut text = format!(r#"{{"kernel":"{kernel}","launches":{}"#, sum.launches);
    for (name, value) in fields(&sum.counts) {
        text += &format!(r#","{name}":{value}"#);
    }
    text + "}"
}

fn fields(counts: &Counts) -> [(&'static str, u64); 12] {
    let &Counts {
        instructions,
        global_loads,
        global_stores,
        global_load_sectors,
        global_store_sectors,
        global_load_bytes,
        global_store_bytes,
        shared_accesses,
        shared_bank_conflicts,
        tensor_ops,
        barriers,
        atomics,
    } = counts;
    [
        ("instructions", instructions),
        ("global_loads", global_loads),
        ("global_stores", global_stores),
        ("global_load_sectors", global_load_sectors),
        ("global_store_sectors", global_store_sectors),
        ("global_load_bytes", global_load_bytes),
        ("global_store_bytes", global_store_bytes),
        ("shared_accesses", shared_accesses),
        ("shared_bank_conflicts", shared_bank_conflicts),
        ("tensor_ops", tensor_ops),
        ("barriers", barriers),
        ("atomics", atomics),
    ]
}
