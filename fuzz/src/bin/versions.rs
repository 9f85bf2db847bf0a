//! The order of versions: what is before is not after, and nothing is before itself.
#![cfg_attr(fuzzing, no_main)]

use driftcheck_agent::packages::Ecosystem;
use driftcheck_agent::packages::version::compare;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

/// Versions are separated by line ends.
pub(crate) fn run(data: &[u8]) {
    let mut versions = data.splitn(3, |byte| *byte == b'\n');
    let (a, b, c) = (
        versions.next().unwrap_or_default(),
        versions.next().unwrap_or_default(),
        versions.next().unwrap_or_default(),
    );
    for ecosystem in Ecosystem::ALL {
        for version in [a, b, c] {
            assert!(compare(ecosystem, version, version).is_eq(), "{ecosystem:?}");
        }
        assert_eq!(
            compare(ecosystem, a, b),
            compare(ecosystem, b, a).reverse(),
            "{ecosystem:?}"
        );
    }
}
