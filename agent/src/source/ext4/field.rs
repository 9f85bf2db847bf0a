//! Numbers in foreign bytes, and what is said of wrong ones.

use std::fmt;
use std::ops::Range;

use crate::source::file_system::Fault;

/// 16 bits at `at`.
pub(super) fn le16(bytes: &[u8], at: usize) -> Result<u16, Fault> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// 32 bits at `at`.
pub(super) fn le32(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// 32 bits at `at`, big endian, as the journal has them.
pub(super) fn be32(bytes: &[u8], at: usize) -> Result<u32, Fault> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// `N` bytes at `at`.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Fault> {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .copied()
        .ok_or_else(|| Fault::new("cut short"))
}

/// A part.
pub(super) fn part(bytes: &[u8], range: Range<usize>) -> Result<&[u8], Fault> {
    bytes.get(range).ok_or_else(|| Fault::new("cut short"))
}

/// A number whose upper and lower 32 bits are kept apart.
pub(super) fn joined(high: impl Into<u64>, low: u32) -> u64 {
    high.into() << 32 | u64::from(low)
}

/// Says where a fault was found.
pub(super) trait At<T> {
    /// Puts the place before the reason. Give `format_args!`, which costs nothing where there is no fault.
    fn at(self, place: fmt::Arguments<'_>) -> Result<T, Fault>;
}

impl<T> At<T> for Result<T, Fault> {
    fn at(self, place: fmt::Arguments<'_>) -> Self {
        self.map_err(|why| Fault(format!("{place}: {why}")))
    }
}

/// A fault with this reason, unless `sound`.
pub(super) fn ensure(sound: bool, why: fmt::Arguments<'_>) -> Result<(), Fault> {
    if sound {
        Ok(())
    } else {
        Err(Fault(why.to_string()))
    }
}

/// What is wrong when a checksum is.
pub(super) fn ensure_checksum(kept: u32, computed: u32) -> Result<(), Fault> {
    ensure(kept == computed, format_args!("checksum does not match"))
}
