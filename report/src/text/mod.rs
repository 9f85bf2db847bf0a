//! A report for people: worst first, bounded, and the verdict last, where a terminal leaves the eye.
//!
//! ```text
//! what was looked at, and what it was compared with
//! CRITICAL, HIGH, ...   by section, and within it by meaning and kind of change
//! NOT SEEN              what could not be checked, and why
//! COVERAGE              one line a section, then the rules that left something out
//! VERDICT: the statement
//! ```

mod block;
mod coverage;
mod diff;
mod fields;
mod findings;
mod head;
mod image_check;
mod inventory;
mod page;
mod related;

pub use diff::DiffText;
pub use inventory::{write_entry, write_inventory};

use std::io::{self, BufWriter, Write};

use baseline_format::report::{Drift, Report};

use crate::{require_all, statement};
use findings::Findings;
pub use image_check::write_image_check_text;
use page::{Ink, Page};

/// Columns of the last line at most. It is never broken, so that the last line is the verdict; no statement that
/// driftcheck makes is this long, but a report may come from elsewhere.
const LAST_LINE: usize = 1_000;

/// How a report looks.
#[derive(Clone, Debug)]
pub struct TextStyle<'a> {
    /// Columns of the page. No line but the last, which is the verdict, is wider; below 24 it is taken as 24.
    pub width: usize,
    /// Whether to colour.
    pub colour: Colour,
    /// How many drifts are listed of each severity, section and kind of change; the others are counted. 0: all,
    /// and no directory stands for what is below it.
    pub limit: usize,
    /// How to see what is only counted, e.g. `--format json lists all`.
    pub elsewhere: &'a str,
}

impl Default for TextStyle<'_> {
    fn default() -> Self {
        Self {
            width: 80,
            colour: Colour::Never,
            limit: 40,
            elsewhere: "--format json lists all",
        }
    }
}

/// Whether a text is coloured. That depends on where it goes, which only the caller knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// With escape sequences for colours (SGR) and no others.
    Always,
    /// Without any escape sequence.
    Never,
}

/// Writes a report for people.
///
/// The drifts are those of `head` (normally none) and then `drifts`; they must come worst first and then in THE
/// order, as they stand in a report. At most `4 * limit` of them are held at a time (1,000 if all are listed).
///
/// An error of the iterator, or more or fewer drifts than `head.summary` counts, is returned before the verdict
/// is written: a text without a last line that is a verdict is not a report.
pub fn write_text(
    head: &Report,
    drifts: impl IntoIterator<Item = io::Result<Drift>>,
    style: &TextStyle<'_>,
    out: impl Write,
) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut page = Page::new(&mut out, style.width, style.colour);
    head::write(head, &mut page)?;
    let mut findings = Findings::new(head, style, &page);
    for drift in head.drifts.iter().cloned().map(Ok).chain(drifts) {
        findings.take(drift?, &mut page)?;
    }
    let (taken, not_told) = findings.finish(&mut page)?;
    require_all(head, taken)?;
    coverage::write_unseen(head, &not_told, style, &mut page)?;
    coverage::write_table(&head.coverage, &mut page)?;
    coverage::write_skipped(&head.coverage, style, &mut page)?;
    page.blank()?;
    let verdict = statement::line(head.verdict, &head.statement);
    page.unbroken(Ink::of_verdict(head.verdict), &verdict, LAST_LINE)?;
    out.flush()
}
