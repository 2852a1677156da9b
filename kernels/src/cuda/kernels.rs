//! The kernels that ship, as PTX texts in this library.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError, Weak};

use super::driver::{Context, initialise};
use super::elem::Elem;
use super::gpu::Gpu;
use super::module::{Function, Module};
use crate::Result;

/// The PTX of one CUDA source.
struct Source {
    /// The name of its file.
    file: &'static str,
    f16: Texts,
    bf16: Texts,
    tf32: Texts,
}

/// The PTX for one storage format, by target.
struct Texts {
    sm_80: &'static str,
    sm_90a: &'static str,
}

macro_rules! texts {
    ($file:ident, $elem:literal) => {
        Texts {
            sm_80: include_str!(concat!("../../ptx/", stringify!($file), $elem, "sm_80.ptx")),
            sm_90a: include_str!(concat!("../../ptx/", stringify!($file), $elem, "sm_90a.ptx")),
        }
    };
}

macro_rules! sources {
    ($($file:ident),*) => {
        const SOURCES: &[Source] = &[$(Source {
            file: stringify!($file),
            f16: texts!($file, ".f16."),
            bf16: texts!($file, ".bf16."),
            tf32: texts!($file, ".tf32."),
        }),*];
    };
}

sources!(attention, compact, conv2d, embed, linear, narrow, norm, patches, pixels, pool2d, ramp);

/// Kernels by entry, with the file they are in, the threads of a block, and the dynamic shared
/// memory that launches may ask for with elements of two bytes.
macro_rules! kernels {
    ($($kernel:ident: $entry:literal in $file:literal x $threads:literal, $shared:expr;)*) => {
        /// An entry of the PTX.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum Kernel {
            $($kernel,)*
        }

        impl Kernel {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kernel,)*];

            /// Its name in the PTX.
            pub(crate) fn entry(self) -> &'static str {
                match self {
                    $(Self::$kernel => $entry,)*
                }
            }

            /// Threads of a block.
            pub(crate) fn threads(self) -> u32 {
                match self {
                    $(Self::$kernel => $threads,)*
                }
            }

            /// Dynamic shared memory of a block at most, in bytes, with elements of two bytes.
            fn shared_bytes_max(self) -> u32 {
                match self {
                    $(Self::$kernel => $shared,)*
                }
            }

            fn file(self) -> &'static str {
                match self {
                    $(Self::$kernel => $file,)*
                }
            }
        }
    };
}

kernels! {
    Embed: "embed" in "embed" x 128, 0;
    Pixels: "pixels" in "pixels" x 256, 0;
    PixelBlocks: "pixel_blocks" in "pixels" x 256, 0;
    Patches: "patches" in "patches" x 128, 0;
    Norm: "layer_norm" in "norm" x 128, 0;
    LinearBroad: "linear_broad" in "linear" x 256, 126_464;
    LinearWide: "linear_wide" in "linear" x 256, 101_376;
    LinearFew: "linear_few" in "linear" x 128, 67_072;
    LinearAny: "linear_any" in "linear" x 256, 0;
    Conv2dWide: "conv2d_wide" in "conv2d" x 256, 101_376;
    Conv2dFew: "conv2d_few" in "conv2d" x 128, 67_072;
    Conv2dThin: "conv2d_thin" in "conv2d" x 128, 63_744;
    Conv2dAny: "conv2d_any" in "conv2d" x 128, 67_072;
    Pool2d: "pool2d" in "pool2d" x 256, 0;
    Attention32: "attention_32" in "attention" x 128, 20_480;
    Attention64: "attention_64" in "attention" x 128, 40_960;
    Attention128: "attention_128" in "attention" x 128, 81_920;
    AttentionAny: "attention_any" in "attention" x 128, 0;
    Ramp: "ramp" in "ramp" x 256, 160 * 1024;
    Compact: "compact" in "compact" x 1024, 0;
    Narrow: "narrow" in "narrow" x 256, 0;
}

/// What launches of a kernel need, for tools that load the PTX themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShippedKernel {
    /// Its name in the PTX.
    pub entry: &'static str,
    /// The PTX file, without storage format and target.
    pub file: &'static str,
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block at most, in bytes.
    pub shared_bytes_max: u32,
}

