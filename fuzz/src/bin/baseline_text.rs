//! A baseline's lines, so that the fuzzer need not learn to compress.
#![cfg_attr(fuzzing, no_main)]

use baseline_format::{BaselineReader, Reference as _};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let frame = frame(data);
    let Ok(mut reader) = BaselineReader::open(&frame[..]) else {
        return;
    };
    while let Some(line) = reader.current() {
        assert_eq!(line.to_entry().to_line(), line.as_str().as_bytes());
        if reader.advance().is_err() {
            return;
        }
    }
    assert!(reader.end().is_some());
}

/// A zstd frame of blocks that are not compressed.
fn frame(data: &[u8]) -> Vec<u8> {
    // No checksum, no size, a window of 1 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 10 << 3];
    let chunks = data.chunks(64 << 10);
    let last = chunks.len().saturating_sub(1);
    for (at, chunk) in chunks.enumerate() {
        let header = chunk.len() << 3 | usize::from(at == last);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(chunk);
    }
    if data.is_empty() {
        frame.extend_from_slice(&[1, 0, 0]);
    }
    frame
}
