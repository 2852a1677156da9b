//! One launch of a kernel, as data: what is equal may be replayed.

use std::hash::{Hash, Hasher};

use super::kernels::Kernel;

/// Parameters of a kernel at most.
pub(super) const PARAMETERS_MAX: usize = 29;

/// A kernel, its grid and its arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Launch {
    pub(crate) kernel: Kernel,
    /// Blocks in x, y and z.
    pub(crate) grid: [u32; 3],
    /// Dynamic shared memory of a block.
    pub(crate) shared_bytes: u32,
    pub(crate) arguments: Arguments,
}

/// The arguments of a launch, one word each; smaller types lie in the low bytes.
#[derive(Clone, Debug, Eq)]
pub(crate) struct Arguments {
    words: [u64; PARAMETERS_MAX],
    len: usize,
}

impl Arguments {
    pub(crate) fn new(given: &[u64]) -> Self {
        let mut words = [0; PARAMETERS_MAX];
        words[..given.len()].copy_from_slice(given);
        Self { words, len: given.len() }
    }

    /// These, then `more`.
    pub(crate) fn and(mut self, more: &Self) -> Self {
        self.words[self.len..self.len + more.len].copy_from_slice(&more.words[..more.len]);
        self.len += more.len;
        self
    }

    /// All words; those beyond the last argument are 0.
    pub(super) fn words(&self) -> [u64; PARAMETERS_MAX] {
        self.words
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.words[..self.len] == other.words[..other.len]
    }
}

impl Hash for Arguments {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.words[..self.len].hash(state);
    }
}

/// A Rust type that a kernel parameter may have.
pub(crate) trait Parameter: Copy {
    /// Its PTX type.
    #[cfg(test)]
    const TYPE: &'static str;

    /// Its bits in the low bytes of a word.
    fn word(self) -> u64;
}

impl Parameter for u64 {
    #[cfg(test)]
    const TYPE: &'static str = "u64";

    fn word(self) -> u64 {
        self
    }
}

impl Parameter for u32 {
    #[cfg(test)]
    const TYPE: &'static str = "u32";

    fn word(self) -> u64 {
        self.into()
    }
}

impl Parameter for f32 {
    #[cfg(test)]
    const TYPE: &'static str = "f32";

    fn word(self) -> u64 {
        self.to_bits().into()
    }
}

/// Declares the parameters of kernels, in the order of their prototype:
/// `parameters! { struct Name for Kernel, .. in test { x: u64, .. } }`. A test compares their
/// types with the PTX. Without kernels it declares a part, which [`Arguments::and`] joins to
/// others.
macro_rules! parameters {
    ($(#[$meta:meta])* struct $name:ident { $($field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Default)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        impl $name {
            /// Types of the parameters in PTX.
            #[cfg(test)]
            pub(crate) const TYPES: &'static [&'static str] =
                &[$(<$type as $crate::cuda::launch::Parameter>::TYPE,)*];

            pub(crate) fn pack(self) -> $crate::cuda::Arguments {
                use $crate::cuda::launch::Parameter as _;
                $crate::cuda::Arguments::new(&[$(self.$field.word(),)*])
            }
        }
    };
    ($(#[$meta:meta])* struct $name:ident for $($kernel:ident),* in $test:ident {
        $($field:ident: $type:ty,)*
    }) => {
        $crate::cuda::launch::parameters! {
            $(#[$meta])*
            struct $name { $($field: $type,)* }
        }

        #[cfg(test)]
        mod $test {
            #[test]
            fn parameters_match_the_ptx() {
                for kernel in [$($crate::cuda::Kernel::$kernel,)*] {
                    $crate::cuda::kernels::check_parameters(kernel, super::$name::TYPES);
                }
            }
        }
    };
}

pub(crate) use parameters;
