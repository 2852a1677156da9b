//! What the problems of all kernels are made of: memory, parameters, vectors in their places.

use std::cell::Cell;
use std::fmt;
use std::sync::LazyLock;

use half::{bf16, f16};
use offramp_ptxsim::{
    Chip, Contents, Fault, Kernel, Launch, Memory, Module, ParamKind, launch, launch_watched,
};

/// Solves a problem with a kernel and checks the answer.
pub(crate) type Run = fn(&Kernel, Elem) -> Result<(), Flaw>;

/// Why a kernel is not right.
#[derive(Debug)]
pub(crate) enum Flaw {
    Fault(Box<Fault>),
    Wrong(String),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// The storage of activations and matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elem {
    F16,
    Bf16,
}

impl Elem {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    pub(crate) fn bits(self, x: f32) -> u16 {
        match self {
            Self::F16 => f16::from_f32(x).to_bits(),
            Self::Bf16 => bf16::from_f32(x).to_bits(),
        }
    }

    pub(crate) fn value(self, bits: u16) -> f64 {
        match self {
            Self::F16 => f16::from_bits(bits).to_f64(),
            Self::Bf16 => bf16::from_bits(bits).to_f64(),
        }
    }

    /// What rounding to it may cost, and sums in f32: a part of the value, and an absolute error.
    pub(crate) fn rounding(self) -> [f64; 2] {
        [1.05 * self.half_unit(), 1e-4]
    }

    /// Half a unit in the last place, as a part of the value.
    pub(crate) fn half_unit(self) -> f64 {
        match self {
            Self::F16 => 2f64.powi(-11),
            Self::Bf16 => 2f64.powi(-8),
        }
    }
}

/// A parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Arg {
    P(u64),
    U(u32),
    F(f32),
}

/// Writes a byte of each of so many sectors as it is.
static TOUCH: LazyLock<Module> = LazyLock::new(|| {
    let text = "
.version 8.0
.target sm_80
.address_size 64
.visible .entry touch(.param .u64 p0, .param .u64 p1)
{
    .reg .pred %p<2>;
    .reg .b16 %rs<2>;
    .reg .b32 %r<4>;
    .reg .b64 %rd<6>;
    ld.param.u64 %rd1, [p0];
    ld.param.u64 %rd2, [p1];
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %tid.x;
    mad.lo.u32 %r3, %r1, 64, %r2;
    cvt.u64.u32 %rd3, %r3;
    setp.ge.u64 %p1, %rd3, %rd2;
    @%p1 bra $END;
    shl.b64 %rd4, %rd3, 5;
    add.s64 %rd5, %rd1, %rd4;
    ld.global.u8 %rs1, [%rd5];
    st.global.u8 [%rd5], %rs1;
$END:
    ret;
}
";
    Module::parse("touch", text).expect("PTX")
});

