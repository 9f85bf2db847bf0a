//! Archives that hold container images, in every form that an archive may be taken for.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;
use std::sync::Arc;

use driftcheck_agent::source::Kind;
use driftcheck_agent::source::archive;
use driftcheck_agent::source::bytes::Bytes;
use driftcheck_agent::source::file_system::FileSystem as _;
use driftcheck_agent::source::oci::{self, Image, Options};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let file: Bytes = Arc::new(data.to_vec());
    let options = Options {
        platform: None,
        reference: None,
        archive: archive::Options {
            keep: &|_, _| false,
            size_limit: 1 << 20,
            weak: false,
            progress: None,
        },
    };
    if let Ok(Some(images)) = oci::look_into(&file) {
        check(images.open(&options).ok());
    }
    for kind in [Kind::Oci, Kind::Docker] {
        check(oci::open_archive(&file, kind, &options).ok());
    }
}

fn check(image: Option<Image>) {
    if let Some(image) = image {
        assert!(image.identity.digest.starts_with("sha"));
        black_box(image.archive.children(image.archive.root()).unwrap());
    }
}
