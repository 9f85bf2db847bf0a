//! A report as JSON: one document, written piece by piece, one line a head field, a section and a drift.
//!
//! One drift a line keeps the file readable and lets `grep` and `diff` work on it. Characters that could steer
//! a terminal are written as `\uXXXX`, which means the same to a parser and nothing to a console.

use std::borrow::Cow;
use std::io::{self, BufWriter, Write};

use baseline_format::image_check::ImageCheck;
use baseline_format::report::{Drift, Report};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;

mod diff;

pub use diff::DiffJson;
pub(crate) use diff::require_all as require_all_differences;

use crate::require_all;
use crate::words::is_plain;

/// Writes a report as one JSON document that ends with a line end. The drifts are those of `head` (normally
/// none) and then `drifts`, in the order given; no more than one is held at a time.
///
/// An error of the iterator, or more or fewer drifts than `head.summary` counts, ends the document in the
/// middle: what was written then is no JSON, so a cut report cannot be mistaken for a short one.
pub fn write_json(
    head: &Report,
    drifts: impl IntoIterator<Item = io::Result<Drift>>,
    out: impl Write,
) -> io::Result<()> {
    // Taken apart without `..`, so that a new field of a report cannot be forgotten here.
    let Report {
        schema,
        verdict,
        statement,
        tool,
        host,
        baseline,
        started,
        finished,
        coverage,
        summary,
        drifts: own_drifts,
    } = head;
    let mut document = Document {
        out: BufWriter::new(out),
    };
    document.out.write_all(b"{")?;
    document.field("\n", "schema", schema)?;
    document.field(",\n", "verdict", verdict)?;
    document.field(",\n", "statement", statement)?;
    document.field(",\n", "tool", tool)?;
    document.field(",\n", "host", host)?;
    document.field(",\n", "baseline", baseline)?;
    document.field(",\n", "started", started)?;
    document.field(",\n", "finished", finished)?;
    document.list("coverage", coverage.iter().map(Ok))?;
    document.field(",\n", "summary", summary)?;
    let own = own_drifts.iter().map(|drift| Ok(Cow::Borrowed(drift)));
    let arriving = drifts.into_iter().map(|drift| drift.map(Cow::Owned));
    let written = document.list("drifts", own.chain(arriving))?;
    require_all(head, written)?;
    document.out.write_all(b"\n}\n")?;
    document.out.flush()
}

/// Writes the result of an image check as one JSON document that ends with a line end.
pub fn write_image_check_json(check: &ImageCheck, out: impl Write) -> io::Result<()> {
    // Taken apart without `..`, so that a new field cannot be forgotten here.
    let ImageCheck {
        schema,
        verdict,
        statement,
        tool,
        image,
        policies,
        started,
        finished,
        coverage,
        rules,
        findings,
        waivers,
    } = check;
    let mut document = Document {
        out: BufWriter::new(out),
    };
    document.out.write_all(b"{")?;
    document.field("\n", "schema", schema)?;
    document.field(",\n", "verdict", verdict)?;
    document.field(",\n", "statement", statement)?;
    document.field(",\n", "tool", tool)?;
    document.field(",\n", "image", image)?;
    document.list("policies", policies.iter().map(Ok))?;
    document.field(",\n", "started", started)?;
    document.field(",\n", "finished", finished)?;
    document.field(",\n", "coverage", coverage)?;
    document.list("rules", rules.iter().map(Ok))?;
    document.list("findings", findings.iter().map(Ok))?;
    document.list("waivers", waivers.iter().map(Ok))?;
    document.out.write_all(b"\n}\n")?;
    document.out.flush()
}

struct Document<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> Document<W> {
    /// Writes a field on its own line.
    fn field(&mut self, before: &str, name: &str, value: &impl Serialize) -> io::Result<()> {
        write!(self.out, "{before}  \"{name}\": ")?;
        self.value(value)
    }

    /// Writes a field that is a list, one element a line, and returns the number of elements.
    fn list<T: Serialize>(
        &mut self,
        name: &str,
        items: impl Iterator<Item = io::Result<T>>,
    ) -> io::Result<u64> {
        write!(self.out, ",\n  \"{name}\": [")?;
        let mut written = 0;
        for item in items {
            self.out
                .write_all(if written == 0 { b"\n    " } else { b",\n    " })?;
            self.value(&item?)?;
            written += 1;
        }
        self.out.write_all(if written == 0 { b"]" } else { b"\n  ]" })?;
        Ok(written)
    }

    fn value(&mut self, value: &impl Serialize) -> io::Result<()> {
        value
            .serialize(&mut Serializer::with_formatter(&mut self.out, Harmless))
            .map_err(io::Error::from)
    }
}

/// Compact JSON in which no string can steer a terminal.
struct Harmless;

impl Formatter for Harmless {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.chars().all(is_plain) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if is_plain(character) {
                write!(writer, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}
