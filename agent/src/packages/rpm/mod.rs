//! The databases of rpm: Fedora, RHEL, SUSE and their relatives.

use std::fmt;

pub mod bdb;
pub mod header;
pub mod ndb;
pub mod package;
pub mod signature;
pub mod sqlite;
pub mod tag;
pub mod version;
pub mod wal;

#[cfg(test)]
pub(crate) mod testing;

/// Longest database in bytes. A full desktop has some 200 MB.
const LONGEST: u64 = 1 << 30;

/// What a database reader calls with each record: its number, and its blob or why it cannot be had.
pub type Take<'a> = dyn FnMut(u32, Result<&[u8], Malformed>) + 'a;

/// Why a database, or something in it, cannot be trusted: a lower-case fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl Malformed {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Four bytes at an offset, if they are there.
fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Bytes in hexadecimal.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| {
        char::from(if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        })
    };
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}
