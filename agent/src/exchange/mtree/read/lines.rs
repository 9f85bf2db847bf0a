//! The lines of an mtree: continued ones joined, comments removed.
//!
//! Refused is what makes readers see different lines: a comment that ends in a backslash (libarchive goes on, NetBSD
//! does not), a comment between the parts of a continued line (which ends it for NetBSD), a word that goes on in the
//! next line (two words for libarchive), `#` in the middle of a word (a comment for NetBSD).

use std::io::{BufRead, Read as _};

use crate::exchange::Failure;

/// Bytes of a line with its continuations; a path and four digests fit many times.
const LONGEST: usize = 1 << 20;

/// Reads an mtree line by line.
pub(super) struct Lines<R> {
    input: R,
    /// The line that was read last.
    line: Vec<u8>,
    /// Its number, from 1; of a continued one the first.
    pub(super) number: u64,
    /// Lines of the file so far.
    read: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn new(input: R) -> Self {
        Self {
            input,
            line: Vec::new(),
            number: 0,
            read: 0,
        }
    }

    /// Steps to the next line; whether there is one.
    pub(super) fn next(&mut self) -> Result<bool, Failure> {
        self.line.clear();
        let mut part = Vec::new();
        let mut first = true;
        loop {
            if !self.part(&mut part)? {
                if first {
                    return Ok(false);
                }
                return Err(self.wrong("the last line ends in a backslash: the file has been cut"));
            }
            if first {
                self.number = self.read;
            }
            let (text, commented) = without_comment(&part).map_err(|why| self.wrong(why))?;
            let continued = backslashes(text) % 2 == 1;
            if commented && !first && text.iter().all(|byte| is_blank(*byte)) {
                return Err(self.wrong("a comment inside a continued line: put it before the line"));
            }
            let text = match text.split_last() {
                Some((_, before)) if continued && !commented => before,
                _ => text,
            };
            if !first
                && self.line.last().is_some_and(|byte| !is_blank(*byte))
                && text.first().is_some_and(|byte| !is_blank(*byte))
            {
                return Err(
                    self.wrong("a word goes on from the line before: put a blank before its backslash")
                );
            }
            if self.line.len() + text.len() > LONGEST {
                return Err(self.wrong("longer than 1 MiB"));
            }
            self.line.extend_from_slice(text);
            if !continued || commented {
                return Ok(true);
            }
            first = false;
        }
    }

    /// Bytes of the line.
    pub(super) const fn length(&self) -> usize {
        self.line.len()
    }

    /// The words of the line.
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.line
            .split(|byte| is_blank(*byte))
            .filter(|word| !word.is_empty())
    }

    /// Reads one line of the file, without its line end; whether there is one.
    fn part(&mut self, part: &mut Vec<u8>) -> Result<bool, Failure> {
        part.clear();
        let limit = LONGEST as u64 + 1;
        let read = self.input.by_ref().take(limit).read_until(b'\n', part);
        if read.map_err(Failure::Read)? == 0 {
            return Ok(false);
        }
        self.read += 1;
        if part.pop_if(|byte| *byte == b'\n').is_none() {
            return Err(self.wrong(if part.len() > LONGEST {
                "longer than 1 MiB"
            } else {
                "the last line has no line feed: the file may have been cut; add one if it is whole"
            }));
        }
        if part.iter().any(|byte| is_control(*byte)) {
            return Err(self.wrong(
                "a control character other than a tab: not an mtree, or one with line ends of Windows",
            ));
        }
        Ok(true)
    }

    fn wrong(&self, why: &str) -> Failure {
        Failure::refused(format!("line {}: {why}", self.read))
    }
}

/// A line before its comment, and whether it has one.
fn without_comment(part: &[u8]) -> Result<(&[u8], bool), &'static str> {
    for (at, _) in part.iter().enumerate().filter(|(_, byte)| **byte == b'#') {
        let before = part.get(..at).unwrap_or_default();
        if backslashes(before) % 2 == 1 {
            continue;
        }
        let whole = before.iter().all(|byte| is_blank(*byte));
        if !whole && before.last().is_some_and(|byte| !is_blank(*byte)) {
            return Err("a `#` inside a word, where some readers begin a comment: write it as \\043");
        }
        if !whole && part.ends_with(b"\\") {
            return Err("a comment that ends in a backslash, which continues the line for some readers");
        }
        return Ok((before, true));
    }
    Ok((part, false))
}

/// How many backslashes a text ends with; an odd number escapes what follows.
fn backslashes(text: &[u8]) -> usize {
    text.iter().rev().take_while(|byte| **byte == b'\\').count()
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

const fn is_control(byte: u8) -> bool {
    matches!(byte, 0..=0x08 | 0x0a..=0x1f | 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Result<Vec<(u64, String)>, String> {
        let mut lines = Lines::new(text);
        let mut all = Vec::new();
        while lines.next().map_err(|why| why.to_string())? {
            let words: Vec<_> = lines.words().map(String::from_utf8_lossy).collect();
            all.push((lines.number, words.join("|")));
        }
        Ok(all)
    }

    #[test]
    fn lines_are_joined_and_comments_go() {
        let text = b"#mtree\n  # comment \\\n\n a\tb \\\n\tc=1 \\\n d # rest\n\\#x e\\\\\n";
        let expected = [(1, ""), (2, ""), (3, ""), (4, "a|b|c=1|d"), (7, "\\#x|e\\\\")];
        assert_eq!(lines(text).unwrap(), expected.map(|(n, t)| (n, t.to_owned())));
    }

    #[test]
    fn what_readers_see_differently_is_refused() {
        for (text, why) in [
            (&b"a\nb"[..], "line 2: the last line has no line feed"),
            (b"a \\\n", "line 1: the last line ends in a backslash"),
            (b"a\\\nb\n", "line 2: a word goes on"),
            (b"a \\\n# c\nb\n", "line 2: a comment inside a continued line"),
            (b"a # b \\\nc\n", "line 1: a comment that ends in a backslash"),
            (b"a#b\n", "line 1: a `#` inside a word"),
            (b"a\\\\#b\n", "line 1: a `#` inside a word"),
            (b"a\r\n", "line 1: a control character"),
            (b"a\x1b\n", "line 1: a control character"),
        ] {
            let told = lines(text).unwrap_err();
            assert!(told.starts_with(why), "{told}");
        }
        let long = [&b"a ".repeat(LONGEST / 2)[..], b"b\n"].concat();
        assert!(lines(&long).unwrap_err().contains("1 MiB"));
        let folded = [b"a \\\n".repeat(LONGEST / 2 + 1), b"b\n".to_vec()].concat();
        assert!(lines(&folded).unwrap_err().contains("1 MiB"));
    }
}
