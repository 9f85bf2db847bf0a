//! Whether a baseline can be trusted: keys, signatures, whose count, and what was trusted before.
//!
//! [`judge`] says what the signatures on a baseline are worth, [`gate`] what follows from it, [`sign`] makes them.
//! `docs/signatures.md` describes all three for operators.
//!
//! Refused: a key from anywhere but the operator's own directory, a statement that is not true of the baseline at
//! hand in every part, a signature outside what its key was given for, and an older baseline in place of a newer
//! one. A signature that is not understood counts for nothing.

pub mod anchors;
pub mod commands;
mod config;
mod doubt;
pub mod gate;
mod guarded;
pub mod issued;
mod judge;
pub mod key;
pub mod marks;
mod pem;
pub mod sign;
#[cfg(test)]
mod testing;

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

pub use doubt::Doubt;
pub use judge::{Trust, Trusted, judge};

/// Where the signatures are that are not attached to a baseline.
#[must_use]
pub fn beside(file: &Path) -> PathBuf {
    with_suffix(file, ".sig")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens a regular file for reading; waits for no FIFO.
fn open_regular(path: &Path) -> io::Result<File> {
    // The flag's bit is the same number in both types.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is not a regular file"))
    }
}

/// An error of the system as a lower-case fragment.
fn told(why: &io::Error) -> String {
    rustix::io::Errno::from_io_error(why).map_or_else(|| why.to_string(), crate::sys::explain)
}
