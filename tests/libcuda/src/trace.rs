//! What people read: a line for each call.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::sync::LazyLock;

use parking_lot::Mutex;

use crate::complain::complain;
use crate::error;
use crate::settings::SETTINGS;

static FILE: LazyLock<Option<Mutex<File>>> = LazyLock::new(open);

fn open() -> Option<Mutex<File>> {
    let path = SETTINGS.trace.as_ref()?;
    match File::options().create(true).append(true).open(path) {
        Ok(file) => Some(Mutex::new(file)),
        Err(error) => {
            complain(format_args!("{}: {error}", path.display()));
            None
        }
    }
}

/// Adds a call to the trace, where there is one.
pub(crate) fn call(name: &str, arguments: fmt::Arguments<'_>, code: i32) {
    if let Some(file) = &*FILE {
        let line = format!("{name}({arguments}) {}\n", error::name(code));
        // A trace that cannot be written must not change what the program sees.
        let _ = file.lock().write_all(line.as_bytes());
    }
}
