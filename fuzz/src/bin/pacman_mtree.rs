//! The mtree(5) of a pacman package, unpacked.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::pacman::parse_mtree;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    for path in parse_mtree(data).entries.keys() {
        assert_eq!(path.first(), Some(&b'/'));
    }
}