/// All kernels that ship, as they are for a storage format.
pub fn shipped_kernels(elem: Elem) -> impl Iterator<Item = ShippedKernel> {
    Kernel::ALL.iter().map(move |kernel| ShippedKernel {
        entry: kernel.entry(),
        file: kernel.file(),
        threads: kernel.threads(),
        shared_bytes_max: kernel.shared_bytes(elem),
    })
}

impl Kernel {
    /// Dynamic shared memory of a block, at most, in bytes. That of attention holds elements; the
    /// tiles of products are as wide in bytes whatever the element.
    pub(crate) fn shared_bytes(self, elem: Elem) -> u32 {
        match self {
            Self::Attention32 | Self::Attention64 | Self::Attention128 => {
                self.shared_bytes_max() / 2 * elem.bytes() as u32
            }
            _ => self.shared_bytes_max(),
        }
    }
}

/// What is shared without asking for more.
const SHARED_BYTES: u32 = 48 * 1024;

/// Which of the PTX texts a GPU runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// For compute capability 8.0 and all later ones.
    Sm80,
    /// For 9.0 alone.
    Sm90a,
}

impl Target {
    fn of(gpu: &Gpu) -> Self {
        if gpu.compute == (9, 0) { Self::Sm90a } else { Self::Sm80 }
    }
}

impl Source {
    fn text(&self, elem: Elem, target: Target) -> &'static str {
        let texts = match elem {
            Elem::F16 => &self.f16,
            Elem::Bf16 => &self.bf16,
            Elem::Tf32 => &self.tf32,
        };
        match target {
            Target::Sm80 => texts.sm_80,
            Target::Sm90a => texts.sm_90a,
        }
    }
}

/// The oldest driver whose graphs keep launches that begin early: CUDA 12.3.
const OVERLAP_VERSION_MIN: i32 = 12_030;
/// `0` in this environment variable lets each kernel begin when the one in front has ended, on
/// every GPU: to compare, and to rule overlapping out where something is wrong.
const OVERLAP_VARIABLE: &str = "OFFRAMP_CUDA_OVERLAP";

/// Whether kernels overlap: for a target, by a driver of this version, with this setting.
fn overlaps(target: Target, version: i32, setting: Option<&OsStr>) -> bool {
    let is_able = target == Target::Sm90a && version >= OVERLAP_VERSION_MIN;
    is_able && setting.is_none_or(|setting| setting != "0")
}

/// The kernels for one storage format on one device. A PTX text is loaded when the first of its
/// kernels is asked for, once for all devices of the process that use them.
pub(super) struct Kernels {
    elem: Elem,
    target: Target,
    /// Launches may begin before the one in front of them has ended.
    overlap: bool,
    context: Arc<Context>,
    /// Shared memory that a block may ask for.
    shared_bytes_max: u32,
    /// By [`Kernel`]; those of a text are loaded together.
    functions: Vec<OnceLock<Function>>,
    /// What the functions lie in.
    modules: Mutex<Vec<Module>>,
}

impl Kernels {
    /// Those of a device, shared with whoever has them already.
    pub(super) fn of(gpu: &Gpu, elem: Elem) -> Result<Arc<Self>> {
        type Shared = Mutex<HashMap<(usize, Elem), Weak<Kernels>>>;
        static SHARED: LazyLock<Shared> = LazyLock::new(Shared::default);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (gpu.ordinal, elem);
        if let Some(kernels) = shared.get(&key).and_then(Weak::upgrade) {
            return Ok(kernels);
        }
        let target = Target::of(gpu);
        let version = initialise().unwrap_or_default();
        let setting = std::env::var_os(OVERLAP_VARIABLE);
        let kernels = Arc::new(Self {
            elem,
            target,
            overlap: overlaps(target, version, setting.as_deref()),
            context: Context::new(gpu.ordinal, gpu.memory_bytes)?,
            shared_bytes_max: gpu.block_shared_bytes as u32,
            functions: Kernel::ALL.iter().map(|_| OnceLock::new()).collect(),
            modules: Mutex::default(),
        });
        shared.insert(key, Arc::downgrade(&kernels));
        Ok(kernels)
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Whether launches may begin before the one in front of them has ended: all kernels then
    /// wait for it by themselves.
    pub(super) fn overlap(&self) -> bool {
        self.overlap
    }

    /// Dynamic shared memory that a launch of `kernel` may have on this device, in bytes.
    pub(super) fn shared_bytes_max(&self, kernel: Kernel) -> u32 {
        kernel.shared_bytes(self.elem).min(self.shared_bytes_max)
    }

    /// A kernel, loaded if it is not yet.
    pub(super) fn get(&self, kernel: Kernel) -> Result<Function> {
        let slot = &self.functions[kernel as usize];
        if slot.get().is_none() {
            self.load(kernel.file(), slot)?;
        }
        Ok(*slot.get().expect("invariant: the kernels of a text are loaded with it"))
    }

    /// Loads all kernels of a text, `wanted` among them, unless another thread has.
    fn load(&self, file: &'static str, wanted: &OnceLock<Function>) -> Result<()> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted.get().is_some() {
            return Ok(());
        }
        let source = SOURCES.iter().find(|source| source.file == file);
        let source = source.expect("invariant: every kernel is in a source");
        let module = Module::load(&self.context, file, source.text(self.elem, self.target))?;
        let own = Kernel::ALL.iter().filter(|kernel| kernel.file() == file);
        let prepare = |&kernel: &Kernel| Ok((kernel, self.prepare(&module, kernel)?));
        for (kernel, function) in own.map(prepare).collect::<Result<Vec<_>>>()? {
            self.functions[kernel as usize].get_or_init(|| function);
        }
        modules.push(module);
        Ok(())
    }

