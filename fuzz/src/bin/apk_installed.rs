//! apk's database of installed packages, and its `world`.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::packages::Wanted;
use driftcheck_agent::packages::apk::{parse_installed, parse_world};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    black_box(parse_world(data));
    let all = parse_installed(data, Wanted::PackagesAndFiles);
    assert!(all.files.iter().all(|file| file.package < all.packages.len()));
    let packages = parse_installed(data, Wanted::Packages).packages;
    assert_eq!(packages.len(), all.packages.len());
}
