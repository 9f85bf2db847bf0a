//! The driftcheck baseline: one sorted stream of typed entries, sealed.
//!
//! This crate holds what every part of driftcheck shares: entries and THE order, the reader and the writer of
//! baseline files, the comparer that merges a baseline with an observed stream, and the records of a report. It
//! reads no clock, no file system and no network. The format itself is described in `docs/baseline-format.md`.

mod entry;
pub mod header;
mod line;
pub mod order;
mod os_text;
pub mod report;
mod value;

pub use entry::{ALL, BELOW, Entry, LineBuilder, MOUNT, UNSEEN, push_hex};
pub use line::{Line, Malformed, RawAttributes, RawValue};
pub use os_text::OsText;
pub use value::Value;
