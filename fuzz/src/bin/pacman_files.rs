//! pacman's list of a package's files.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::pacman::parse_files;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    for (path, _) in parse_files(data).paths {
        assert_eq!(path.first(), Some(&b'/'));
    }
}
