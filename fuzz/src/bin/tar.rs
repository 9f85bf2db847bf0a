//! Tar archives: the reader and the index must say the same.
#![cfg_attr(fuzzing, no_main)]

use std::io::Read as _;
use std::sync::Arc;

use driftcheck_agent::source::bytes::Bytes;
use driftcheck_agent::source::tar::{End, TarIndex, TarReader};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

/// A sparse file may claim any size: more of it than this is not read.
const MOST: u64 = 1 << 20;

pub(crate) fn run(data: &[u8]) {
    let archive: Bytes = Arc::new(data.to_vec());
    for end in [End::Required, End::MayBeMissing] {
        let index = TarIndex::read(&archive, end).map(|index| index.entries);
        let mut entries = index.iter().flatten();
        let mut reader = TarReader::new(data, end);
        let ended = loop {
            let member = match reader.next_member() {
                Ok(Some(member)) => member,
                Ok(None) => break true,
                Err(_) => break false,
            };
            let mut content = Vec::new();
            let read = reader.by_ref().take(MOST).read_to_end(&mut content);
            let Some(entry) = entries.next() else {
                assert!(index.is_err());
                continue;
            };
            assert_eq!(entry.member, member);
            assert_eq!(read.ok(), Some(content.len()));
            assert_eq!(content.len() as u64, member.size.min(MOST));
            let mut again = Vec::new();
            let read = entry.open(&archive).take(MOST).read_to_end(&mut again);
            assert!(read.is_ok() && again == content);
        };
        assert_eq!(ended, index.is_ok());
        assert!(entries.next().is_none());
    }
}
