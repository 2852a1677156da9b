//! `cargo xtask gpu-bundle`: the programs that test and time the CUDA device, for a machine with a
//! GPU and no Rust.
//!
//! They lie in one archive, and everything else comes from the tree, which goes along:
//!
//! ```text
//! gpu-bundle/programs.tar.xz   cuda cuda_tf32 gpu offramp
//! benches/gpu/run.sh           unpacks them, and runs all that ten minutes can tell
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use cargo_metadata::Message;

use crate::report;

/// Most bytes of tree and bundle together: some places take uploads of 64 MiB, and a copy of the
/// tree has files that git does not list.
const BYTES_MAX: u64 = 60 << 20;

/// The archive in the bundle's folder; `benches/gpu/session.py` looks for it.
const ARCHIVE: &str = "programs.tar.xz";

/// Where the next bundle is made, inside the folder: the last one stays until it is whole.
const PARTIAL: &str = "programs.partial";

/// Arguments of `cargo xtask gpu-bundle`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The folder, with nothing else in it [default: gpu-bundle in the repository]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Tests, bench and command, by the names of their targets.
const PROGRAMS: [&str; 4] = ["cuda", "cuda_tf32", "gpu", "offramp"];

/// One command builds all of them, so that what they share is compiled once.
const BUILD: [&str; 16] = [
    "build",
    "--release",
    "-p",
    "offramp-tests",
    "--test",
    "cuda",
    "--test",
    "cuda_tf32",
    "-p",
    "offramp-benches",
    "--bench",
    "gpu",
    "-p",
    "offramp-tools",
    "--bin",
    "offramp",
];

/// What is called besides cargo and git.
const TOOLS: [&str; 3] = ["tar", "xz", "strip"];

/// Writes the bundle; gives what went wrong.
pub(crate) fn run(root: &Path, args: &Args) -> Vec<String> {
    let out = args.out.clone().unwrap_or_else(|| root.join("gpu-bundle"));
    bundle(root, &out).err().into_iter().collect()
}

fn bundle(root: &Path, out: &Path) -> Result<(), String> {
    expect_own(out)?;
    for tool in TOOLS {
        finished(Command::new(tool).arg("--version"))?;
    }
    fs::create_dir_all(out).map_err(|error| about(out, &error))?;
    // Minutes of building are spent only on what may be sent.
    weigh(tree_bytes(root, out)?, 0)?;
    let partial = out.join(PARTIAL);
    discard(&partial)?;
    fs::create_dir(&partial).map_err(|error| about(&partial, &error))?;
    let made = make(root, out, &partial);
    discard(&partial)?;
    made
}

/// Fails where anything is in the folder that this command does not write.
fn expect_own(out: &Path) -> Result<(), String> {
    let entries = match fs::read_dir(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|error| about(out, &error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| about(out, &error))?;
        let kind = entry.file_type().map_err(|error| about(&entry.path(), &error))?;
        let name = entry.file_name();
        let is_archive = name == ARCHIVE && kind.is_file();
        let is_partial = name == PARTIAL && kind.is_dir();
        if !is_archive && !is_partial {
            let name = name.to_string_lossy();
            return Err(format!("{}: has {name}, which is no part of a bundle", out.display()));
        }
    }
    Ok(())
}

/// Removes what a call has made on its way, whole or not, and nothing else.
fn discard(partial: &Path) -> Result<(), String> {
    let gone = |removed: std::io::Result<()>, path: &Path| match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(about(path, &error)),
        _ => Ok(()),
    };
    for name in PROGRAMS.into_iter().chain([ARCHIVE]) {
        let path = partial.join(name);
        gone(fs::remove_file(&path), &path)?;
    }
    gone(fs::remove_dir(partial), partial)
}

