//! The text of `/proc/self/mountinfo`.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::sys::Mounts;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let mounts = Mounts::parse(&String::from_utf8_lossy(data));
    black_box(mounts.get(1));
    black_box(mounts.all_local_towards(b"/", data));
}
