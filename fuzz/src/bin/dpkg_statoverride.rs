//! dpkg's overrides of owners and modes.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::dpkg::parse_statoverride;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    for stated in parse_statoverride(data).found {
        assert!(stated.mode <= 0o7777);
    }
}
