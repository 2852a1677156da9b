//! Calls that launch kernels.

use std::sync::Arc;

use offramp_ptxsim::{Fault, Kernel, Launch};

use crate::card::card;
use crate::counts;
use crate::device::{BLOCK_MAX, GRID_MAX, THREADS_MAX};
use crate::error::{Code, Result};
use crate::ffi::{Handle, Host, Out};
use crate::function::{self, Function};
use crate::heap::Heap;
use crate::profile;
use crate::settings::SETTINGS;
use crate::stream;
use crate::work::Work;

/// The oldest driver that records launches which may begin early: CUDA 12.3.
const EARLY_CAPTURE_VERSION_MIN: i32 = 12_030;
/// `CU_LAUNCH_ATTRIBUTE_COOPERATIVE`
const COOPERATIVE: u32 = 2;
/// `CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION`; it takes a Hopper.
const SERIALISATION: u32 = 6;

/// A launch, its parameters copied.
pub(crate) struct Call {
    kernel: Kernel,
    shape: Shape,
    /// It may begin before the launch in front of it has ended.
    is_early: bool,
    params: Vec<u8>,
}

/// How many threads, and the shared memory each block gets beside its own.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic_shared_bytes: u32,
}

impl Call {
    /// Runs it and adds up what it did.
    pub(crate) fn run(&self, heap: &Heap) -> std::result::Result<(), Fault> {
        let Shape { grid, block, dynamic_shared_bytes } = self.shape;
        let launch = Launch {
            kernel: &self.kernel,
            grid,
            block,
            dynamic_shared_bytes,
            params: &self.params,
            is_early: self.is_early,
            chip: card().chip(),
        };
        let counts = offramp_ptxsim::launch(&heap.memory, &launch)?;
        profile::add(self.kernel.name(), counts);
        Ok(())
    }
}

impl Shape {
    /// Fails for a shape that the device or the function does not take.
    fn check(&self, function: &Function) -> Result {
        let is_within = |size: [u32; 3], max: [u32; 3]| {
            size.iter().zip(max).all(|(&size, max)| (1..=max).contains(&size))
        };
        let threads = self.block.iter().product::<u32>();
        if !is_within(self.grid, GRID_MAX) || !is_within(self.block, BLOCK_MAX) {
            return Err(Code::InvalidValue);
        }
        if threads > THREADS_MAX || self.dynamic_shared_bytes > function.dynamic_shared_bytes_max()
        {
            return Err(Code::InvalidValue);
        }
        if threads > function.kernel.threads_max() {
            return Err(Code::LaunchOutOfResources);
        }
        Ok(())
    }
}

/// `cuLaunchKernel`
pub(crate) fn launch(
    function: Handle,
    shape: Shape,
    stream: Handle,
    params: Out<Host>,
    extra: Out<Host>,
) -> Result {
    put(function, (shape, false), stream, params, extra)
}

/// Puts a launch into a stream; `is_early`: it may begin before the one in front of it has ended.
fn put(
    function: Handle,
    (shape, is_early): (Shape, bool),
    stream: Handle,
    params: Out<Host>,
    extra: Out<Host>,
) -> Result {
    let function = function::get(function)?;
    let stream = stream::get(stream)?;
    if !Arc::ptr_eq(&function.context, &stream.context) {
        return Err(Code::InvalidHandle);
    }
    if is_early && SETTINGS.driver_version < EARLY_CAPTURE_VERSION_MIN {
        stream::forbid_capture(&stream)?;
    }
    // Parameters packed by the caller are a second way that nothing here needs.
    if !extra.is_null() {
        return Err(Code::NotSupported);
    }
    shape.check(&function)?;
    let kernel = function.kernel.clone();
    let params = pack(&kernel, params)?;
    let call = Arc::new(Call { kernel, shape, is_early, params });
    stream::issue(&stream, Work::Launch(call), &counts::LAUNCHES)?;
    if is_early {
        counts::EARLY_LAUNCHES.add();
    }
    Ok(())
}

/// The parameters, laid out as the kernel reads them.
fn pack(kernel: &Kernel, from: Out<Host>) -> Result<Vec<u8>> {
    let mut packed = vec![0; kernel.params_bytes() as usize];
    for (index, param) in kernel.params().iter().enumerate() {
        let value = from.get_at(index)?.read(param.bytes as usize)?;
        packed[param.offset as usize..][..value.len()].copy_from_slice(&value);
    }
    Ok(packed)
}

/// `CUlaunchConfig`
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Config {
    shape: [u32; 7],
    stream: Handle,
    attributes: Out<Attribute>,
    attribute_count: u32,
}

/// `CUlaunchAttribute`
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Attribute {
    id: u32,
    value: [u64; 8],
}

/// `cuLaunchKernelEx`: programmatic stream serialisation is taken, and kept by graphs; so are
/// attributes that change nothing here, and all others are not.
pub(crate) fn launch_ex(
    config: Out<Config>,
    function: Handle,
    params: Out<Host>,
    extra: Out<Host>,
) -> Result {
    let config = config.get()?;
    let mut is_early = false;
    for index in 0..config.attribute_count as usize {
        is_early |= config.attributes.get_at(index)?.allows_early()?;
    }
    let [grid_x, grid_y, grid_z, block_x, block_y, block_z, dynamic_shared_bytes] = config.shape;
    let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
    let shape = Shape { grid, block, dynamic_shared_bytes };
    put(function, (shape, is_early), config.stream, params, extra)
}

impl Attribute {
    /// Whether it lets the launch begin early; fails for what is not supported.
    fn allows_early(&self) -> Result<bool> {
        let is_off = self.value[0] as u32 == 0;
        match self.id {
            // Nothing, the access policy window, and the priority: hints at most.
            0 | 1 | 8 => Ok(false),
            COOPERATIVE | SERIALISATION if is_off => Ok(false),
            SERIALISATION if card().capability >= (9, 0) => Ok(true),
            _ => Err(Code::NotSupported),
        }
    }
}
