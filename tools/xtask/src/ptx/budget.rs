//! What a kernel may need of a multiprocessor: a change that makes it spill, or leaves room for
//! fewer blocks, shows up in review.

use std::fmt::Write;

/// Most registers of a thread, by kernel.
const REGISTERS: [(&str, u32); 21] = [
    ("attention_128", 255),
    ("attention_32", 168),
    ("attention_64", 255),
    ("attention_any", 48),
    ("compact", 32),
    ("conv2d_any", 168),
    ("conv2d_few", 128),
    ("conv2d_thin", 128),
    ("conv2d_wide", 128),
    ("embed", 96),
    ("layer_norm", 64),
    ("linear_any", 48),
    ("linear_broad", 192),
    ("linear_few", 112),
    ("linear_wide", 128),
    ("narrow", 32),
    ("patches", 40),
    ("pixel_blocks", 40),
    ("pixels", 40),
    ("pool2d", 64),
    ("ramp", 120),
];

/// Static shared memory that a block gets without asking, in bytes.
const SHARED_BYTES_MAX: u32 = 48 * 1024;

/// A kernel as assembled for one GPU.
#[derive(Clone, Default)]
pub(super) struct Measured {
    pub(super) kernel: String,
    pub(super) elem: &'static str,
    pub(super) arch: &'static str,
    pub(super) registers: u32,
    /// Stores and loads.
    pub(super) spill_bytes: u32,
    /// Static alone.
    pub(super) shared_bytes: u32,
}

/// Every kernel beyond its budget or without one, and budgets without a kernel.
pub(super) fn complaints(measured: &[Measured]) -> Vec<String> {
    let kernels = measured.iter().filter_map(complaint);
    let is_used = |name: &str| measured.iter().any(|m| m.kernel == name);
    let unused = REGISTERS.iter().filter(|(name, _)| !is_used(name));
    let unused = unused.map(|(name, _)| format!("budget of {name}: no such kernel"));
    kernels.chain(unused).collect()
}

/// Kernel by kernel, for people.
pub(super) fn table(measured: &[Measured]) -> String {
    let mut text = String::from(
        "# Budgets\n\n\
         What ptxas says of the kernels; made by `cargo xtask ptx`. A kernel that spills or needs \
         more than it may fails `cargo xtask ptx --check`.\n\n\
         | kernel | storage | GPU | registers | at most | spilled bytes | static shared bytes |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut sorted: Vec<_> = measured.iter().collect();
    sorted.sort_by_key(|m| (m.kernel.as_str(), m.elem, m.arch));
    for m in sorted {
        let Measured { kernel, elem, arch, registers, spill_bytes, shared_bytes } = m;
        let most = registers_max(kernel).unwrap_or(0);
        let row = format!("{registers} | {most} | {spill_bytes} | {shared_bytes}");
        let _ = writeln!(text, "| {kernel} | {elem} | {arch} | {row} |");
    }
    text
}

fn complaint(m: &Measured) -> Option<String> {
    let what = match registers_max(&m.kernel) {
        None => "has no budget: add one to tools/xtask/src/ptx/budget.rs".to_owned(),
        Some(_) if m.spill_bytes > 0 => format!("spills {} bytes, at most 0", m.spill_bytes),
        Some(most) if m.registers > most => {
            format!("needs {} registers, at most {most}", m.registers)
        }
        Some(_) if m.shared_bytes > SHARED_BYTES_MAX => {
            format!("needs {} bytes of shared memory, at most {SHARED_BYTES_MAX}", m.shared_bytes)
        }
        Some(_) => return None,
    };
    Some(format!("kernel {} for {} on {}: {what}", m.kernel, m.elem, m.arch))
}

fn registers_max(kernel: &str) -> Option<u32> {
    REGISTERS.iter().find(|(name, _)| *name == kernel).map(|&(_, most)| most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(kernel: &str, registers: u32, spill_bytes: u32) -> Measured {
        let kernel = kernel.to_owned();
        Measured { kernel, elem: "f16", arch: "sm_80", registers, spill_bytes, shared_bytes: 0 }
    }

    #[test]
    fn excess_is_found() {
        for (m, part) in [
            (measured("narrow", 33, 0), "needs 33 registers, at most 32"),
            (measured("narrow", 20, 4), "spills 4 bytes"),
            (measured("other", 1, 0), "no budget"),
            (
                Measured { shared_bytes: 49_153, ..measured("narrow", 1, 0) },
                "49153 bytes of shared",
            ),
        ] {
            let found = complaint(&m).unwrap_or_default();
            assert!(found.contains(part), "{part} not in {found}");
        }
        assert!(complaint(&measured("narrow", 32, 0)).is_none());
    }

    #[test]
    fn budgets_without_a_kernel_are_found() {
        let all: Vec<_> = REGISTERS.iter().map(|(name, _)| measured(name, 1, 0)).collect();
        assert!(complaints(&all).is_empty());
        assert_eq!(complaints(&all[1..]), ["budget of attention_128: no such kernel"]);
    }
}