/// Builds, packs and weighs; only a good archive takes the place of the last.
fn make(root: &Path, out: &Path, partial: &Path) -> Result<(), String> {
    report(&format!("building {}", PROGRAMS.join(", ")));
    for (name, built) in build(root)? {
        let to = partial.join(name);
        fs::copy(&built, &to).map_err(|error| about(&built, &error))?;
        strip(&to)?;
    }
    report(&format!("packing {ARCHIVE}"));
    let archive = partial.join(ARCHIVE);
    pack(partial, &archive)?;
    let bytes = fs::metadata(&archive).map_err(|error| about(&archive, &error))?.len();
    report(&weigh(tree_bytes(root, out)?, bytes)?);
    fs::rename(&archive, out.join(ARCHIVE)).map_err(|error| about(&archive, &error))
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

/// Says what is sent; fails where it is too much.
fn weigh(tree: u64, bundle: u64) -> Result<String, String> {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    let parts = format!("tree {} and bundle {}", mib(tree), mib(bundle));
    let all = tree + bundle;
    if all > BYTES_MAX {
        return Err(format!("{parts}: {} together, at most {}", mib(all), mib(BYTES_MAX)));
    }
    Ok(format!("{parts}, {} together", mib(all)))
}

/// Bytes of all files of the tree at `root` that git tracks or does not ignore, without `out`.
fn tree_bytes(root: &Path, out: &Path) -> Result<u64, String> {
    let mut command = Command::new("git");
    command.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let listed = finished(command.current_dir(root))?;
    let names = String::from_utf8(listed.stdout).map_err(|error| format!("git: {error}"))?;
    // The same folder may be named in many ways.
    let whole = |path: &Path| fs::canonicalize(path).map_err(|error| about(path, &error));
    let root = whole(root)?;
    let out = whole(out)?;
    let paths = names.split_terminator('\0').map(|name| root.join(name));
    let bytes = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        // Tracked, and not there now: it does not go along.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
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
        let out = root.join("src/../bundle");
        assert_eq!(tree_bytes(&root, &out).unwrap(), all);
        fs::remove_file(root.join("tracked.txt")).unwrap();
        assert_eq!(tree_bytes(&root, &out).unwrap(), all - 1000);
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn too_much_is_refused() {
        let said = weigh(1 << 20, BYTES_MAX - (1 << 20)).unwrap();
        assert!(said.contains("60.0 MiB together"), "{said}");
        let error = weigh(1, BYTES_MAX).unwrap_err();
        assert!(error.contains("60.0 MiB together, at most 60.0"), "{error}");
    }

    /// Neither other files are lost, nor is the last bundle where the next one cannot be made.
    #[test]
    fn only_what_is_its_own_goes() {
        let root = repository("own");
        let out = root.join("out");
        fs::create_dir_all(out.join(PARTIAL)).unwrap();
        fs::write(out.join(ARCHIVE), "the last").unwrap();
        fs::write(out.join(PARTIAL).join("cuda"), "").unwrap();
        expect_own(&out).unwrap();
        discard(&out.join(PARTIAL)).unwrap();
        discard(&out.join(PARTIAL)).unwrap();
        // No workspace: cargo fails, after all that is checked before.
        bundle(&root, &out).unwrap_err();
        let left: Vec<_> = fs::read_dir(&out).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [ARCHIVE]);
        assert_eq!(fs::read_to_string(out.join(ARCHIVE)).unwrap(), "the last");
        fs::write(out.join("run.sh"), "mine").unwrap();
        let error = bundle(&root, &out).unwrap_err();
        assert!(error.contains("has run.sh, which is no part of a bundle"), "{error}");
        assert_eq!(fs::read_to_string(out.join("run.sh")).unwrap(), "mine");
        fs::remove_file(out.join("run.sh")).unwrap();
        fs::create_dir(out.join(PARTIAL)).unwrap();
        fs::write(out.join(PARTIAL).join("notes"), "mine").unwrap();
        bundle(&root, &out).unwrap_err();
        assert!(out.join(PARTIAL).join("notes").exists());
        let error = bundle(&root, &out.join(ARCHIVE)).unwrap_err();
        assert!(error.contains(ARCHIVE), "{error}");
        fs::remove_dir_all(&root).unwrap();
    }
}
