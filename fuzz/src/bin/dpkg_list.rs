//! dpkg's lists of a package's files.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::dpkg::parse_list;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    for path in parse_list(data).found {
        assert_eq!(path.first(), Some(&b'/'));
    }
}
