//! The value of `security.capability`.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::scan::capabilities;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    if let Some(text) = capabilities(data) {
        assert!(text.contains('='));
    }
}
