//! Renders driftcheck reports: [`write_json`] for tools, [`write_text`] for people, and the one sentence that
//! both end in ([`statement`]). The same for checks of images: [`write_image_check_json`], [`write_image_check_text`],
//! [`image_check`].
//!
//! A report may hold a million drifts, so both renderers take them from an iterator and hold only a few at a
//! time. Everything else of a report is small and comes as a [`baseline_format::report::Report`] whose `drifts`
//! are empty (any that it has are written first, so a whole report and an empty iterator do as well).
//!
//! Two states told apart ([`diff`]) are rendered as they are compared: [`DiffText`] as release notes, [`DiffJson`] as
//! one document. What one baseline holds ([`inventory`]) is rendered by [`write_inventory`] and [`write_entry`].
//!
//! Nothing here reads a clock, a file or the environment: the same report always gives the same bytes.

pub mod diff;
pub mod image_check;
pub mod inventory;
mod json;
pub mod statement;
mod text;
mod words;

pub use json::{DiffJson, write_image_check_json, write_json};
pub use text::{
    Colour, DiffText, TextStyle, write_entry, write_image_check_text, write_inventory, write_text,
};

use std::io;

use baseline_format::report::Report;

/// Refuses a stream of drifts that is not as long as the report says: it was cut, and a cut report that reads
/// like a short one would hide what was lost.
fn require_all(head: &Report, written: u64) -> io::Result<()> {
    if written == head.summary.drifts {
        return Ok(());
    }
    let expected = head.summary.drifts;
    let why = format!("the report counts {expected} drifts, but {written} arrived");
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}
