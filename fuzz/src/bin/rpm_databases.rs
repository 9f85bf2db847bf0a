//! Databases of rpm: ndb, Berkeley DB, SQLite and its log.
#![cfg_attr(fuzzing, no_main)]

use std::hint::black_box;

use driftcheck_agent::packages::rpm::{self, bdb, ndb, sqlite, wal};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));

pub(crate) fn run(data: &[u8]) {
    let mut seen = 0usize;
    let mut take = |_: u32, record: Result<&[u8], rpm::Malformed>| seen += usize::from(record.is_ok());
    black_box(ndb::records(data, &mut take).is_ok());
    black_box(bdb::records(data, &mut take).is_ok());
    // The first half as a database, the second as its log.
    let (database, log) = data.split_at(data.len() / 2);
    black_box(wal::apply(&mut database.to_vec(), log).is_ok());
    black_box(sqlite::records(database.to_vec(), log, &mut take).is_ok());
    black_box(seen);
}
