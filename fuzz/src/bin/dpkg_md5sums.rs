//! dpkg's `md5sums`.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::dpkg::parse_md5sums;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    for digest in parse_md5sums(data).found.values() {
        assert!(digest.starts_with("md5:") && digest.len() == 36);
    }
}
