//! Partition tables, and what a disk is recognised as.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;
use std::io;

use driftcheck_agent::source::bytes::ReadAt;
use driftcheck_agent::source::disk::partitions::table;
use driftcheck_agent::source::disk::recognise::recognise;

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let disk = Disk(data);
    if let Ok(kind) = recognise(&disk) {
        black_box(kind.way_out("/disk".as_ref()));
    }
    if let Ok(Some(table)) = table(&disk) {
        let mut partitions: Vec<_> = table.partitions.iter().map(|it| (it.start, it.size)).collect();
        partitions.sort_unstable();
        let mut end = 512;
        for (start, size) in partitions {
            assert!(start >= end && size > 0);
            end = start + size;
        }
        assert!(end <= disk.size());
        black_box(table.root(None).is_ok());
        black_box(table.root(Some("1")).is_ok());
    }
}

/// A disk of 64 MiB that begins with these bytes, and is empty where they end.
struct Disk<'a>(&'a [u8]);

impl ReadAt for Disk<'_> {
    fn size(&self) -> u64 {
        64 << 20
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if offset
            .checked_add(buffer.len() as u64)
            .is_none_or(|end| end > self.size())
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.fill(0);
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..));
        for (byte, value) in buffer.iter_mut().zip(rest.unwrap_or_default()) {
            *byte = *value;
        }
        Ok(())
    }
}
