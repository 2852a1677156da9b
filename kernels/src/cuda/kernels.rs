//! The kernels that ship, as PTX texts in this library.

use std::sync::Arc;

use super::driver::{Context, Function, Module};
use super::elem::Elem;
use crate::Result;

/// PTX by file, for both storage formats.
macro_rules! sources {
    ($($file:ident),*) => {
        /// Name, PTX for f16, PTX for bf16.
        pub(super) const SOURCES: &[(&str, &str, &str)] = &[$((
            stringify!($file),
            include_str!(concat!("../../ptx/", stringify!($file), ".f16.ptx")),
            include_str!(concat!("../../ptx/", stringify!($file), ".bf16.ptx")),
        )),*];
    };
}

sources!(attention, compact, conv2d, embed, linear, narrow, norm, pixels, pool2d, ramp);

/// Kernels by entry, with the file they are in, the threads of a block, and the dynamic shared
/// memory that launches may ask for.
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

            /// Dynamic shared memory of a block at most, in bytes.
            pub(crate) fn shared_bytes_max(self) -> u32 {
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
    Norm: "layer_norm" in "norm" x 128, 0;
    LinearWide: "linear_wide" in "linear" x 256, 99_840;
    LinearFew: "linear_few" in "linear" x 128, 66_304;
    LinearAny: "linear_any" in "linear" x 256, 0;
    Conv2dWide: "conv2d_wide" in "conv2d" x 256, 99_840;
    Conv2dFew: "conv2d_few" in "conv2d" x 128, 66_304;
    Conv2dThin: "conv2d_thin" in "conv2d" x 128, 62_592;
    Conv2dAny: "conv2d_any" in "conv2d" x 128, 66_304;
    Pool2d: "pool2d" in "pool2d" x 256, 0;
    Attention32: "attention_32" in "attention" x 128, 20_480;
    Attention64: "attention_64" in "attention" x 128, 40_960;
    Attention128: "attention_128" in "attention" x 128, 81_920;
    AttentionAny: "attention_any" in "attention" x 128, 0;
    Ramp: "ramp" in "ramp" x 256, 160 * 1024;
    Compact: "compact" in "compact" x 1024, 0;
    Narrow: "narrow" in "narrow" x 256, 0;
}

/// What is shared without asking for more.
const SHARED_BYTES: u32 = 48 * 1024;

/// All kernels for one storage format, loaded.
pub(super) struct Kernels {
    /// By kernel.
    functions: Vec<Function>,
    /// What the functions lie in.
    _modules: Vec<Module>,
}

impl Kernels {
    pub(super) fn load(context: &Arc<Context>, elem: Elem) -> Result<Self> {
        let load = |&(file, f16, bf16): &(&'static str, &str, &str)| {
            let text = match elem {
                Elem::F16 => f16,
                Elem::Bf16 => bf16,
            };
            Ok((file, Module::load(context, file, text)?))
        };
        let modules: Vec<_> = SOURCES.iter().map(load).collect::<Result<_>>()?;
        let find = |kernel: &Kernel| {
            let module = modules.iter().find(|(file, _)| *file == kernel.file());
            let (_, module) = module.expect("invariant: every kernel is in a source");
            let function = module.function(kernel.entry())?;
            if kernel.shared_bytes_max() > SHARED_BYTES {
                function.allow_shared(kernel.shared_bytes_max())?;
            }
            Ok(function)
        };
        let functions = Kernel::ALL.iter().map(find).collect::<Result<_>>()?;
        let modules = modules.into_iter().map(|(_, module)| module).collect();
        Ok(Self { functions, _modules: modules })
    }

    pub(super) fn function(&self, kernel: Kernel) -> Function {
        self.functions[kernel as usize]
    }
}

/// Panics unless the PTX of `kernel` takes parameters of these types.
#[cfg(test)]
pub(crate) fn check_parameters(kernel: Kernel, types: &[&str]) {
    let (_, f16, bf16) = SOURCES.iter().find(|source| source.0 == kernel.file()).expect("a source");
    for text in [f16, bf16] {
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
mod tests {
    use super::*;

    #[test]
    fn every_entry_of_the_ptx_is_a_kernel() {
        for (file, f16, bf16) in SOURCES {
            for text in [f16, bf16] {
                let entries = text.matches(".visible .entry ").count();
                let known = Kernel::ALL.iter().filter(|kernel| kernel.file() == *file).count();
                assert_eq!(entries, known, "{file}");
            }
        }
    }
}
