//! dpkg's diversions.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::packages::dpkg::parse_diversions;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    black_box(parse_diversions(data));
}
