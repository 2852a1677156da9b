//! `cargo xtask gpu-bundle`: the programs that test and time the CUDA device, for a machine with a
//! GPU and no Rust.
//!
//! They lie in one archive, and everything else comes from the tree, which goes along:
//!
//! ```text
//! gpu-bundle/programs.tar.xz   cuda gpu offramp
//! benches/gpu/run.sh           unpacks them, and runs all that a short rental can tell
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cargo_metadata::Message;

use crate::report;

/// Most bytes of tree and bundle together: lent machines take 64 MiB, and some is always missed.
const BYTES_MAX: u64 = 60 << 20;

/// The archive in the bundle's folder; `benches/gpu/session.py` looks for it.
const ARCHIVE: &str = "programs.tar.xz";

/// Arguments of `cargo xtask gpu-bundle`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder; what is in it goes
    #[arg(long, value_name = "DIR", default_value = "gpu-bundle")]
    out: PathBuf,
}

/// Tests, bench and command, by the names of their targets.
const PROGRAMS: [&str; 3] = ["cuda", "gpu", "offramp"];

/// One command builds all of them, so that what they share is compiled once.
const BUILD: [&str; 14] = [
    "build",
    "--release",
    "-p",
    "offramp-tests",
    "--test",
    "cuda",
    "-p",
    "offramp-benches",
    "--bench",
    "gpu",
    "-p",
    "offramp-tools",
    "--bin",
    "offramp",
];

/// Writes the bundle; gives what went wrong.
pub(crate) fn run(root: &Path, args: &Args) -> Vec<String> {
    bundle(root, &args.out).err().into_iter().collect()
}

fn bundle(root: &Path, out: &Path) -> Result<(), String> {
    clear(out)?;
    fs::create_dir_all(out).map_err(|error| about(out, &error))?;
    report("building cuda, gpu and offramp");
    let programs = out.join("bin");
    fs::create_dir_all(&programs).map_err(|error| about(&programs, &error))?;
    for (name, built) in build(root)? {
        let to = programs.join(name);
        fs::copy(&built, &to).map_err(|error| about(&built, &error))?;
        strip(&to)?;
    }
    report(&format!("packing {ARCHIVE}"));
    pack(&programs, &out.join(ARCHIVE))?;
    fs::remove_dir_all(&programs).map_err(|error| about(&programs, &error))?;
    weigh(root, out)
}

/// Empties the folder, if it is a bundle or empty: nobody's files go by a slip of the keyboard.
fn clear(out: &Path) -> Result<(), String> {
    let Ok(mut entries) = fs::read_dir(out) else { return Ok(()) };
    let is_bundle = [ARCHIVE, "bin", "run.sh"].iter().any(|name| out.join(name).exists());
    if !is_bundle && entries.next().is_some() {
        return Err(format!("{}: not empty, and no bundle", out.display()));
    }
    fs::remove_dir_all(out).map_err(|error| about(out, &error))
}

/// The programs that cargo builds, by what cargo says of them.
fn build(root: &Path) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(BUILD).arg("--message-format=json-render-diagnostics");
    let output = finished(command.current_dir(root).stderr(Stdio::inherit()))?;
    let executable = |message| match message {
        Ok(Message::CompilerArtifact(built)) => {
            Some((built.target.name, PathBuf::from(built.executable?)))
        }
        _ => None,
    };
    let built: Vec<_> =
        Message::parse_stream(output.stdout.as_slice()).filter_map(executable).collect();
    let find = |name: &'static str| {
        let found = built.iter().find(|(target, _)| target == name);
        let (_, path) = found.ok_or_else(|| format!("cargo built no {name}"))?;
        Ok((name, path.clone()))
    };
    PROGRAMS.into_iter().map(find).collect()
}

/// Takes symbols away: they are most of a program. Places in panics stay.
fn strip(file: &Path) -> Result<(), String> {
    finished(Command::new("strip").arg("--strip-all").arg(file)).map(|_| ())
}

/// The same PTX texts lie in each of the programs: packed together they count once.
fn pack(programs: &Path, to: &Path) -> Result<(), String> {
    let mut command = Command::new("tar");
    command.env("XZ_OPT", "-6").arg("-cJf").arg(to).arg("-C").arg(programs).args(PROGRAMS);
    finished(&mut command).map(|_| ())
}

/// Refuses what is too much to be sent.
fn weigh(root: &Path, out: &Path) -> Result<(), String> {
    let tree = tree_bytes(root, out)?;
    let archive = out.join(ARCHIVE);
    let bundle = fs::metadata(&archive).map_err(|error| about(&archive, &error))?.len();
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let parts = format!("tree {} and bundle {}", mib(tree), mib(bundle));
    let all = tree + bundle;
    if all > BYTES_MAX {
        return Err(format!("{parts}: {} together, at most {}", mib(all), mib(BYTES_MAX)));
    }
    report(&format!("{parts}, {} together", mib(all)));
    Ok(())
}

/// Bytes of all files of the tree at `root` that git tracks or does not ignore, without `out`.
fn tree_bytes(root: &Path, out: &Path) -> Result<u64, String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = finished(command.current_dir(root))?;
    let names = String::from_utf8(listed.stdout).map_err(|error| format!("git: {error}"))?;
    let out = root.join(out);
    let paths = names.split_terminator('\0').map(|name| root.join(name));
    let bytes = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        // Tracked, and not there now: it does not go along.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(about(&path, &error)),
    };
    paths.filter(|path| !path.starts_with(&out)).map(bytes).sum()
}

fn finished(command: &mut Command) -> Result<Output, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name}: {}\n{said}", output.status))
}

fn about(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, under git.
    fn repository(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("offramp-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(&root).unwrap();
        finished(Command::new("git").args(["init", "-q"]).current_dir(&root)).unwrap();
        root
    }

    #[test]
    fn what_git_ignores_does_not_weigh() {
        let root = repository("weigh");
        let write = |name: &str, bytes: usize| {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; bytes]).unwrap();
        };
        let ignore = "target\nignored.txt\n";
        fs::write(root.join(".gitignore"), ignore).unwrap();
        write("tracked.txt", 1000);
        write("src/untracked.txt", 200);
        write("ignored.txt", 40);
        write("target/built", 7);
        write("bundle/programs.tar.xz", 90_000);
        finished(Command::new("git").args(["add", "tracked.txt"]).current_dir(&root)).unwrap();
        let all = 1000 + 200 + ignore.len() as u64;
        assert_eq!(tree_bytes(&root, Path::new("bundle")).unwrap(), all);
        fs::remove_file(root.join("tracked.txt")).unwrap();
        assert_eq!(tree_bytes(&root, Path::new("bundle")).unwrap(), all - 1000);
        fs::write(root.join("bundle").join(ARCHIVE), vec![0; BYTES_MAX as usize]).unwrap();
        let error = weigh(&root, &root.join("bundle")).unwrap_err();
        assert!(error.contains("60.0 MiB together, at most 60.0"), "{error}");
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn only_bundles_are_emptied() {
        let root = repository("clear");
        let error = clear(&root).unwrap_err();
        assert!(error.contains("no bundle"), "{error}");
        fs::write(root.join(ARCHIVE), "").unwrap();
        clear(&root).unwrap();
        assert!(!root.exists());
    }
}
