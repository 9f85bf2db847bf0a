//! A comparison as JSON, written while it is made: differences first, and what is only known at the end after them.

use std::io::{self, Write};

use baseline_format::report::Tool;

use super::{BufWriter, Document};
use crate::diff::{DIFF_SCHEMA, Diff, Difference, Sink};

/// Writes `driftcheck.diff/1`, one difference a line, and holds none of them.
///
/// Before [`DiffJson::finish`] what was written is no JSON, so that a cut comparison cannot be mistaken for a short
/// one.
pub struct DiffJson<W: Write> {
    document: Document<W>,
    taken: u64,
}

impl<W: Write> DiffJson<W> {
    /// Begins the document.
    pub fn new(tool: &Tool, out: W) -> io::Result<Self> {
        let mut document = Document {
            out: BufWriter::new(out),
        };
        document.out.write_all(b"{")?;
        document.field("\n", "schema", &DIFF_SCHEMA)?;
        document.field(",\n", "tool", tool)?;
        document.out.write_all(b",\n  \"changes\": [")?;
        Ok(Self { document, taken: 0 })
    }

    /// Ends the document. `head` is the comparison without its differences, which have been taken one by one; an
    /// error if it counts others.
    pub fn finish(mut self, head: &Diff) -> io::Result<()> {
        // Taken apart without `..`, so that a new field cannot be forgotten here.
        let Diff {
            schema: _,
            tool: _,
            changes,
            old,
            new,
            sections,
            left_out,
            not_compared,
            not_compared_total,
            summary,
            verdict,
            statement,
        } = head;
        require_all(self.taken, changes, summary.changes)?;
        let document = &mut self.document;
        document
            .out
            .write_all(if self.taken == 0 { b"]" } else { b"\n  ]" })?;
        document.field(",\n", "old", old)?;
        document.field(",\n", "new", new)?;
        document.list("sections", sections.iter().map(Ok))?;
        document.list("left_out", left_out.iter().map(Ok))?;
        document.list("not_compared", not_compared.iter().map(Ok))?;
        document.field(",\n", "not_compared_total", not_compared_total)?;
        document.field(",\n", "summary", summary)?;
        document.field(",\n", "verdict", verdict)?;
        document.field(",\n", "statement", statement)?;
        document.out.write_all(b"\n}\n")?;
        document.out.flush()
    }
}

/// Refuses a head that does not go with what was taken.
pub(crate) fn require_all(taken: u64, own: &[Difference], counted: u64) -> io::Result<()> {
    if own.is_empty() && taken == counted {
        return Ok(());
    }
    let why = format!("the comparison counts {counted} differences, but {taken} arrived");
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

impl<W: Write> Sink for DiffJson<W> {
    fn take(&mut self, difference: Difference) -> io::Result<()> {
        let before: &[u8] = if self.taken == 0 { b"\n    " } else { b",\n    " };
        self.taken += 1;
        self.document.out.write_all(before)?;
        self.document.value(&difference)
    }
}

impl<W: Write> std::fmt::Debug for DiffJson<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DiffJson")
            .field("taken", &self.taken)
            .finish_non_exhaustive()
    }
}
