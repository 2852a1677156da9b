//! How a test loads the driver and reads from it.

use std::ffi::{CStr, c_char, c_int};
use std::path::{Path, PathBuf};
use std::time::Duration;

use libloading::Library;

use crate::SimCounts;

/// The file cargo makes of this package.
const FILE: &str = "libofframp_libcuda.so";

/// `offrampSimCard` and `offrampSimTensor`
type Choose = extern "C" fn(*const c_char) -> c_int;
/// `offrampSimSeed`, `offrampSimCopyDelay` and `offrampSimGraphs`
type Set = extern "C" fn(u64) -> c_int;
/// `offrampSimCounts`
type ReadCounts = extern "C" fn(*mut SimCounts) -> c_int;
/// `offrampSimReset`
type Reset = extern "C" fn() -> c_int;
/// `offrampSimLaunches`
type ReadLaunches = extern "C" fn(*mut c_char, usize, *mut usize) -> c_int;

/// The driver, loaded for the rest of the process.
///
/// Everything that asks for `libcuda.so` afterwards gets it.
#[derive(Clone, Copy)]
pub struct Simulator {
    card: Choose,
    tensor: Choose,
    mix: Set,
    delay: Set,
    graphs: Set,
    counts: ReadCounts,
    reset: Reset,
    launches: ReadLaunches,
}

/// Why the driver could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such file near the executable.
    #[error("expected {FILE} in {} or a directory above, found none", .0.display())]
    Missing(PathBuf),
    /// The loader refused.
    #[error("{}: {error}", .path.display())]
    Loader {
        /// The library.
        path: PathBuf,
        /// What the loader says.
        #[source]
        error: libloading::Error,
    },
    /// The running program has no path.
    #[error("the path of this program: {0}")]
    Executable(#[from] std::io::Error),
}

impl Simulator {
    /// Loads the library that lies beside this executable, or in a directory above: where cargo
    /// puts it for tests.
    ///
    /// # Errors
    /// [`LoadError`] where it is missing or is refused.
    pub fn load() -> Result<Self, LoadError> {
        Self::load_from(&Self::find()?)
    }

    /// The path of the library that [`Simulator::load`] loads; a child process that has it in
    /// `LD_PRELOAD` gets it as its driver.
    ///
    /// # Errors
    /// [`LoadError::Missing`] where there is none.
    pub fn find() -> Result<PathBuf, LoadError> {
        let executable = std::env::current_exe()?;
        let above = executable.ancestors().skip(1).take(3);
        let found = above.map(|directory| directory.join(FILE)).find(|path| path.is_file());
        found.ok_or(LoadError::Missing(executable))
    }

    /// Loads the library of this path.
    ///
    /// # Errors
    /// [`LoadError::Loader`] where it is refused.
    pub fn load_from(path: &Path) -> Result<Self, LoadError> {
        let refused = |error| LoadError::Loader { path: path.to_owned(), error };
        // SAFETY: the library of this package runs nothing when it is loaded.
        let library = unsafe { Library::new(path) }.map_err(refused)?;
        // Its threads and the program's other handles need it to the end.
        let library: &'static Library = Box::leak(Box::new(library));
        // SAFETY: the library exports each name with the signature it is asked for with.
        let simulator = unsafe {
            Self {
                card: *library.get(c"offrampSimCard".to_bytes_with_nul()).map_err(refused)?,
                tensor: *library.get(c"offrampSimTensor".to_bytes_with_nul()).map_err(refused)?,
                mix: *library.get(c"offrampSimSeed".to_bytes_with_nul()).map_err(refused)?,
                delay: *library.get(c"offrampSimCopyDelay".to_bytes_with_nul()).map_err(refused)?,
                graphs: *library.get(c"offrampSimGraphs".to_bytes_with_nul()).map_err(refused)?,
                counts: *library.get(c"offrampSimCounts".to_bytes_with_nul()).map_err(refused)?,
                reset: *library.get(c"offrampSimReset".to_bytes_with_nul()).map_err(refused)?,
                launches: *library
                    .get(c"offrampSimLaunches".to_bytes_with_nul())
                    .map_err(refused)?,
            }
        };
        Ok(simulator)
    }

    /// Makes every device a card of this name, whatever the environment says: `c"h100"`,
    /// `c"a100"`, `c"l4"` or `c"rtx4090"`. False where there is no such card, or a call has
    /// already met another one.
    #[must_use]
    pub fn choose_card(&self, name: &CStr) -> bool {
        (self.card)(name.as_ptr()) == 0
    }

    /// Lets tensor cores of all launches from now on sum up in this way, whatever the card:
    /// `c"exact"`, `c"ampere"` or `c"hopper"`. False where there is no such way.
    #[must_use]
    pub fn sum_as(&self, way: &CStr) -> bool {
        (self.tensor)(way.as_ptr()) == 0
    }

    /// Lets the blocks of all launches from now on run in the order of this seed; 0 is that of
    /// their numbers.
    pub fn mix_blocks(&self, seed: u64) {
        (self.mix)(seed);
    }

    /// Makes every copy that runs in a stream from now on take at least so long, while the stream
    /// waits: who reads too early, or writes again too early, is then sure to be wrong.
    pub fn delay_copies(&self, delay: Duration) {
        (self.delay)(delay.as_micros() as u64);
    }

    /// From now on there is memory for so many executable graphs, those that are there included.
    pub fn limit_graphs(&self, room: u64) {
        (self.graphs)(room);
    }

    /// What the program asked for since the start or the last reset.
    pub fn counts(&self) -> SimCounts {
        let mut counts = SimCounts::default();
        (self.counts)(&mut counts);
        counts
    }

    /// Begins again at zero, [`Simulator::launches`] included.
    pub fn reset(&self) {
        (self.reset)();
    }

    /// What the kernels did that ran since the start or the last reset, as JSON: an array of
    /// objects with `kernel`, `launches` and the fields of `offramp_ptxsim::Counts`, summed.
    ///
    /// Work under way is not in it: wait for it first.
    pub fn launches(&self) -> String {
        let mut bytes = 0;
        (self.launches)(std::ptr::null_mut(), 0, &mut bytes);
        // A kernel may end in between: leave room for more digits and names.
        let mut text = vec![0u8; bytes + 4096];
        (self.launches)(text.as_mut_ptr().cast(), text.len(), &mut bytes);
        let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
        text.to_string_lossy().into_owned()
    }
}
