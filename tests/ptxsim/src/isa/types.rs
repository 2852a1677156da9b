//! The types of PTX.

/// A fundamental type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Pred,
    /// Bits of no kind: `b8` to `b64`.
    Bits(u32),
    Unsigned(u32),
    Signed(u32),
    Half(HalfKind),
    HalfPair(HalfKind),
    F32,
    F64,
}

/// The two formats of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HalfKind {
    F16,
    Bf16,
}

/// What tensor cores multiply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factors {
    /// 16 of them a row.
    Half(HalfKind),
    /// Eight a row; the low 13 bits do not count.
    Tf32,
}

impl Type {
    /// The type a modifier names.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pred" => Self::Pred,
            "f16" => Self::Half(HalfKind::F16),
            "bf16" => Self::Half(HalfKind::Bf16),
            "f16x2" => Self::HalfPair(HalfKind::F16),
            "bf16x2" => Self::HalfPair(HalfKind::Bf16),
            "f32" => Self::F32,
            "f64" => Self::F64,
            _ => {
                let bits = match name.get(1..)? {
                    "8" => 8,
                    "16" => 16,
                    "32" => 32,
                    "64" => 64,
                    _ => return None,
                };
                match name.as_bytes()[0] {
                    b'b' => Self::Bits(bits),
                    b'u' => Self::Unsigned(bits),
                    b's' => Self::Signed(bits),
                    _ => return None,
                }
            }
        })
    }

    /// Bits of a value; 1 of a predicate.
    pub(crate) fn bits(self) -> u32 {
        match self {
            Self::Pred => 1,
            Self::Bits(bits) | Self::Unsigned(bits) | Self::Signed(bits) => bits,
            Self::Half(_) => 16,
            Self::HalfPair(_) | Self::F32 => 32,
            Self::F64 => 64,
        }
    }

    /// Bytes in memory.
    pub(crate) fn bytes(self) -> u32 {
        self.bits().div_ceil(8)
    }

    pub(crate) fn is_signed(self) -> bool {
        matches!(self, Self::Signed(_))
    }

    /// Bits, signed or unsigned.
    pub(crate) fn is_int(self) -> bool {
        matches!(self, Self::Bits(_) | Self::Unsigned(_) | Self::Signed(_))
    }
}
