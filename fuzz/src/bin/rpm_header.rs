//! An rpm header, and the package, files and signature that it describes.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::packages::rpm::{header, package, signature};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    black_box(signature::describe(data).ok());
    if let Ok(header) = header::parse(data) {
        black_box(package::package(&header).ok());
        let mut files = Vec::new();
        black_box(package::files(&header, 0, &mut files).is_ok());
        black_box(signature::of(&header).ok());
    }
}
