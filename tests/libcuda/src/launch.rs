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
use crate::stream;
use crate::work::Work;

/// A launch, its parameters copied.
pub(crate) struct Call {
    kernel: Kernel,
    shape: Shape,
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
    let function = function::get(function)?;
    let stream = stream::get(stream)?;
    if !Arc::ptr_eq(&function.context, &stream.context) {
        return Err(Code::InvalidHandle);
    }
    // Parameters packed by the caller are a second way that nothing here needs.
    if !extra.is_null() {
        return Err(Code::NotSupported);
    }
    shape.check(&function)?;
    let kernel = function.kernel.clone();
    let params = pack(&kernel, params)?;
    let call = Arc::new(Call { kernel, shape, params });
    stream::issue(&stream, Work::Launch(call), &counts::LAUNCHES)
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

/// `cuLaunchKernelEx`: attributes that change nothing here are taken, all others are not.
pub(crate) fn launch_ex(
    config: Out<Config>,
    function: Handle,
    params: Out<Host>,
    extra: Out<Host>,
) -> Result {
    let config = config.get()?;
    for index in 0..config.attribute_count as usize {
        config.attributes.get_at(index)?.check()?;
    }
    let [grid_x, grid_y, grid_z, block_x, block_y, block_z, dynamic_shared_bytes] = config.shape;
    let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
    let shape = Shape { grid, block, dynamic_shared_bytes };
    launch(function, shape, config.stream, params, extra)
}

impl Attribute {
    fn check(&self) -> Result {
        // A cooperative launch that is asked not to be one, a serialisation that stays.
        let is_off = self.value[0] as u32 == 0;
        match self.id {
            // Nothing, the access policy window, and the priority: hints at most.
            0 | 1 | 8 => Ok(()),
            2 | 6 if is_off => Ok(()),
            _ => Err(Code::NotSupported),
        }
    }
}
