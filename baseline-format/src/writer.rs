//! Writes a baseline: header, entries in THE order, trailer, in one zstd frame.

use std::fmt;
use std::io::{self, Write};

use sha2::{Digest as _, Sha256};
use zstd::stream::write::Encoder;

use crate::Line;
use crate::entry::push_hex;
use crate::header::{End, FORMAT_VERSION, HEADER_START, Header, SectionSum, are_sound};
use crate::order;

/// Longest line of a baseline, in bytes, without its line end. Bounds a reader's memory.
pub const LINE_LIMIT: usize = 4 << 20;

/// Compression level. Higher ones gain little: most of a baseline is digests, which do not compress.
const LEVEL: i32 = 3;

/// Writes one baseline. Nothing is a baseline before [`BaselineWriter::finish`] has written the trailer.
pub struct BaselineWriter<W: Write> {
    out: Encoder<'static, W>,
    names: Vec<String>,
    sums: Sums,
    last_key: String,
}

impl<W: Write> BaselineWriter<W> {
    /// Starts a baseline. The header's sections must be sorted by name.
    pub fn new(header: &Header, out: W) -> Result<Self, WriteError> {
        let line = serde_json::to_string(header).map_err(|why| WriteError::Io(why.into()))?;
        Self::with_header_line(header, &line, out)
    }

    /// Starts a baseline with a header line as it was read, so that what a newer release put there survives. It
    /// must say what `header` says.
    pub fn with_header_line(header: &Header, line: &str, out: W) -> Result<Self, WriteError> {
        let names: Vec<String> = header
            .sections
            .iter()
            .map(|section| section.name.clone())
            .collect();
        if !are_sound(&names) {
            return Err(WriteError::Sections);
        }
        let says_the_same = || serde_json::from_str::<Header>(line).is_ok_and(|said| said == *header);
        if header.format != FORMAT_VERSION
            || line.len() > LINE_LIMIT
            || line.contains('\n')
            || !line.starts_with(HEADER_START)
            || !says_the_same()
        {
            return Err(WriteError::Header);
        }
        let mut encoder = Encoder::new(out, LEVEL)?;
        encoder.include_checksum(true)?;
        encoder.write_all(line.as_bytes())?;
        encoder.write_all(b"\n")?;
        Ok(Self {
            out: encoder,
            sums: Sums::new(line, names.len()),
            names,
            last_key: String::new(),
        })
    }

    /// Adds one entry, which must come after the last one in THE order.
    pub fn push(&mut self, line: Line<'_>) -> Result<(), WriteError> {
        let key = line.key();
        let at = self.sums.section;
        if self.names.get(at).map(String::as_str) != Some(line.section()) {
            let Some(later) = self
                .names
                .iter()
                .skip(at + 1)
                .position(|name| name == line.section())
            else {
                return Err(WriteError::out_of_order(
                    self.names.get(at),
                    &self.last_key,
                    &line,
                ));
            };
            self.sums.enter(at + 1 + later);
        } else if self.sums.count > 0 && order::compare_keys(&self.last_key, &key).is_ge() {
            return Err(WriteError::out_of_order(
                self.names.get(at),
                &self.last_key,
                &line,
            ));
        }
        if line.as_str().len() > LINE_LIMIT {
            return Err(WriteError::TooLong {
                section: line.section().to_owned(),
                key: key.into_owned(),
            });
        }
        self.out.write_all(line.as_str().as_bytes())?;
        self.out.write_all(b"\n")?;
        self.sums.line(line.as_str());
        self.last_key.clear();
        self.last_key.push_str(&key);
        Ok(())
    }

    /// Writes the trailer and ends the frame. Returns the sink, flushed, and the sums.
    pub fn finish(mut self) -> Result<(W, End), WriteError> {
        let end = self.sums.end(&self.names);
        let line = end.to_line().map_err(|why| WriteError::Io(why.into()))?;
        if line.len() > LINE_LIMIT {
            return Err(WriteError::Header);
        }
        self.out.write_all(line.as_bytes())?;
        self.out.write_all(b"\n")?;
        let mut out = self.out.finish()?;
        out.flush()?;
        Ok((out, end))
    }
}

