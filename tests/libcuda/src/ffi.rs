//! What crosses the boundary: pointers of the caller, each with the promise that comes with it.
//!
//! Callers of a C driver promise that a pointer that is not null points to what the reference
//! says. Nothing is kept of such a pointer after its call, copies that the host waits for aside.

use std::ffi::{CStr, c_char, c_void};
use std::fmt;

use crate::error::{Code, Result};

/// An opaque handle as the caller sees it: a number, looked up in a table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub(crate) struct Handle(pub(crate) usize);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// An address of device memory.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Address(pub(crate) u64);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Where the caller wants an answer.
#[repr(transparent)]
pub(crate) struct Out<T>(*mut T);

impl<T> Clone for Out<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Out<T> {}

impl<T> fmt::Debug for Out<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:p}", self.0)
    }
}

impl<T> Out<T> {
    /// No place.
    pub(crate) const fn null() -> Self {
        Self(std::ptr::null_mut())
    }

    /// Whether the caller wants none.
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    /// Fails for a null pointer.
    pub(crate) fn check(self) -> Result {
        if self.is_null() { Err(Code::InvalidValue) } else { Ok(()) }
    }

    /// Answers; fails for a null pointer.
    pub(crate) fn set(self, value: T) -> Result {
        self.check()?;
        // SAFETY: the caller promises room for a `T`; it may be unaligned in a C struct.
        unsafe { self.0.write_unaligned(value) };
        Ok(())
    }

    /// Answers element `index` of an array that long.
    pub(crate) fn set_at(self, index: usize, value: T) -> Result {
        Self(self.0.wrapping_add(index)).set(value)
    }
}

impl<T: Copy> Out<T> {
    /// What is there; fails for a null pointer.
    pub(crate) fn get(self) -> Result<T> {
        self.check()?;
        // SAFETY: the caller promises an initialised `T` where a call reads and writes.
        Ok(unsafe { self.0.read_unaligned() })
    }

    /// Element `index` of an array that long.
    pub(crate) fn get_at(self, index: usize) -> Result<T> {
        Self(self.0.wrapping_add(index)).get()
    }
}

impl Out<c_char> {
    /// Writes text and its end, cut to fit `len` bytes.
    pub(crate) fn set_text(self, text: &str, len: usize) -> Result {
        let room = len.checked_sub(1).ok_or(Code::InvalidValue)?;
        let end = text.len().min(room);
        for (at, &byte) in text.as_bytes()[..end].iter().enumerate() {
            self.set_at(at, byte as c_char)?;
        }
        self.set_at(end, 0)
    }
}

/// Text of the caller.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Text(*const c_char);

impl Text {
    /// The text; fails for a null pointer.
    pub(crate) fn read(self) -> Result<String> {
        if self.0.is_null() {
            return Err(Code::InvalidValue);
        }
        // SAFETY: the caller promises a string that ends.
        Ok(unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned())
    }
}

impl From<Host> for Text {
    fn from(host: Host) -> Self {
        Self(host.0.cast_const().cast())
    }
}

impl From<Host> for Out<c_char> {
    fn from(host: Host) -> Self {
        Self(host.0.cast())
    }
}

/// Memory of the host that the caller names in a call.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Host(*mut c_void);

// SAFETY: only its address travels; whoever reads or writes there holds the caller's promise.
unsafe impl Send for Host {}
// SAFETY: as above.
unsafe impl Sync for Host {}

impl Host {
    /// The memory at an address.
    pub(crate) fn at(address: u64) -> Self {
        Self(std::ptr::with_exposed_provenance_mut(address as usize))
    }

    /// Its address.
    pub(crate) fn address(self) -> u64 {
        self.0.expose_provenance() as u64
    }

    /// A copy of its bytes; fails for a null pointer.
    pub(crate) fn read(self, bytes: usize) -> Result<Vec<u8>> {
        if self.0.is_null() {
            return Err(Code::InvalidValue);
        }
        let mut copy = vec![0; bytes];
        // SAFETY: the caller promises that many readable bytes; the copy is new.
        unsafe { self.0.cast::<u8>().copy_to_nonoverlapping(copy.as_mut_ptr(), bytes) };
        Ok(copy)
    }

    /// Whether it begins with these bytes; reads no further than the first that differs.
    pub(crate) fn starts_with(self, bytes: &[u8]) -> bool {
        bytes.iter().enumerate().all(|(at, &byte)| {
            // SAFETY: the caller promises bytes up to a 0, and all before were as given, not 0.
            unsafe { self.0.cast::<u8>().add(at).read() == byte }
        })
    }

    /// Writes bytes there, while the caller waits.
    pub(crate) fn write(self, bytes: &[u8]) {
        // SAFETY: the caller promises room for them and waits until they are written.
        unsafe { self.0.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
    }
}
