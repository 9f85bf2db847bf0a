//! What the line-based package databases have in common: bounded reads, bounded lines, and a bounded memory
//! for what was wrong.
//!
//! A database is written by a package manager, but it is read by somebody who suspects that it was not. So
//! no line is trusted to be short, and no file can make a reader hold more faults than a person would read.

use std::borrow::Cow;
use std::fmt;

use crate::tree::{Tree, TreeError};

/// Bytes of one line above which it is not looked at. The longest real ones (`Depends` of a large
/// metapackage) have some ten thousand.
pub const LONGEST_LINE: usize = 1 << 20;

/// Packages of one database; more are not taken in. The largest distributions offer about 100,000.
pub(crate) const MOST_PACKAGES: usize = 500_000;

/// One line of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: usize,
    /// Where it begins in the file.
    pub(crate) start: usize,
    /// Without its line end.
    pub(crate) bytes: &'a [u8],
}

impl Line<'_> {
    /// Why the line must not be interpreted, if so.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.bytes.len() > LONGEST_LINE {
            Some("line is longer than 1 MiB")
        } else if self.bytes.contains(&0) {
            Some("line has a NUL byte")
        } else {
            None
        }
    }
}

/// The lines of a file. A last line without a line end counts; nothing follows a last line end.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut start = 0;
    let mut number = 0;
    std::iter::from_fn(move || {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = Line {
            number: number + 1,
            start,
            bytes: &rest[..length],
        };
        number += 1;
        start += length + 1;
        Some(line)
    })
}

/// Something in a file that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: usize,
    /// Lower-case fragment.
    pub why: Cow<'static, str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

/// The faults of a file or of a part of it. Only the first [`Faults::KEPT`] are kept, the rest is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    kept: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// How many faults are kept with their text.
    pub const KEPT: usize = 20;

    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The faults that are kept, in the order in which they were met.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.kept.iter()
    }

    pub(crate) fn push(&mut self, line: usize, why: impl Into<Cow<'static, str>>) {
        if self.kept.len() < Self::KEPT {
            self.kept.push(Fault {
                line,
                why: why.into(),
            });
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn extend(&mut self, other: Self) {
        for fault in other.kept {
            self.push(fault.line, fault.why);
        }
        self.more += other.more;
    }

    /// One text a fault, each with `path` in front; a last one counts what was not kept.
    pub(crate) fn texts(&self, path: &[u8]) -> Vec<String> {
        let path = String::from_utf8_lossy(path);
        let mut texts: Vec<String> = self.kept.iter().map(|fault| format!("{path}: {fault}")).collect();
        if self.more > 0 {
            texts.push(format!("{path}: {} more malformed lines", self.more));
        }
        texts
    }
}

/// Bytes that a reader may still take in, over all of its files.
#[derive(Debug)]
pub(crate) struct Budget(u64);

impl Budget {
    pub(crate) const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Reads a file of at most `limit` bytes that may be absent.
    pub(crate) fn read(
        &mut self,
        tree: &dyn Tree,
        path: &[u8],
        limit: u64,
    ) -> Result<Option<Vec<u8>>, TreeError> {
        let content = if_there(tree.read(path, limit.min(self.0)))?;
        self.0 = self
            .0
            .saturating_sub(content.as_ref().map_or(0, |content| content.len() as u64));
        Ok(content)
    }
}

/// Turns "not found", and nothing else, into `None`.
pub(crate) fn if_there<T>(result: Result<T, TreeError>) -> Result<Option<T>, TreeError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(TreeError::NotFound) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Joins pieces of a path.
pub(crate) fn joined(pieces: &[&[u8]]) -> Vec<u8> {
    pieces.concat()
}

/// Text for a person: a path and what happened there.
pub(crate) fn at(path: &[u8], why: &dyn fmt::Display) -> String {
    format!("{}: {why}", String::from_utf8_lossy(path))
}

/// Why `path` cannot be the path of a declared file, if so.
pub(crate) fn path_fault(path: &[u8]) -> Option<&'static str> {
    if path.first() != Some(&b'/') {
        Some("path does not begin with /")
    } else if path.split(|byte| *byte == b'/').any(|part| part == b"..") {
        // No package manager writes one, and it would make one file look like another.
        Some("path has a .. in it")
    } else {
        None
    }
}

/// Whether `name` can be the name of a package or an architecture. All four package managers allow no more,
/// and what passes can stand in a file name or a key.
pub(crate) fn is_name(name: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.' | b'_' | b'@');
    name.first().is_some_and(|first| !matches!(first, b'-' | b'.')) && name.iter().all(plain)
}

/// A number in octal digits; `None` for anything else, and for more than 32 bits.
pub(crate) fn octal(text: &[u8]) -> Option<u32> {
    if !text.iter().all(|byte| matches!(byte, b'0'..=b'7')) {
        return None;
    }
    u32::from_str_radix(str::from_utf8(text).ok()?, 8).ok()
}

/// A number in decimal digits; `None` for anything else, and for more than 64 bits.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

/// A digest with its label, from hexadecimal digits of which there must be `digits`.
pub(crate) fn hex_digest(label: &str, text: &[u8], digits: usize) -> Option<String> {
    if text.len() != digits || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    Some(format!(
        "{label}:{}",
        str::from_utf8(text).ok()?.to_ascii_lowercase()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_placed() {
        let found: Vec<_> = lines(b"a\n\nbc")
            .map(|line| (line.number, line.start, line.bytes))
            .collect();
        assert_eq!(found, [(1, 0, &b"a"[..]), (2, 2, b""), (3, 3, b"bc")]);
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"a\n").count(), 1);
    }

    #[test]
    fn faults_are_counted_beyond_what_is_kept() {
        let mut faults = Faults::default();
        (0..Faults::KEPT + 7).for_each(|line| faults.push(line, "bad"));
        assert_eq!(faults.iter().count(), Faults::KEPT);
        assert_eq!(faults.texts(b"/x").last().unwrap(), "/x: 7 more malformed lines");
    }

    #[test]
    fn numbers_and_digests_are_exact() {
        assert_eq!(octal(b"4755"), Some(0o4755));
        assert_eq!(
            [octal(b"8"), octal(b""), octal(b"+7"), octal(b"77777777777")],
            [None; 4]
        );
        assert_eq!(decimal(b"42"), Some(42));
        assert_eq!(
            [decimal(b""), decimal(b"-1"), decimal(b"+1"), decimal(b"1 ")],
            [None; 4]
        );
        assert_eq!(hex_digest("md5", b"AbCd", 4).unwrap(), "md5:abcd");
        assert_eq!(hex_digest("md5", b"AbC", 4), None);
        assert_eq!(hex_digest("md5", b"AbCx", 4), None);
    }

    #[test]
    fn names_cannot_lead_elsewhere() {
        for name in [
            &b"bash"[..],
            b"libstdc++6",
            b"0ad",
            b"gcc-12-base",
            b"python3.11",
            b"a_b",
            b"_x",
            b"@s",
        ] {
            assert!(is_name(name), "{name:?}");
        }
        for name in [
            &b""[..],
            b"..",
            b"a/b",
            b"a b",
            b"a:b",
            b"-x",
            b".x",
            b"a\n",
            b"\xff",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
