//! The driftcheck baseline: one sorted stream of typed entries, sealed.
//!
//! This crate holds what every part of driftcheck shares: entries and THE order, the reader and the writer of
//! baseline files, the envelopes of their signatures, the comparer that merges a baseline with an observed stream,
//! and the records of a report. It reads no clock, no file system and no network, and verifies no signature. The
//! format itself is described in `docs/baseline-format.md`.

pub mod compare;
mod entry;
pub mod envelope;
pub mod header;
pub mod image_check;
mod line;
pub mod order;
mod os_text;
mod reader;
pub mod report;
pub mod schema;
pub mod statement;
mod value;
mod writer;

pub use compare::Reference;
pub use entry::{ALL, BELOW, Entry, LineBuilder, MOUNT, UNSEEN, push_hex};
pub use line::{Line, Malformed, RawAttributes, RawValue};
pub use os_text::OsText;
pub use reader::{BaselineReader, ReadError, Sealed};
pub use value::Value;
pub use writer::{BaselineWriter, LINE_LIMIT, WriteError};