thread_local! {
    /// The order of blocks in the problems of this thread.
    pub(crate) static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Memory, and numbers to fill it with.
pub(crate) struct World {
    pub(crate) memory: Memory,
    pub(crate) random: fastrand::Rng,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { memory: Memory::new(), random: fastrand::Rng::with_seed(5) }
    }

    /// Room that nothing was written to.
    pub(crate) fn room(&self, bytes: usize) -> u64 {
        self.memory.alloc(bytes as u64, Contents::Undefined).expect("memory")
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> u64 {
        let address = self.room(bytes.len().max(1));
        self.memory.write(address, bytes).expect("a block");
        address
    }

    /// Words that kernels write to.
    pub(crate) fn words(&self, words: &[u32]) -> u64 {
        let address = self.fixed(words);
        self.touch(address, words.len() * 4);
        address
    }

    /// Words that no kernel writes to.
    fn fixed(&self, words: &[u32]) -> u64 {
        self.bytes(&words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Words that the host sees while a kernel runs.
    pub(crate) fn mapped(&self, words: &[u32]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let address = self.memory.alloc(bytes.len() as u64, Contents::Defined).expect("memory");
        self.memory.write(address, &bytes).expect("a block");
        address
    }

    pub(crate) fn floats(&self, floats: &[f32]) -> u64 {
        self.fixed(&floats.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
    }

    /// Has a kernel write what is there.
    fn touch(&self, address: u64, bytes: usize) {
        let sectors = bytes.div_ceil(32) as u32;
        let params = [address.to_le_bytes(), u64::from(sectors).to_le_bytes()].concat();
        let (grid, block) = ([sectors.div_ceil(64).max(1), 1, 1], [64, 1, 1]);
        let kernel = TOUCH.kernel("touch").expect("the kernel");
        let (params, chip) = (&params[..], Chip::default());
        let dynamic_shared_bytes = 0;
        let is_early = false;
        let launched = Launch { kernel, grid, block, dynamic_shared_bytes, params, is_early, chip };
        launch(&self.memory, &launched).expect("no fault");
    }

    pub(crate) fn read<const N: usize>(&self, address: u64, count: usize) -> Vec<[u8; N]> {
        let mut bytes = vec![0; count * N];
        self.memory.read(address, &mut bytes).expect("a block");
        bytes.chunks_exact(N).map(|chunk| chunk.try_into().expect("a chunk")).collect()
    }

    pub(crate) fn read_words(&self, address: u64, count: usize) -> Vec<u32> {
        self.read(address, count).into_iter().map(u32::from_le_bytes).collect()
    }

    /// Numbers in [-1, 1].
    pub(crate) fn numbers(&mut self, count: usize) -> Vec<f32> {
        std::iter::repeat_with(|| self.random.f32() * 2.0 - 1.0).take(count).collect()
    }

    /// A matrix of random numbers that kernels write to.
    pub(crate) fn matrix(&mut self, elem: Elem, rows: usize, width: usize) -> Matrix {
        let matrix = self.weights(elem, rows, width);
        self.touch(matrix.address, matrix.bits.len() * 2);
        matrix
    }

    /// A matrix of random numbers that no kernel writes to.
    pub(crate) fn weights(&mut self, elem: Elem, rows: usize, width: usize) -> Matrix {
        let bits: Vec<u16> = self.numbers(rows * width).iter().map(|&x| elem.bits(x)).collect();
        let address = self.bytes(&bits.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>());
        Matrix { address, elem, width, bits }
    }

    /// `count` different numbers below `below` in no order, on the host and in memory.
    pub(crate) fn map(&mut self, count: usize, below: usize) -> (Vec<u32>, u64) {
        let mut map: Vec<u32> = (0..below as u32).collect();
        self.random.shuffle(&mut map);
        map.truncate(count);
        let address = self.words(&map);
        (map, address)
    }

    /// Launches with the parameters in their order, as early as the launch in front lets it.
    pub(crate) fn launch(
        &self,
        kernel: &Kernel,
        shape: [[u32; 3]; 2],
        dynamic_shared_bytes: u32,
        args: &[Arg],
    ) -> Result<(), Flaw> {
        self.launch_watched(kernel, shape, dynamic_shared_bytes, args, &|| ())
    }

    /// [`World::launch`] for a host that looks on.
    pub(crate) fn launch_watched(
        &self,
        kernel: &Kernel,
        [grid, block]: [[u32; 3]; 2],
        dynamic_shared_bytes: u32,
        args: &[Arg],
        look: &(dyn Fn() + Sync),
    ) -> Result<(), Flaw> {
        let mut params = vec![0; kernel.params_bytes() as usize];
        assert_eq!(kernel.params().len(), args.len(), "{}", kernel.name());
        for (param, arg) in kernel.params().iter().zip(args) {
            let at = &mut params[param.offset as usize..][..param.bytes as usize];
            match (param.kind, *arg) {
                (ParamKind::Pointer, Arg::P(x)) => at.copy_from_slice(&x.to_le_bytes()),
                (ParamKind::U32, Arg::U(x)) => at.copy_from_slice(&x.to_le_bytes()),
                (ParamKind::F32, Arg::F(x)) => at.copy_from_slice(&x.to_le_bytes()),
                (kind, arg) => panic!("{}: {arg:?} for a {kind:?}", kernel.name()),
            }
        }
        let params = &params[..];
        let chip = Chip { seed: SEED.get(), ..Chip::default() };
        let is_early = true;
        let launched = Launch { kernel, grid, block, dynamic_shared_bytes, params, is_early, chip };
        let outcome = launch_watched(&self.memory, &launched, look);
        outcome.map(|_| ()).map_err(|fault| Flaw::Fault(Box::new(fault)))
    }
}

/// Vectors in memory, and as they were first.
#[derive(Clone)]
pub(crate) struct Matrix {
    pub(crate) address: u64,
    elem: Elem,
    width: usize,
    bits: Vec<u16>,
}

impl Matrix {
    /// Row `row` as it was first.
    pub(crate) fn row(&self, row: u32) -> Vec<f64> {
        let row = &self.bits[row as usize * self.width..][..self.width];
        row.iter().map(|&bits| self.elem.value(bits)).collect()
    }

    /// Row `row` as it is now.
    pub(crate) fn found(&self, world: &World, row: u32) -> Vec<f64> {
        let at = self.address + u64::from(row) * self.width as u64 * 2;
        let bits = world.read(at, self.width).into_iter().map(u16::from_le_bytes);
        bits.map(|bits| self.elem.value(bits)).collect()
    }

    /// Makes an element of a row infinite.
    pub(crate) fn spoil(&mut self, world: &World, row: u32) {
        self.bits[row as usize * self.width + 5] = self.elem.bits(f32::INFINITY);
        self.restore(world);
    }

    /// Puts everything back.
    pub(crate) fn restore(&self, world: &World) {
        let bytes: Vec<u8> = self.bits.iter().flat_map(|x| x.to_le_bytes()).collect();
        world.memory.write(self.address, &bytes).expect("a block");
    }

    /// Fails unless the rows of `map` hold `expected`, and all others what they held first.
    pub(crate) fn check(
        &self,
        world: &World,
        map: &[u32],
        tolerance: [f64; 2],
        expected: impl Fn(usize) -> Vec<f64>,
    ) -> Result<(), Flaw> {
        let now = world.read(self.address, self.bits.len());
        let now: Vec<u16> = now.into_iter().map(u16::from_le_bytes).collect();
        for (row, (now, first)) in
            now.chunks(self.width).zip(self.bits.chunks(self.width)).enumerate()
        {
            match map.iter().position(|&place| place as usize == row) {
                None if now == first => {}
                None => return Err(Flaw::Wrong(format!("row {row} of no token has changed"))),
                Some(token) => {
                    let found: Vec<f64> = now.iter().map(|&bits| self.elem.value(bits)).collect();
                    near(&format!("token {token}"), &found, &expected(token), tolerance)?;
                }
            }
        }
        Ok(())
    }
}

/// Fails unless the numbers are as expected, up to a part of their size plus an absolute error.
pub(crate) fn near(
    what: &str,
    found: &[f64],
    expected: &[f64],
    [part, absolute]: [f64; 2],
) -> Result<(), Flaw> {
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let close = (found - expected).abs() <= part * expected.abs() + absolute;
        if !close {
            let what = format!("{what}, element {i}: expected {expected}, found {found}");
            return Err(Flaw::Wrong(what));
        }
    }
    same(what, &found.len(), &expected.len())
}

/// Fails unless both are equal.
pub(crate) fn same<T: PartialEq + fmt::Debug + ?Sized>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), Flaw> {
    if found == expected {
        return Ok(());
    }
    Err(Flaw::Wrong(format!("{what}: expected {expected:?}, found {found:?}")))
}
