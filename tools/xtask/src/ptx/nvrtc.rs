//! CUDA C++ to PTX, in a process of its own whose library path leads to NVRTC.

use std::io::{Read, Write};
use std::panic::catch_unwind;
use std::process::{Command, Stdio};

use cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};

use super::source::Op;
use super::wheels::{self, Wheels};
use super::{TARGETS, Variant};

/// Arguments of the process.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the program in PTX and messages.
    name: String,
    /// What to compile for.
    arch: String,
    /// Options for NVRTC.
    #[arg(last = true)]
    options: Vec<String>,
}

/// The PTX of `op` as NVRTC gives it.
pub(super) fn compile(wheels: &Wheels, op: &Op, variant: Variant) -> Result<String, String> {
    let Variant { elem, target } = variant;
    let file = format!("{}.cu", op.name);
    let fail = |what: String| format!("{file} for {elem} on {}: {what}", target.name);
    let this = std::env::current_exe().map_err(|e| fail(e.to_string()))?;
    let mut command = Command::new(this);
    command.args(["nvrtc", &file, target.arch, "--"]).args(options(wheels, op, elem));
    command.env("LD_LIBRARY_PATH", wheels.libraries());
    let output = talk(&mut command, &op.text).map_err(|e| fail(e.to_string()))?;
    if !output.status.success() {
        return Err(fail(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    let ptx = String::from_utf8(output.stdout).map_err(|e| fail(e.to_string()))?;
    let version = format!("V{}\n", wheels::NVRTC);
    if !ptx.contains(&version) {
        return Err(fail(format!("expected NVRTC {}, found another", wheels::NVRTC)));
    }
    Ok(ptx)
}

/// What the process does: standard input to standard output.
pub(crate) fn serve(args: &Args) -> Result<(), String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|error| error.to_string())?;
    let known = TARGETS.iter().find(|target| target.arch == args.arch);
    let arch = known.ok_or_else(|| format!("{}: no target", args.arch))?.arch;
    let options = CompileOptions {
        arch: Some(arch),
        // The same wherever the source lies.
        name: Some(args.name.clone()),
        options: args.options.clone(),
        ..CompileOptions::default()
    };
    // Without the library cudarc panics.
    let compiled = catch_unwind(|| compile_ptx_with_opts(&text, options))
        .map_err(|_| "libnvrtc.so.12 could not be loaded".to_owned())?;
    let ptx = compiled.map_err(|error| match error {
        CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
        other => other.to_string(),
    })?;
    std::io::stdout().write_all(ptx.to_src().as_bytes()).map_err(|error| error.to_string())
}

fn options(wheels: &Wheels, op: &Op, elem: &str) -> Vec<String> {
    let mut options: Vec<_> = ["--std=c++17", "-lineinfo"].map(String::from).into();
    options.push(format!("-DELEM_{}", elem.to_uppercase()));
    let folders = op.folders.iter().chain([&wheels.headers()]).cloned().collect::<Vec<_>>();
    options.extend(folders.iter().map(|folder| format!("-I{}", folder.display())));
    options
}

/// Runs a command with `input` on its standard input.
fn talk(command: &mut Command, input: &str) -> std::io::Result<std::process::Output> {
    let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = pipes.spawn()?;
    // The process reads all of its input before it writes: nobody waits for the other.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}
