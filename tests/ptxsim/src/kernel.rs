//! Modules and kernels, ready to run.

use std::sync::Arc;

use crate::ParseError;
use crate::isa::{Double, Instr, Pred, Word};
use crate::memory::Block;

/// A module of PTX. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Module {
    pub(crate) target: Arc<str>,
    pub(crate) kernels: Arc<[Kernel]>,
}

impl Module {
    /// Reads PTX; `name` is for errors.
    ///
    /// # Errors
    /// The first statement that is malformed or not implemented.
    pub fn parse(name: &str, text: &str) -> Result<Self, ParseError> {
        crate::parse::module(name, text)
    }

    /// The kernel of this name.
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name() == name)
    }

    /// All kernels in the order of the text.
    pub fn kernels(&self) -> impl Iterator<Item = &Kernel> {
        self.kernels.iter()
    }

    /// What `.target` names, such as `sm_80`.
    pub fn target(&self) -> &str {
        &self.target
    }
}

/// A kernel. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Kernel(pub(crate) Arc<Program>);

impl Kernel {
    /// The name of the entry.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The parameters in order.
    pub fn params(&self) -> &[Param] {
        &self.0.params
    }

    /// Bytes of the parameter buffer.
    pub fn params_bytes(&self) -> u32 {
        self.0.params_bytes
    }

    /// Most threads a block may have: `.maxntid`, or 1024.
    pub fn threads_max(&self) -> u32 {
        self.0.threads_max
    }

    /// Static shared memory in bytes.
    pub fn shared_bytes(&self) -> u32 {
        self.0.shared_bytes
    }

    /// Number of instructions.
    pub fn instructions(&self) -> usize {
        self.0.code.len()
    }
}

/// A parameter of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// The name in the PTX.
    pub name: String,
    /// Offset in the parameter buffer.
    pub offset: u32,
    /// Size.
    pub bytes: u32,
    /// Type.
    pub kind: ParamKind,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// An address, or any other 64-bit integer: PTX does not tell them apart.
    Pointer,
    /// A 32-bit integer.
    U32,
    /// A float.
    F32,
    /// An integer of 8 bits.
    U8,
    /// 16 bits, integer or half.
    U16,
    /// A double.
    F64,
    /// A struct passed by value.
    Bytes,
}

/// A kernel decoded.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) params: Vec<Param>,
    pub(crate) params_bytes: u32,
    pub(crate) threads_max: u32,
    /// `.reqntid`: the only shape a block may have.
    pub(crate) threads_exact: Option<[u32; 3]>,
    pub(crate) shared_bytes: u32,
    /// Alignment of the dynamic shared memory that follows.
    pub(crate) shared_align: u32,
    /// Local memory of one thread.
    pub(crate) local_bytes: u32,
    pub(crate) code: Vec<Instr>,
    pub(crate) words: usize,
    pub(crate) doubles: usize,
    pub(crate) preds: usize,
    pub(crate) word_presets: Vec<(Word, u32)>,
    pub(crate) double_presets: Vec<(Double, u64)>,
    pub(crate) pred_presets: Vec<(Pred, bool)>,
    pub(crate) specials: Vec<(Special, Word)>,
    /// Source files by number.
    pub(crate) files: Vec<(u32, String)>,
    /// Variables of the module in global and constant memory.
    pub(crate) variables: Vec<Arc<Block>>,
    /// Blocks may wait for one another: it has atomics or ordered accesses to global memory.
    pub(crate) talks: bool,
}

impl Program {
    /// The name of source file `number`.
    pub(crate) fn file(&self, number: u32) -> Option<&str> {
        self.files.iter().find(|file| file.0 == number).map(|file| file.1.as_str())
    }
}

/// Registers the machine sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Tid(usize),
    Ntid(usize),
    Ctaid(usize),
    Nctaid(usize),
    LaneId,
    WarpId,
    WarpCount,
    MaskEq,
    MaskLe,
    MaskLt,
    MaskGe,
    MaskGt,
    SharedDynamic,
    SharedTotal,
    Zero,
}

impl Special {
    /// The register of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        if let Some((base, axis)) = name.split_once('.') {
            let axis = ["x", "y", "z"].iter().position(|&letter| letter == axis)?;
            return Some(match base {
                "%tid" => Self::Tid(axis),
                "%ntid" => Self::Ntid(axis),
                "%ctaid" => Self::Ctaid(axis),
                "%nctaid" => Self::Nctaid(axis),
                _ => return None,
            });
        }
        Some(match name {
            "%laneid" => Self::LaneId,
            "%warpid" => Self::WarpId,
            "%nwarpid" => Self::WarpCount,
            "%lanemask_eq" => Self::MaskEq,
            "%lanemask_le" => Self::MaskLe,
            "%lanemask_lt" => Self::MaskLt,
            "%lanemask_ge" => Self::MaskGe,
            "%lanemask_gt" => Self::MaskGt,
            "%dynamic_smem_size" => Self::SharedDynamic,
            "%total_smem_size" => Self::SharedTotal,
            "%smid" | "%gridid" => Self::Zero,
            _ => return None,
        })
    }
}
