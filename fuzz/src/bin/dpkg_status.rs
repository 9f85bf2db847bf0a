//! dpkg's `status`, and the same stanzas in `status.d` and apt's `extended_states`.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::packages::dpkg::{parse_extended_states, parse_status, parse_status_d};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    black_box(parse_status(data));
    black_box(parse_status_d(data));
    black_box(parse_extended_states(data));
}
