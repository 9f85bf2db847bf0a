//! Import and export: what other programs read and write.
//!
//! An export starts from a baseline that has been read to its end and found sound. What the other format has no
//! place for, and what of a foreign file finds no place in a baseline, is never dropped silently: it is counted as a
//! [`Loss`].

pub mod cyclonedx;
pub mod mtree;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, io};

use baseline_format::{ReadError, WriteError};

use crate::source::file_system::Fault;

/// Something that one format says and the other one cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What, as a lower-case fragment.
    pub what: String,
    /// How many entries it concerns.
    pub entries: u64,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.entries == 1 { "entry" } else { "entries" };
        write!(f, "{} {noun}: {}", self.entries, self.what)
    }
}

/// Counts losses. Their texts may hold words of a foreign file, so that there are only so many of them.
#[derive(Clone, Debug, Default)]
struct Losses(BTreeMap<Cow<'static, str>, u64>);

impl Losses {
    fn add(&mut self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        if let Some(entries) = self.0.get_mut(&what) {
            *entries += 1;
        } else if self.0.len() < MOST_LOSSES {
            self.0.insert(what, 1);
        } else {
            *self.0.entry(Cow::Borrowed(OTHER_LOSSES)).or_default() += 1;
        }
    }

    /// All of them, sorted by text.
    fn into_list(self) -> Vec<Loss> {
        let losses = self.0.into_iter();
        losses
            .map(|(what, entries)| Loss {
                what: what.into_owned(),
                entries,
            })
            .collect()
    }
}

/// Different losses that are told.
const MOST_LOSSES: usize = 200;
const OTHER_LOSSES: &str = "something else that has no place, beyond the kinds that are listed";

/// Why nothing was imported or exported.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The baseline is not sound.
    Baseline(ReadError),
    /// The input cannot be read.
    Read(io::Error),
    /// What was read cannot be taken as it is, or cannot be said in the other format.
    Refused(Fault),
    /// The output cannot be written.
    Write(WriteError),
}

impl Failure {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused(Fault::new(why))
    }

    fn output(why: io::Error) -> Self {
        Self::Write(WriteError::Io(why))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline(why) => write!(f, "{why}"),
            Self::Read(why) => write!(f, "{why}"),
            Self::Refused(why) => write!(f, "{why}"),
            Self::Write(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Baseline(why) => Some(why),
            Self::Read(why) => Some(why),
            Self::Refused(why) => Some(why),
            Self::Write(why) => Some(why),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(why: ReadError) -> Self {
        Self::Baseline(why)
    }
}

impl From<WriteError> for Failure {
    fn from(why: WriteError) -> Self {
        Self::Write(why)
    }
}

impl From<Fault> for Failure {
    fn from(why: Fault) -> Self {
        Self::Refused(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_words_do_not_fill_the_memory() {
        let mut losses = Losses::default();
        for number in 0..1000 {
            losses.add(format!("word {number}"));
            losses.add("always");
        }
        let list = losses.into_list();
        assert_eq!(list.len(), MOST_LOSSES + 1);
        assert_eq!(list.iter().map(|loss| loss.entries).sum::<u64>(), 2000);
        let always = list.iter().find(|loss| loss.what == "always").unwrap();
        assert_eq!(always.to_string(), "1000 entries: always");
    }
}
