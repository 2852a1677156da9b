//! Assembles PTX to learn what its kernels need of a multiprocessor.

use std::process::Command;

use super::Variant;
use super::budget::Measured;
use super::wheels::Wheels;

/// Every kernel of a PTX text on the GPUs that it is for.
pub(super) fn measure(
    wheels: &Wheels,
    file: &str,
    Variant { elem, target }: Variant,
    text: &str,
) -> Result<Vec<Measured>, String> {
    let path = std::env::temp_dir().join(format!("{}-{file}", std::process::id()));
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    let log = assemble(wheels, &path, target.name).map_err(|error| format!("{file}: {error}"));
    let _ = std::fs::remove_file(&path);
    let measured = parse(&log?, elem, target.name);
    let kernels = text.matches(".visible .entry ").count();
    if measured.len() != kernels {
        let found = measured.len();
        return Err(format!("{file}: ptxas names {found} of {kernels} kernels"));
    }
    Ok(measured)
}

/// What ptxas says.
fn assemble(wheels: &Wheels, path: &std::path::Path, arch: &str) -> Result<String, String> {
    let output = Command::new(wheels.ptxas())
        .args(["-v", &format!("-arch={arch}"), "-o", "/dev/null"])
        .arg(path)
        .output()
        .map_err(|error| error.to_string())?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(log) } else { Err(log) }
}

/// Reads the three lines that `ptxas -v` writes for a kernel.
fn parse(log: &str, elem: &'static str, arch: &'static str) -> Vec<Measured> {
    let mut measured: Vec<Measured> = Vec::new();
    for line in log.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            let kernel = rest.split('\'').next().unwrap_or_default().to_owned();
            measured.push(Measured { kernel, elem, arch, ..Measured::default() });
        }
        let Some(last) = measured.last_mut() else { continue };
        let count = |unit| before(line, unit);
        last.spill_bytes += count(" bytes spill stores").unwrap_or(0);
        last.spill_bytes += count(" bytes spill loads").unwrap_or(0);
        last.registers = count(" registers").unwrap_or(last.registers);
        last.shared_bytes = count(" bytes smem").unwrap_or(last.shared_bytes);
    }
    measured
}

/// The number in front of `unit`.
fn before(line: &str, unit: &str) -> Option<u32> {
    let start = &line[..line.find(unit)?];
    start.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_read() {
        let log = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'compact' for 'sm_80'
ptxas info    : Function properties for compact
    8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 23 registers, used 1 barriers, 8448 bytes smem, 440 bytes cmem[0]
ptxas info    : Compiling entry function 'norm' for 'sm_80'
ptxas info    : Used 60 registers, 400 bytes cmem[0]
";
        let found: Vec<_> = parse(log, "f16", "sm_80")
            .into_iter()
            .map(|m| (m.kernel, m.registers, m.spill_bytes, m.shared_bytes))
            .collect();
        assert_eq!(found, [("compact".to_owned(), 23, 16, 8448), ("norm".to_owned(), 60, 0, 0)]);
    }
}
