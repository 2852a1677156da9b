//! `cargo xtask gpu-bundle`: what a machine with a GPU needs to test and time the CUDA device,
//! in one folder. There it takes a driver, and for the peers python3 with torch: no toolchain.
//!
//! ```text
//! run.sh                       tests | sanitizer | bench | all
//! bin/                         cuda kernels gpu offramp
//! peers/gpu.py
//! tests/data/golden/  tests/data/golden-images/  weights/models/
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{Message, Target};

use crate::report;

/// Most bytes of the whole bundle: it is sent over slow lines.
const BYTES_MAX: u64 = 60 << 20;

/// Arguments of `cargo xtask gpu-bundle`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder; what is in it goes
    #[arg(long, value_name = "DIR", default_value = "gpu-bundle")]
    out: PathBuf,
}

/// A program of the bundle: its name there, and how cargo builds it.
struct Program {
    name: &'static str,
    /// The target's own name.
    target: &'static str,
    command: &'static [&'static str],
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "cuda",
        target: "cuda",
        command: &["test", "--release", "-p", "offramp-tests", "--test", "cuda", "--no-run"],
    },
    Program {
        name: "kernels",
        target: "offramp_kernels",
        command: &["test", "--release", "-p", "offramp-kernels", "--lib", "--no-run"],
    },
    Program {
        name: "gpu",
        target: "gpu",
        command: &["bench", "-p", "offramp-benches", "--bench", "gpu", "--no-run"],
    },
    Program {
        name: "offramp",
        target: "offramp",
        command: &["build", "--release", "-p", "offramp-tools", "--bin", "offramp"],
    },
];

/// Files and folders: where they are in the repository, and in the bundle.
const DATA: [(&str, &str); 5] = [
    ("benches/gpu/run.sh", "run.sh"),
    ("benches/peers/gpu.py", "peers/gpu.py"),
    ("tests/data/golden", "tests/data/golden"),
    ("tests/data/golden-images", "tests/data/golden-images"),
    ("weights/models", "weights/models"),
];

/// Writes the bundle; gives what went wrong.
pub(crate) fn run(root: &Path, args: &Args) -> Vec<String> {
    bundle(root, &args.out).err().into_iter().collect()
}

fn bundle(root: &Path, out: &Path) -> Result<(), String> {
    clear(out)?;
    for program in &PROGRAMS {
        report(&format!("building {}", program.name));
        let built = build(root, program)?;
        let to = out.join("bin").join(program.name);
        copy(&built, &to)?;
        strip(&to)?;
    }
    for (from, to) in DATA {
        report(&format!("copying {from}"));
        copy(&root.join(from), &out.join(to))?;
    }
    let bytes = bytes(out)?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    if bytes > BYTES_MAX {
        let (found, most) = (mib(bytes), mib(BYTES_MAX));
        return Err(format!("{}: {found:.1} MiB, at most {most:.0}", out.display()));
    }
    report(&format!("{}: {:.1} MiB", out.display(), mib(bytes)));
    Ok(())
}

/// Empties the folder, if it is a bundle or empty: nobody's files go by a slip of the keyboard.
fn clear(out: &Path) -> Result<(), String> {
    let Ok(mut entries) = fs::read_dir(out) else { return Ok(()) };
    if !out.join("run.sh").exists() && entries.next().is_some() {
        return Err(format!("{}: not empty, and no bundle", out.display()));
    }
    fs::remove_dir_all(out).map_err(|error| about(out, &error))
}

/// The program that cargo builds, by what cargo says of it.
fn build(root: &Path, program: &Program) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(program.command)
        .arg("--message-format=json-render-diagnostics")
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo {}: {}", program.command.join(" "), output.status));
    }
    let is_it = |target: &Target| target.name == program.target;
    let executable = |message| match message {
        Ok(Message::CompilerArtifact(built)) if is_it(&built.target) => built.executable,
        _ => None,
    };
    let found = Message::parse_stream(output.stdout.as_slice()).filter_map(executable).last();
    let missing =
        || format!("cargo {}: no executable {}", program.command.join(" "), program.target);
    found.map(Into::into).ok_or_else(missing)
}

/// Takes symbols away: the bundle has little room. Places in panics stay.
fn strip(file: &Path) -> Result<(), String> {
    let status = Command::new("strip").arg("--strip-all").arg(file).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("strip {}: {status}", file.display())),
        Err(error) => Err(format!("strip, of binutils: {error}")),
    }
}

/// A file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    if from.is_dir() {
        for entry in fs::read_dir(from).map_err(|error| about(from, &error))? {
            let name = entry.map_err(|error| about(from, &error))?.file_name();
            copy(&from.join(&name), &to.join(&name))?;
        }
        return Ok(());
    }
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|error| about(folder, &error))?;
    fs::copy(from, to).map(|_| ()).map_err(|error| about(from, &error))
}

fn bytes(path: &Path) -> Result<u64, String> {
    let metadata = fs::metadata(path).map_err(|error| about(path, &error))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    let entries = fs::read_dir(path).map_err(|error| about(path, &error))?;
    let of = |entry: std::io::Result<fs::DirEntry>| {
        bytes(&entry.map_err(|error| about(path, &error))?.path())
    };
    entries.map(of).sum()
}

fn about(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
