//! CUDA's compilers as Python wheels: no toolkit and no driver needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// NVRTC's version, and ptxas'.
pub(super) const NVRTC: &str = "12.6.85";
const RUNTIME: &str = "12.6.77";

/// Packages with their versions.
const PACKAGES: [(&str, &str); 3] = [
    ("nvidia-cuda-nvrtc-cu12", NVRTC),
    ("nvidia-cuda-runtime-cu12", RUNTIME),
    ("nvidia-cuda-nvcc-cu12", NVRTC),
];

/// A folder with the wheels unpacked.
pub(super) struct Wheels {
    folder: PathBuf,
}

impl Wheels {
    /// The folder given, or `target/cuda-wheels`, which is filled when missing.
    pub(super) fn find(root: &Path, given: Option<&Path>) -> Result<Self, String> {
        let folder = given.map_or_else(|| root.join("target/cuda-wheels"), Path::to_owned);
        if given.is_none() && !folder.exists() {
            install(&folder)?;
        }
        let folder = folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))?;
        let wheels = Self { folder };
        wheels.check()?;
        Ok(wheels)
    }

    /// Folder of libnvrtc.
    pub(super) fn libraries(&self) -> PathBuf {
        self.folder.join("nvidia/cuda_nvrtc/lib")
    }

    /// Folder of cuda_fp16.h.
    pub(super) fn headers(&self) -> PathBuf {
        self.folder.join("nvidia/cuda_runtime/include")
    }

    /// The assembler.
    pub(super) fn ptxas(&self) -> PathBuf {
        self.folder.join("nvidia/cuda_nvcc/bin/ptxas")
    }

    fn check(&self) -> Result<(), String> {
        let folder = self.folder.display();
        for (package, version) in PACKAGES {
            let info = format!("{}-{version}.dist-info", package.replace('-', "_"));
            if !self.folder.join(info).is_dir() {
                return Err(format!("{folder}: expected {package} {version}, found none"));
            }
        }
        let library = self.libraries().join("libnvrtc.so.12");
        for file in [library, self.headers().join("cuda_fp16.h"), self.ptxas()] {
            if !file.is_file() {
                return Err(format!("{}: missing; delete {folder} and try again", file.display()));
            }
        }
        Ok(())
    }
}

/// One command for all: pip does not merge into folders that exist.
fn install(folder: &Path) -> Result<(), String> {
    let packages = PACKAGES.map(|(package, version)| format!("{package}=={version}"));
    crate::report(&format!("installing {} into {}", packages.join(" "), folder.display()));
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).map_err(|e| format!("{}: {e}", partial.display()))?;
    }
    let status = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"])
        .arg("--target")
        .args([partial.as_os_str()])
        .args(&packages)
        .status()
        .map_err(|error| format!("python3 -m pip: {error}; install it or give --wheels DIR"))?;
    if !status.success() {
        return Err(format!("python3 -m pip: {status}; install pip or give --wheels DIR"));
    }
    fs::rename(&partial, folder).map_err(|e| format!("{}: {e}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_without_the_wheels_is_named() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let error = Wheels::find(Path::new(""), Some(&src)).err().unwrap_or_default();
        assert!(error.contains("expected nvidia-cuda-nvrtc-cu12 12.6.85"), "{error}");
        let error = Wheels::find(Path::new(""), Some(&src.join("none"))).err().unwrap_or_default();
        assert!(error.contains("src/none"), "{error}");
    }
}
