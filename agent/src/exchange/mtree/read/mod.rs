//! Reads an mtree as the `files` section of a baseline.
//!
//! Taken are NetBSD's and FreeBSD's form with `/set`, relative names and `..`, the form with full paths (`mtree -C`,
//! bsdtar), and what go-mtree writes. What an mtree does not state is not in the entry, so that a baseline made of
//! one must be compared by the attributes that it declares. What it states and a baseline has no place for is
//! counted. A malformed line is refused, and so is what two programs that read mtrees would read differently.
//!
//! An mtree has neither a count nor a digest: one that was cut at the end of a line and has full paths only cannot be
//! told from a whole one. Cut anywhere else, it is refused.

mod entry;
mod keywords;
mod lines;
mod paths;

use std::io::{BufRead, Write};
use std::ops::Range;

use baseline_format::header::{
    End, Exclusion, ExclusionReach, FORMAT_VERSION, Header, Image, Scope, SectionInfo, Stated,
};
use baseline_format::{BaselineWriter, Entry, Line, OsText, order};

use self::keywords::Keywords;
use self::lines::Lines;
use self::paths::Paths;
use crate::exchange::{Failure, Loss, Losses};
use crate::scan::{FILES, REVISION};
use crate::sys::Kind;

/// The value of `image.source-kind` in a baseline that was made of an mtree.
pub const SOURCE_KIND: &str = "mtree";

/// Entries of one mtree.
pub const MOST_ENTRIES: usize = 10_000_000;
/// Bytes of their text, as it is held in memory.
const MOST_BYTES: usize = 4 << 30;

/// Bytes of a line with `/set`.
const LONGEST_SET: usize = 4096;

/// What an mtree says, in THE order.
#[derive(Debug)]
pub struct Spec {
    /// Paths and canonical lines.
    text: Vec<u8>,
    records: Vec<Record>,
    exclude: Vec<Exclusion>,
    losses: Vec<Loss>,
}

/// One entry.
#[derive(Clone, Debug)]
struct Record {
    /// The path, as bytes.
    path: Range<usize>,
    /// The canonical line.
    line: Range<usize>,
    /// The mtree's line, from 1.
    number: u64,
    /// The type, where it is stated.
    kind: Option<Kind>,
}

impl Spec {
    /// Reads a whole mtree. Refused, with the line's number: what is malformed, and entries beyond [`MOST_ENTRIES`].
    pub fn read(input: impl BufRead) -> Result<Self, Failure> {
        let mut reading = Reading::default();
        let mut lines = Lines::new(input);
        while lines.next()? {
            reading
                .line(&lines)
                .map_err(|why| Failure::refused(format!("line {}: {why}", lines.number)))?;
        }
        reading.paths.end().map_err(Failure::refused)?;
        reading.finish()
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none, which [`Spec::read`] refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What the mtree states and the baseline does not, sorted by text.
    #[must_use]
    pub fn losses(&self) -> &[Loss] {
        &self.losses
    }

    /// The header of the baseline: `image` with its `source-kind` set, one section, and what the mtree tells to
    /// `ignore` as left out.
    #[must_use]
    pub fn header(&self, image: Image) -> Header {
        Header {
            format: FORMAT_VERSION,
            image: Image {
                source_kind: SOURCE_KIND.to_owned(),
                ..image
            },
            sections: vec![SectionInfo {
                name: FILES.to_owned(),
                revision: REVISION,
            }],
            scope: Scope {
                include: Vec::new(),
                exclude: self.exclude.clone(),
                attributes: Stated::Declared,
            },
        }
    }

    /// Writes the baseline. Returns the sink, flushed, with counts and digests.
    pub fn write<W: Write>(&self, header: &Header, out: W) -> Result<(W, End), Failure> {
        let mut writer = BaselineWriter::new(header, out)?;
        for record in &self.records {
            let line = Line::parse(self.bytes(&record.line))
                .map_err(|why| Failure::refused(format!("line {}: {why}", record.number)))?;
            writer.push(line)?;
        }
        Ok(writer.finish()?)
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    fn path(&self, record: &Record) -> OsText {
        OsText::new(self.bytes(&record.path))
    }
}

/// An mtree that is being read.
#[derive(Default)]
struct Reading {
    text: Vec<u8>,
    records: Vec<Record>,
    exclude: Vec<Exclusion>,
    losses: Losses,
    /// What `/set` has set.
    defaults: Keywords,
    paths: Paths,
}

impl Reading {
    fn line<R: BufRead>(&mut self, lines: &Lines<R>) -> Result<(), String> {
        let mut words = lines.words();
        let Some(first) = words.next() else { return Ok(()) };
        match first {
            // Every entry gets what was set, so that it must stay small.
            b"/set" if lines.length() > LONGEST_SET => {
                Err(format!("a `/set` of more than {LONGEST_SET} bytes"))
            }
            b"/set" => self.defaults.take_all(words),
            b"/unset" => self.defaults.forget_all(words),
            b".." => match words.next() {
                Some(_) => Err("`..` stands alone in its line".to_owned()),
                None => self.paths.up(),
            },
            name => {
                let mut keywords = self.defaults.clone();
                keywords
                    .take_all(words)
                    .and_then(|()| self.named(name, &keywords, lines.number))
                    .map_err(|why| format!("`{}`: {why}", OsText::new(name)))
            }
        }
    }

    fn named(&mut self, name: &[u8], keywords: &Keywords, number: u64) -> Result<(), String> {
        if self.records.len() == MOST_ENTRIES {
            return Err(format!("more than {MOST_ENTRIES} entries"));
        }
        let path = self.paths.of(name, keywords.kind == Some(Kind::Directory))?;
        if name.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
            self.losses.add(
                "the name has `*`, `?` or `[`, which NetBSD's mtree takes for a pattern: taken as a name",
            );
        }
        if keywords.ignore {
            self.exclude.push(ignored(&path)?);
        }
        let start = self.text.len();
        self.text.extend_from_slice(&path);
        let middle = self.text.len();
        entry::of(&path, keywords, &mut self.losses).encode(&mut self.text);
        if self.text.len() > MOST_BYTES {
            return Err(format!("longer than {MOST_BYTES} bytes"));
        }
        self.records.push(Record {
            path: start..middle,
            line: middle..self.text.len(),
            number,
            kind: keywords.kind,
        });
        Ok(())
    }

    fn finish(self) -> Result<Spec, Failure> {
        if self.records.is_empty() {
            return Err(Failure::refused("not an mtree: it names no file"));
        }
        let mut spec = Spec {
            text: self.text,
            records: self.records,
            exclude: self.exclude,
            losses: self.losses.into_list(),
        };
        let text = &spec.text;
        let path = |record: &Record| text.get(record.path.clone()).unwrap_or_default();
        spec.records.sort_unstable_by(|a, b| {
            order::compare_key_bytes(path(a), path(b)).then_with(|| a.number.cmp(&b.number))
        });
        spec.merge()?;
        spec.check_parents()?;
        // A directory may have been told to be ignored twice.
        spec.exclude.sort_by(|a, b| a.glob.cmp(&b.glob));
        spec.exclude.dedup();
        Ok(spec)
    }
}

impl Spec {
    /// Makes one entry of those of one path. NetBSD's mtree takes the last one, libarchive puts them together; they
    /// agree where no two state one keyword differently.
    fn merge(&mut self) -> Result<(), Failure> {
        let mut merged: Vec<Record> = Vec::with_capacity(self.records.len());
        for record in std::mem::take(&mut self.records) {
            let same = |known: &Record| self.bytes(&known.path) == self.bytes(&record.path);
            let Some(known) = merged.last_mut().filter(|known| same(known)) else {
                merged.push(record);
                continue;
            };
            let entry = self.union(known, &record)?;
            let start = self.text.len();
            entry.encode(&mut self.text);
            known.line = start..self.text.len();
            known.kind = known.kind.or(record.kind);
        }
        self.records = merged;
        Ok(())
    }

