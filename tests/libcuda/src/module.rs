//! Calls on modules.

use std::collections::HashMap;
use std::sync::Arc;

use offramp_ptxsim::{Module, architecture};

use parking_lot::Mutex;

use crate::capture;
use crate::complain::complain;
use crate::context::Context;
use crate::counts;
use crate::error::{Code, Result};
use crate::ffi::{Handle, Host, Out, Text};
use crate::function::{FUNCTIONS, Function};
use crate::ptx;
use crate::table::Table;

/// Modules of all contexts.
pub(crate) static MODULES: Table<Loaded> = Table::new();

/// What a binary image begins with: an ELF file, and a container of several images.
const BINARY: [[u8; 4]; 2] = [*b"\x7fELF", 0xba55_ed50_u32.to_le_bytes()];

/// A module in a context.
pub(crate) struct Loaded {
    pub(crate) context: Arc<Context>,
    module: Module,
    /// The handles of its functions: asking twice gives the same.
    functions: Mutex<HashMap<String, Handle>>,
}

/// `cuModuleLoadData`
pub(crate) fn load(out: Out<Handle>, image: Host) -> Result {
    load_with(out, image, JitOptions { count: 0, options: Out::null(), values: Out::null() })
}

/// `cuModuleLoadDataEx`
pub(crate) fn load_with(out: Out<Handle>, image: Host, options: JitOptions) -> Result {
    out.check()?;
    let context = Context::current()?;
    capture::forbid_unsafe(&context)?;
    counts::SYNCS.add();
    options.log(INFO_LOG, "")?;
    let text = read(image)?;
    match parse(&text) {
        Ok(module) => {
            options.log(ERROR_LOG, "")?;
            counts::MODULES.add();
            let functions = Mutex::default();
            out.set(MODULES.insert(Arc::new(Loaded { context, module, functions })))
        }
        Err((code, what)) => {
            complain(format_args!("{what}"));
            options.log(ERROR_LOG, &what)?;
            Err(code)
        }
    }
}

fn read(image: Host) -> Result<String> {
    if image.address() == 0 {
        return Err(Code::InvalidValue);
    }
    if BINARY.iter().any(|magic| image.starts_with(magic)) {
        complain(format_args!("expected a module of PTX text, found a binary"));
        return Err(Code::InvalidImage);
    }
    Text::from(image).read()
}

fn parse(text: &str) -> std::result::Result<Module, (Code, String)> {
    ptx::check_version(text)?;
    let module = Module::parse("module", text).map_err(|e| (Code::InvalidPtx, e.to_string()))?;
    ptx::check_target(module.target())?;
    Ok(module)
}

/// Options of the compiler in the driver: only its logs matter here.
#[derive(Clone, Copy)]
pub(crate) struct JitOptions {
    pub(crate) count: u32,
    pub(crate) options: Out<i32>,
    pub(crate) values: Out<Host>,
}

/// `CU_JIT_INFO_LOG_BUFFER`; its size is the option after it.
const INFO_LOG: i32 = 3;
/// `CU_JIT_ERROR_LOG_BUFFER`; its size is the option after it.
const ERROR_LOG: i32 = 5;

impl JitOptions {
    /// Writes a log where the caller wants it, and how long it became.
    fn log(self, option: i32, text: &str) -> Result {
        let (Some(buffer), Some(size)) = (self.find(option)?, self.find(option + 1)?) else {
            return Ok(());
        };
        let room = self.values.get_at(size)?.address() as usize;
        let buffer = Out::from(self.values.get_at(buffer)?);
        if room == 0 {
            return Ok(());
        }
        buffer.set_text(text, room)?;
        self.values.set_at(size, Host::at(text.len().min(room - 1) as u64))
    }

    /// Where an option is.
    fn find(self, option: i32) -> Result<Option<usize>> {
        for index in 0..self.count as usize {
            if self.options.get_at(index)? == option {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }
}

/// `cuModuleUnload`
pub(crate) fn unload(module: Handle) -> Result {
    let loaded = MODULES.remove(module)?;
    for function in loaded.functions.lock().values() {
        FUNCTIONS.remove(*function)?;
    }
    loaded.context.check()
}

/// `cuModuleGetFunction`
pub(crate) fn function(out: Out<Handle>, module: Handle, name: Text) -> Result {
    out.check()?;
    let loaded = MODULES.get(module)?;
    loaded.context.check()?;
    let name = name.read()?;
    let kernel = loaded.module.kernel(&name).ok_or(Code::NotFound)?;
    let mut functions = loaded.functions.lock();
    let handle = *functions.entry(name).or_insert_with(|| {
        let ptx_version = architecture(loaded.module.target()).unwrap_or(0);
        let function = Function::new(&loaded.context, kernel.clone(), ptx_version);
        FUNCTIONS.insert(Arc::new(function))
    });
    out.set(handle)
}