impl<W: Write> fmt::Debug for BaselineWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaselineWriter")
            .field("last_key", &self.last_key)
            .finish_non_exhaustive()
    }
}

/// Running counts and digests, the same for writer and reader.
pub(crate) struct Sums {
    header: String,
    /// Index of the section that is being summed.
    pub(crate) section: usize,
    /// Entries of that section so far.
    pub(crate) count: u64,
    hash: Sha256,
    closed: Vec<(u64, [u8; 32])>,
    sections: usize,
}

impl Sums {
    pub(crate) fn new(header_line: &str, sections: usize) -> Self {
        Self {
            header: header_line.to_owned(),
            section: 0,
            count: 0,
            hash: Sha256::new(),
            closed: Vec::new(),
            sections,
        }
    }

    /// Adds a line of the current section.
    pub(crate) fn line(&mut self, line: &str) {
        self.hash.update(line.as_bytes());
        self.hash.update(b"\n");
        self.count += 1;
    }

    /// Closes sections up to, but without, `section`.
    pub(crate) fn enter(&mut self, section: usize) {
        while self.section < section {
            self.closed.push((self.count, self.hash.finalize_reset_array()));
            self.count = 0;
            self.section += 1;
        }
    }

    /// Closes all sections and gives the trailer's content.
    pub(crate) fn end(&mut self, names: &[String]) -> End {
        self.enter(self.sections);
        let mut all = Sha256::new();
        all.update(self.header.as_bytes());
        all.update(b"\n");
        let mut sections = Vec::with_capacity(names.len());
        for (name, (entries, digest)) in names.iter().zip(&self.closed) {
            let digest = label(digest);
            all.update(format!("{name} {entries} {digest}\n").as_bytes());
            sections.push(SectionSum {
                name: name.clone(),
                entries: *entries,
                digest,
            });
        }
        let entries = sections.iter().map(|section| section.entries).sum();
        End {
            sections,
            entries,
            digest: label(&all.finalize_reset_array()),
        }
    }
}

/// `sha256:` and the hexadecimal digits.
fn label(digest: &[u8; 32]) -> String {
    let mut text = Vec::from(*b"sha256:");
    push_hex(digest, &mut text);
    text.into_iter().map(char::from).collect()
}

/// The digest as an array, and a fresh state.
trait FinalizeArray {
    fn finalize_reset_array(&mut self) -> [u8; 32];
}

impl FinalizeArray for Sha256 {
    fn finalize_reset_array(&mut self) -> [u8; 32] {
        std::mem::take(self).finalize().into()
    }
}

/// Why a baseline could not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The header's sections are not sorted, one is listed twice, or a name is none.
    Sections,
    /// The header is not one that a reader would take: of another format version, longer than [`LINE_LIMIT`] or
    /// with so many sections that the trailer is, or its line says something else.
    Header,
    /// An entry came too late: its place is before that of the one written last, or equal, or its section is
    /// not in the header.
    OutOfOrder {
        /// Section and key of the last entry.
        last: String,
        /// Section and key of the refused one.
        refused: String,
    },
    /// An entry is longer than [`LINE_LIMIT`].
    TooLong {
        /// Its section.
        section: String,
        /// Its key.
        key: String,
    },
    /// The sink failed, e.g. the disk is full.
    Io(io::Error),
}

impl WriteError {
    fn out_of_order(section: Option<&String>, last_key: &str, line: &Line<'_>) -> Self {
        Self::OutOfOrder {
            last: format!("{} {last_key}", section.map_or("", String::as_str)),
            refused: format!("{} {}", line.section(), line.key()),
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(why: io::Error) -> Self {
        Self::Io(why)
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sections => f.write_str(
                "the header's section names are not sorted, or have a character other than a-z, 0-9, -",
            ),
            Self::Header => f.write_str("the header is not one that a reader would take"),
            Self::OutOfOrder { last, refused } => {
                write!(f, "entries out of order: `{refused}` after `{last}`")
            }
            Self::TooLong { section, key } => {
                write!(f, "the {section} entry `{key}` is longer than {LINE_LIMIT} bytes")
            }
            Self::Io(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(why) => Some(why),
            _ => None,
        }
    }
}
