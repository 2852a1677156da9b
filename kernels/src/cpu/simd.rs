//! The instruction set, chosen at run time.
//!
//! Whatever is chosen, results are the same to the bit wherever fused multiply-add exists: the
//! elementwise code is one source compiled several times, and every matrix product is one chain
//! of fused multiply-adds per output.

use std::fmt;

use crate::{Error, Result};

/// An instruction set this crate has code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// Whatever the compiler was told to assume.
    Portable,
}

impl Isa {
    /// All of them, best first.
    pub const ALL: [Self; 3] = [Self::Avx512, Self::Avx2, Self::Portable];

    /// The best this machine has.
    pub fn detect() -> Self {
        Self::ALL.into_iter().find(|isa| isa.is_supported()).unwrap_or(Self::Portable)
    }

    /// Whether this machine has it.
    #[cfg(target_arch = "x86_64")]
    pub fn is_supported(self) -> bool {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        match self {
            Self::Avx512 => {
                let byte = has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
                avx2 && byte && has!("avx512f")
            }
            Self::Avx2 => avx2,
            Self::Portable => true,
        }
    }

    /// Whether this machine has it.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn is_supported(self) -> bool {
        self == Self::Portable
    }

    /// The right to run its code.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where this machine does not have it.
    pub fn require(self) -> Result<Simd> {
        if !self.is_supported() {
            return Err(Error::mismatch("instruction set", Self::detect(), self));
        }
        Ok(Simd(self))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Portable => "portable",
        })
    }
}

/// An instruction set that this machine has: only [`Isa::require`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Isa);

impl Simd {
    /// Which one.
    pub fn isa(self) -> Isa {
        self.0
    }
}

/// Compiles an `#[inline(always)]` function once for each instruction set and chooses by the
/// [`Simd`] that becomes its first argument.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)?
     = $body:path) => {
        $(#[$meta])*
        $vis fn $name(simd: $crate::cpu::simd::Simd, $($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                $body($($arg),*)
            }
            match simd.isa() {
                // SAFETY: a `Simd` proves that this machine has its instruction set.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx2 => unsafe { avx2($($arg),*) },
                _ => $body($($arg),*),
            }
        }
    };
}

pub(crate) use vectorised;
