//! qcow2 images: header, tables, compressed clusters.
#![cfg_attr(fuzzing, no_main)]

use std::sync::Arc;

use driftcheck_agent::source::bytes::{Bytes, ReadAt as _};
use driftcheck_agent::source::disk::qcow2::Qcow2;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let mut backing = |_: &_| Ok(Arc::new(vec![7_u8; 5000]) as Bytes);
    let Ok(disk) = Qcow2::open(Arc::new(data.to_vec()), &mut backing) else {
        return;
    };
    // The same bytes, however they are asked for.
    let length = usize::try_from(disk.size().min(64 << 10)).unwrap_or(0);
    for start in [0, disk.size() - length as u64] {
        let mut whole = vec![1; length];
        let read = disk.read_exact_at(&mut whole, start);
        let mut parts = vec![2; length];
        let mut at = start;
        let read_parts = parts.chunks_mut(777).try_for_each(|part| {
            let read = disk.read_exact_at(part, at);
            at += part.len() as u64;
            read
        });
        assert_eq!(read.is_ok(), read_parts.is_ok());
        assert!(read.is_err() || whole == parts);
    }
    assert!(disk.read_exact_at(&mut [0], disk.size()).is_err());
}
