//! Decompression with a limit.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::pacman::gunzip;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    const LIMIT: u64 = 1 << 16;
    if let Ok(content) = gunzip(data, LIMIT) {
        assert!(content.len() as u64 <= LIMIT);
    }
}
