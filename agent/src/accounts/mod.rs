//! Accounts and what they may do: pure parsers over the bytes of the files that decide it.
//!
//! Nothing here asks NSS, runs a program or knows a tree; the sudoers and sshd readers, which must follow
//! includes, are given one. No parser keeps a password hash, a salt or the text of a line that it did not
//! understand, so none of them can come out again in an error or a debug print.

pub mod authorized_keys;
pub mod crypt;
pub mod group;
pub mod passwd;
pub mod shadow;
pub mod sshd_files;
pub mod subid;
pub mod sudoers;

use std::collections::HashMap;
use std::fmt;

use baseline_format::{ALL, Entry, OsText};

use crate::probes::Facts;
use crate::tree::{Tree, TreeError};

/// Longest account file that is read, in bytes. The largest known real ones are a few MiB.
pub const FILE_LIMIT: u64 = 64 << 20;
/// Longest line that is taken apart, in bytes. A group of some thousand members stays below it.
pub const LINE_LIMIT: usize = 64 << 10;
/// How many lines of one file are reported as malformed one by one; the rest is one entry, so that a file of
/// garbage cannot fill the memory.
const MALFORMED_LIMIT: usize = 1000;

/// One line of a file: where it stands and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbered<T> {
    /// Line number, from 1.
    pub line: usize,
    /// What the line says, or why it could not be understood.
    pub record: Result<T, Malformed>,
}

/// Why a line could not be understood. Never carries text of the line: it may be a secret in the wrong place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Not as many fields as the format has.
    Fields {
        /// How many the format has.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// The named field is not a number in its range.
    Number(&'static str),
    /// The named field is empty and must not be.
    Empty(&'static str),
    /// A NUL byte, at which C programs stop reading.
    Nul,
    /// Longer than [`LINE_LIMIT`].
    TooLong,
    /// Anything else, as a lower-case fragment.
    Other(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields { expected, found } => {
                write!(f, "malformed line: number of fields is {found}, not {expected}")
            }
            Self::Number(field) => write!(f, "malformed line: {field} is not a number in its range"),
            Self::Empty(field) => write!(f, "malformed line: {field} is empty"),
            Self::Nul => f.write_str("malformed line: NUL byte"),
            Self::TooLong => write!(f, "malformed line: longer than {LINE_LIMIT} bytes"),
            Self::Other(why) => write!(f, "malformed line: {why}"),
        }
    }
}

impl std::error::Error for Malformed {}

/// The lines of a colon-separated database that glibc's `files` service would look at, each parsed: leading
/// blanks do not count, empty lines and lines that start with `#` are skipped.
fn records<T>(
    bytes: &[u8],
    mut parse: impl FnMut(&[u8]) -> Result<T, Malformed>,
) -> impl Iterator<Item = Numbered<T>> {
    numbered_lines(bytes)
        .filter(|(_, line)| !matches!(line.first(), None | Some(b'#')))
        .map(move |(at, line)| {
            let record = if line.len() > LINE_LIMIT {
                Err(Malformed::TooLong)
            } else if line.contains(&0) {
                Err(Malformed::Nul)
            } else {
                parse(line)
            };
            Numbered { line: at, record }
        })
}

/// Lines with their numbers, without line ends and leading blanks.
fn numbered_lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    bytes
        .split(|byte| *byte == b'\n')
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim_ascii_start()))
}

/// A whole number as the account databases write it: digits only.
fn number(text: &[u8], field: &'static str) -> Result<u32, Malformed> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(text).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(Malformed::Number(field))
}

/// Refuses what cannot be a name in a file that also holds hashes: a shifted field must not be published.
fn account_name(name: &[u8]) -> Result<(), Malformed> {
    match name {
        [] => Err(Malformed::Empty("the name")),
        [b'$', ..] => Err(Malformed::Other("a hash where a name belongs")),
        _ => Ok(()),
    }
}

/// The names of a comma-separated list.
fn names(list: &[u8]) -> Vec<Vec<u8>> {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
        .map(Into::into)
        .collect()
}

/// Keys for entries whose name may come twice: `NAME`, then `NAME#2`, `NAME#3`, so that none hides another.
#[derive(Debug, Default)]
pub(crate) struct UniqueKeys {
    seen: HashMap<Vec<u8>, usize>,
}

impl UniqueKeys {
    /// The key of the next entry of this name.
    pub(crate) fn next(&mut self, name: &[u8]) -> OsText {
        let count = self.seen.entry(name.to_vec()).or_insert(0);
        *count += 1;
        if *count == 1 {
            OsText::new(name)
        } else {
            OsText::new(&[name, format!("#{count}").as_bytes()].concat())
        }
    }
}

/// Reports malformed lines of one file, up to a limit.
#[derive(Debug)]
pub(crate) struct MalformedLines<'a> {
    section: &'static str,
    /// What the keys start with: empty, or a text that tells this file from others of the section.
    prefix: &'a str,
    count: usize,
}

impl<'a> MalformedLines<'a> {
    pub(crate) fn new(section: &'static str, prefix: &'a str) -> Self {
        Self {
            section,
            prefix,
            count: 0,
        }
    }

    /// Adds an entry `#line-N` that says why the line was not understood.
    pub(crate) fn push(&mut self, line: usize, why: &Malformed, out: &mut Facts) {
        self.count += 1;
        let prefix = self.prefix;
        if self.count <= MALFORMED_LIMIT {
            let key = format!("{prefix}#line-{line}");
            out.push(Entry::new(self.section, key).unseen(ALL, &why.to_string()));
        } else if self.count == MALFORMED_LIMIT + 1 {
            let why = format!("more than {MALFORMED_LIMIT} malformed lines; the others are not listed");
            out.push(Entry::new(self.section, format!("{prefix}#more-lines")).unseen(ALL, &why));
        }
    }
}

/// Reads a file for a probe. What is not there is `None`; what cannot be read is an entry that says so, under
/// the file's path, and `None`.
pub(crate) fn read_or_report(
    tree: &dyn Tree,
    section: &'static str,
    path: &[u8],
    limit: u64,
    out: &mut Facts,
) -> Option<Vec<u8>> {
    match tree.read(path, limit) {
        Ok(bytes) => Some(bytes),
        Err(TreeError::NotFound) => None,
        Err(why) => {
            out.push(Entry::new(section, OsText::new(path)).unseen(ALL, &why.to_string()));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        assert_eq!(number(b"0", "uid"), Ok(0));
        assert_eq!(number(b"007", "uid"), Ok(7));
        assert_eq!(number(b"4294967295", "uid"), Ok(u32::MAX));
        for text in [&b""[..], b"+0", b"-1", b" 0", b"0x0", b"4294967296", b"\xff"] {
            assert_eq!(number(text, "uid"), Err(Malformed::Number("uid")), "{text:?}");
        }
    }

    #[test]
    fn later_entries_of_one_name_get_a_number() {
        let mut keys = UniqueKeys::default();
        let made: Vec<String> = [&b"a"[..], b"b", b"a", b"a"]
            .iter()
            .map(|name| keys.next(name).to_string())
            .collect();
        assert_eq!(made, ["a", "b", "a#2", "a#3"]);
    }

    #[test]
    fn a_file_of_garbage_is_bounded() {
        let mut out = Facts::default();
        let mut malformed = MalformedLines::new("users", "");
        for line in 1..=100_000 {
            malformed.push(line, &Malformed::Nul, &mut out);
        }
        assert_eq!(out.into_sorted().len(), MALFORMED_LIMIT + 1);
    }
}
