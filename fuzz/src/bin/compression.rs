//! Compressed streams, and what the tar reader says of what is in them.
#![cfg_attr(fuzzing, no_main)]

use std::io::{self, Read as _};

use driftcheck_agent::source::compression::decompress_recognised;
use driftcheck_agent::source::tar::{End, TarReader};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

/// A short stream can be long when it is decompressed: more than this is not read.
const MOST: u64 = 4 << 20;

pub(crate) fn run(data: &[u8]) {
    if let Ok((_, stream)) = decompress_recognised(data) {
        io::copy(&mut stream.take(MOST), &mut io::sink()).ok();
    }
    if let Ok((_, stream)) = decompress_recognised(data) {
        let mut reader = TarReader::new(stream.take(MOST), End::MayBeMissing);
        while let Ok(Some(_)) = reader.next_member() {}
    }
}
