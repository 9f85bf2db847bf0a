//! What a baseline holds: its summary, a section, or one entry, for people or as the lines that it is made of.

mod inventory;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, BufRead, Write};

use baseline_format::header::End;
use baseline_format::order::is_below;
use baseline_format::{BaselineReader, Entry, Line, OsText, ReadError, Reference};
use driftcheck_report::inventory::Inventory;
use driftcheck_report::{TextStyle, write_entry, write_inventory};

use crate::inspect::scopes::{LeftOutBy, Outlook, rule_text};
use crate::scan::{BadGlob, FILES};
use inventory::Collector;

/// Which entries are shown. With neither, all are, after the header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this section.
    pub section: Option<String>,
    /// Only entries of this key: as it is spelled in the baseline, as plain bytes, or for files as any way to write
    /// the path (`etc/passwd`, `//etc/./passwd`, `/etc/passwd/`).
    pub key: Option<Vec<u8>>,
}

/// How entries are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The lines of the baseline as they stand.
    Lines,
    /// For people: each attribute in full on a line of its own.
    Text,
}

/// What was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Entries that were shown.
    pub entries: u64,
    /// The baseline's trailer: it has been read to its end, and is sound.
    pub end: End,
    /// If a key was asked for and not found: why its absence says nothing, if so.
    pub not_covered: Option<String>,
}

/// Writes the entries that `filter` names and reads the baseline to its end, so that a broken one is not shown as a
/// sound one; what stands in `out` before an error is no answer.
pub fn entries<R: BufRead>(
    mut reader: BaselineReader<R>,
    filter: &Filter,
    format: Format,
    out: &mut dyn Write,
) -> Result<Shown, Failure> {
    if let Some(wanted) = &filter.section
        && !reader
            .header()
            .sections
            .iter()
            .any(|section| section.name == *wanted)
    {
        return Err(Failure::Section {
            name: wanted.clone(),
            known: reader
                .header()
                .sections
                .iter()
                .map(|section| section.name.clone())
                .collect(),
        });
    }
    let wanted = filter.key.as_deref().map(Wanted::new);
    let outlook = Outlook::new(&reader.header().scope).map_err(Failure::Glob)?;
    if filter.section.is_none() && wanted.is_none() && format == Format::Lines {
        writeln!(out, "{}", reader.header_line()).map_err(Failure::Output)?;
    }
    let (mut entries, mut hidden) = (0, None);
    while let Some(line) = reader.current() {
        if filter
            .section
            .as_deref()
            .is_none_or(|section| line.section() == section)
        {
            if wanted.as_ref().is_none_or(|wanted| wanted.is(&line)) {
                write_line(&line, format, entries > 0, out).map_err(Failure::Output)?;
                entries += 1;
            } else if let Some(why) = wanted.as_ref().and_then(|wanted| wanted.hidden_by(&line)) {
                hidden = Some(why);
            }
        }
        reader.advance().map_err(Failure::Baseline)?;
    }
    out.flush().map_err(Failure::Output)?;
    let end = reader.verify().map_err(Failure::Baseline)?;
    let not_covered = match &wanted {
        Some(wanted) if entries == 0 => hidden.or_else(|| wanted.left_out_by(&outlook)),
        _ => None,
    };
    Ok(Shown {
        entries,
        end,
        not_covered,
    })
}

/// Counts what a baseline holds. `signatures`: what is known of its signatures, in sentences.
pub fn inventory<R: BufRead>(
    mut reader: BaselineReader<R>,
    path: Option<OsText>,
    signatures: Vec<String>,
) -> Result<Inventory, ReadError> {
    let mut collector = Collector::new(reader.header());
    while let Some(line) = reader.current() {
        collector.take(&line);
        reader.advance()?;
    }
    let header = reader.header().clone();
    let end = reader.verify()?;
    Ok(Inventory {
        path,
        signatures,
        ..collector.finish(&header, &end)
    })
}

/// Writes a baseline's summary for people.
pub fn summary(inventory: &Inventory, style: &TextStyle<'_>, out: &mut dyn Write) -> io::Result<()> {
    write_inventory(inventory, style, out)
}

/// Writes a baseline's summary as one JSON object, `driftcheck.inventory/1`.
pub fn summary_json(inventory: &Inventory, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, inventory)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn write_line(line: &Line<'_>, format: Format, is_further: bool, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Lines => writeln!(out, "{}", line.as_str()),
        Format::Text => {
            if is_further {
                out.write_all(b"\n")?;
            }
            write_entry(&line.to_entry(), out)
        }
    }
}

/// A key as somebody gave it.
struct Wanted {
    /// The ways to read it as a key.
    spellings: Vec<OsText>,
    /// The path that it may be.
    path: OsText,
}

impl Wanted {
    fn new(given: &[u8]) -> Self {
        let as_spelled = std::str::from_utf8(given).ok().and_then(OsText::parse);
        let plain = OsText::new(given);
        let bytes = as_spelled
            .as_ref()
            .map_or(given.to_vec(), |text| text.to_bytes().into_owned());
        let components = bytes
            .split(|byte| *byte == b'/')
            .filter(|component| !matches!(*component, b"" | b"."));
        let mut path = Vec::with_capacity(bytes.len() + 1);
        for component in components {
            path.push(b'/');
            path.extend_from_slice(component);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Self {
            spellings: as_spelled.into_iter().chain([plain]).collect(),
            path: OsText::new(&path),
        }
    }

    fn is(&self, line: &Line<'_>) -> bool {
        let key = line.key();
        self.spellings.iter().any(|spelling| spelling.as_str() == key)
            || (line.section() == FILES && self.path.as_str() == key)
    }

    /// Why the key may be there all the same, if `line` says that nobody looked.
    fn hidden_by(&self, line: &Line<'_>) -> Option<String> {
        let why = line.hides_below()?;
        let key = line.key();
        let is_below = line.hides_section()
            || self
                .spellings
                .iter()
                .any(|spelling| is_below(spelling.as_str(), &key))
            || (line.section() == FILES && is_below(self.path.as_str(), &key));
        is_below.then(|| format!("{} {key}: {why}", line.section()))
    }

    /// Why the path may be there all the same, if a rule leaves it out.
    fn left_out_by(&self, outlook: &Outlook) -> Option<String> {
        let bytes = Entry::new(FILES, self.path.clone()).to_line();
        let line = std::str::from_utf8(&bytes).ok().and_then(Line::trusted)?;
        Some(match outlook.leaves_out(&line)? {
            LeftOutBy::Include => "only what was asked for was recorded".to_owned(),
            LeftOutBy::Exclusion(rule) => format!("{} is left out: {}", rule_text(rule), rule.why),
        })
    }
}

/// Why nothing could be shown.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The baseline is broken.
    Baseline(ReadError),
    /// The baseline has no such section.
    Section {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A glob in the header cannot be used.
    Glob(BadGlob),
    /// The answer cannot be written.
    Output(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(why) => write!(f, "{why}"),
            Self::Section { name, known } => {
                write!(
                    f,
                    "the baseline has no section `{name}`; it has: {}",
                    known.join(", ")
                )
            }
            Self::Glob(why) => write!(f, "{why}"),
            Self::Output(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}
