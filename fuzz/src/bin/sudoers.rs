//! Rules of sudoers(5).
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::accounts::sudoers::parse;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    black_box(parse(data, b"/etc/sudoers"));
}
