//! `cargo xtask ptx`: from `kernels/src/ops/<op>/<op>.cu` to
//! `kernels/ptx/<op>.<elem>.<target>.ptx`.
//!
//! The PTX is checked in, so that building the library needs no CUDA compiler. The same sources
//! give the same bytes on every machine: `--check` compiles anew and compares.

mod budget;
pub(crate) mod nvrtc;
mod polish;
mod ptxas;
mod source;
mod wheels;

use std::fs;
use std::path::{Path, PathBuf};

use crate::report;
use budget::Measured;
use source::Op;
use wheels::Wheels;

/// A GPU architecture that the kernels are compiled for.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Its name in file names; GPUs of it are what the kernels are measured on.
    pub(crate) name: &'static str,
    /// What NVRTC calls it.
    pub(crate) arch: &'static str,
}

/// All targets: what anything from an A100 on runs, and what an H100 alone does.
pub(crate) const TARGETS: [Target; 2] =
    [Target { name: "sm_80", arch: "compute_80" }, Target { name: "sm_90a", arch: "compute_90a" }];
/// Storage formats, by the name in file names.
const ELEMS: [&str; 3] = ["f16", "bf16", "tf32"];
/// Where the PTX lies.
const FOLDER: &str = "kernels/ptx";
/// The table of registers and spills.
const BUDGETS: &str = "BUDGETS.md";

/// Arguments of `cargo xtask ptx`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Writes nothing; fails where a file is not what its source gives.
    #[arg(long)]
    check: bool,
    /// A folder that has the CUDA wheels [default: target/cuda-wheels, filled when missing]
    #[arg(long, value_name = "DIR")]
    wheels: Option<PathBuf>,
}

/// Every complaint about the kernels at `root`; writes their PTX unless told to check.
pub(crate) fn run(root: &Path, args: &Args) -> Vec<String> {
    let made = Wheels::find(root, args.wheels.as_deref()).and_then(|wheels| make(root, &wheels));
    let made = match made {
        Ok(made) => made,
        Err(complaint) => return vec![complaint],
    };
    let mut complaints = made.complaints;
    for (name, text) in &made.files {
        let path = root.join(FOLDER).join(name);
        if !args.check {
            complaints.extend(write(&path, text).err());
        } else if fs::read_to_string(path).ok().as_ref() != Some(text) {
            let what = "is not what its source gives: run cargo xtask ptx";
            complaints.push(format!("{FOLDER}/{name} {what}"));
        }
    }
    complaints.extend(source::strays(root));
    complaints
}

/// Complaints about PTX that is missing or older than its source; compiles nothing.
pub(crate) fn stale(root: &Path) -> Vec<String> {
    let ops = match source::ops(root) {
        Ok(ops) => ops,
        Err(complaint) => return vec![complaint],
    };
    let fresh = |op: &Op, variant| {
        let path = root.join(FOLDER).join(op.file(variant));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().next() == Some(op.heading(variant).as_str())
    };
    let files = ops.iter().flat_map(|op| variants().map(move |variant| (op, variant)));
    files
        .filter(|&(op, variant)| !fresh(op, variant))
        .map(|(op, variant)| format!("{FOLDER}/{} is stale: run cargo xtask ptx", op.file(variant)))
        .chain(source::strays(root))
        .collect()
}

/// What an op is compiled for: a storage format and a target.
#[derive(Clone, Copy)]
struct Variant {
    elem: &'static str,
    target: Target,
}

fn variants() -> impl Iterator<Item = Variant> {
    ELEMS.into_iter().flat_map(|elem| TARGETS.map(|target| Variant { elem, target }))
}

/// Files by name, as they should be, and what is wrong with them.
#[derive(Default)]
struct Made {
    files: Vec<(String, String)>,
    complaints: Vec<String>,
}

fn make(root: &Path, wheels: &Wheels) -> Result<Made, String> {
    let mut made = Made::default();
    let mut measured = Vec::new();
    let ops = source::ops(root)?;
    for op in &ops {
        for variant in variants() {
            match make_one(wheels, op, variant) {
                Ok((text, kernels)) => {
                    made.files.push((op.file(variant), text));
                    measured.extend(kernels);
                }
                Err(complaint) => made.complaints.push(complaint),
            }
        }
    }
    made.complaints.extend(budget::complaints(&measured));
    // Half a table would hide what is missing.
    if made.files.len() == variants().count() * ops.len() {
        made.files.push((BUDGETS.to_owned(), budget::table(&measured)));
    }
    Ok(made)
}

fn make_one(wheels: &Wheels, op: &Op, variant: Variant) -> Result<(String, Vec<Measured>), String> {
    let raw = nvrtc::compile(wheels, op, variant)?;
    let polished = polish::polish(&raw, &op.heading(variant));
    let text = polished.map_err(|error| format!("{}: {error}", op.name))?;
    let measured = ptxas::measure(wheels, &op.file(variant), variant, &text)?;
    report(&format!("{}: {} lines", op.file(variant), text.lines().count()));
    Ok((text, measured))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}