    fn prepare(&self, module: &Module, kernel: Kernel) -> Result<Function> {
        let function = module.function(kernel.entry())?;
        function.load()?;
        let shared_bytes = self.shared_bytes_max(kernel);
        if shared_bytes > SHARED_BYTES {
            function.allow_shared(shared_bytes)?;
            function.prefer_shared()?;
        }
        Ok(function)
    }
}

/// Panics unless the PTX of `kernel` takes parameters of these types.
#[cfg(test)]
pub(crate) fn check_parameters(kernel: Kernel, types: &[&str]) {
    let source = SOURCES.iter().find(|source| source.file == kernel.file()).expect("a source");
    for text in source.all() {
        let head = format!(".entry {}(", kernel.entry());
        let (_, entry) = text.split_once(&head).unwrap_or_else(|| panic!("no {head}"));
        let (parameters, _) = entry.split_once(')').expect("a closing parenthesis");
        let type_of =
            |line: &str| Some(line.split_once(".param .")?.1.split_once(' ')?.0.to_owned());
        let found: Vec<_> = parameters.lines().filter_map(type_of).collect();
        assert_eq!(found, types, "{}", kernel.entry());
    }
}

#[cfg(test)]
impl Source {
    /// The texts of all storage formats and targets.
    fn all(&self) -> impl Iterator<Item = &'static str> {
        [&self.f16, &self.bf16, &self.tf32].into_iter().flat_map(|of| [of.sm_80, of.sm_90a])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_ptx_is_a_kernel() {
        for source in SOURCES {
            for text in source.all() {
                let entries = text.matches(".visible .entry ").count();
                let is_of = |kernel: &&Kernel| kernel.file() == source.file;
                assert_eq!(entries, Kernel::ALL.iter().filter(is_of).count(), "{}", source.file);
            }
        }
    }

    #[test]
    fn kernels_overlap_where_all_allow_it() {
        let (off, other) = (Some(OsStr::new("0")), Some(OsStr::new("1")));
        assert!(overlaps(Target::Sm90a, 12_030, None) && overlaps(Target::Sm90a, 13_000, other));
        assert!(!overlaps(Target::Sm90a, 12_030, off));
        assert!(!overlaps(Target::Sm90a, 12_020, None));
        assert!(!overlaps(Target::Sm80, 13_000, None));
    }

    /// Every launch may begin early, so every kernel waits, and once.
    #[test]
    fn every_kernel_of_a_hopper_waits_once() {
        let waits = |text: &str| text.matches("\tgriddepcontrol.wait;").count();
        for source in SOURCES {
            for texts in [&source.f16, &source.bf16, &source.tf32] {
                assert_eq!(waits(texts.sm_80), 0, "{}", source.file);
                for entry in texts.sm_90a.split(".visible .entry ").skip(1) {
                    let name = entry.split('(').next().unwrap_or_default();
                    assert_eq!(waits(entry), 1, "{}: {name}", source.file);
                }
            }
        }
    }
}