    fn union(&self, known: &Record, again: &Record) -> Result<Entry, Failure> {
        let parse = |record: &Record| {
            Line::parse(self.bytes(&record.line))
                .map(|line| line.to_entry())
                .map_err(|why| Failure::refused(format!("line {}: {why}", record.number)))
        };
        let mut union = parse(known)?;
        for (name, value) in parse(again)?.attributes() {
            if union.get(name).is_some_and(|known| known != value) {
                return Err(Failure::refused(format!(
                    "line {}: `{}` was listed before, in line {}, with another {name}",
                    again.number,
                    self.path(again),
                    known.number
                )));
            }
            union.set(name.to_owned(), value.clone());
        }
        Ok(union)
    }

    /// Refuses an entry below something that is not a directory.
    fn check_parents(&self) -> Result<(), Failure> {
        let mut above: Vec<&Record> = Vec::new();
        for record in &self.records {
            let path = self.bytes(&record.path);
            while let Some(last) = above.last() {
                let directory = self.bytes(&last.path);
                let rest = path.strip_prefix(directory.strip_suffix(b"/").unwrap_or(directory));
                if rest.is_some_and(|rest| rest.starts_with(b"/")) {
                    break;
                }
                above.pop();
            }
            if let Some(last) = above.last()
                && last.kind.is_some_and(|kind| kind != Kind::Directory)
            {
                return Err(Failure::refused(format!(
                    "line {}: `{}` is below `{}`, which line {} says is no directory",
                    record.number,
                    self.path(record),
                    self.path(last),
                    last.number
                )));
            }
            above.push(record);
        }
        Ok(())
    }
}

/// What `ignore` leaves out: all that is below the directory.
fn ignored(path: &[u8]) -> Result<Exclusion, String> {
    let text = std::str::from_utf8(path)
        .map_err(|_| "`ignore` of a name that is not UTF-8, which a baseline cannot leave out".to_owned())?;
    let mut glob = String::with_capacity(text.len() + 3);
    for character in text.strip_suffix('/').unwrap_or(text).chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob.push_str("/**");
    Ok(Exclusion {
        glob,
        what: ExclusionReach::All,
        why: "the mtree says `ignore`".to_owned(),
    })
}

#[cfg(test)]
mod tests;
