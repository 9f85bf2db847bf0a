//! How two states differ: two sorted streams merged, and what is found given on as it is found.
//!
//! The old state is pulled from its baseline, the new one is pushed: from another baseline ([`baselines`]), or from a
//! scan of an image or a live root ([`Differ`]). Nothing that only one of them could see is called a difference: a
//! section that the other does not have, places that its rules leave out, what was not readable or mounted over are
//! told as not compared.

mod found;
mod marks;
mod packages;

use std::fmt;
use std::io::{self, BufRead};

use baseline_format::compare::{Attributes, Comparer};
use baseline_format::header::{End, Header};
use baseline_format::report::Tool;
use baseline_format::{BaselineReader, Line, OsText, ReadError, Reference};
use driftcheck_report::diff::{self, DIFF_SCHEMA, Diff, Sink, State};

use super::OVERLAY;
use crate::audit::INFORMATIVE;
use crate::scan::BadGlob;
use found::Found;

/// Tells two baselines apart. Differences go to `sink` in THE order; what is returned is the rest of the comparison,
/// with which the sink is finished. `old` and `new` are the places as given.
pub fn baselines<O: BufRead, N: BufRead>(
    old: (OsText, BaselineReader<O>),
    new: (OsText, BaselineReader<N>),
    sink: &mut dyn Sink,
) -> Result<Diff, Failure> {
    let (new_place, mut new) = new;
    let mut differ = Differ::new(old, (new_place.clone(), new.header().clone()), sink)?;
    let unusable = |why| Failure::Baseline {
        path: new_place.clone(),
        why,
    };
    while let Some(line) = new.current() {
        differ.observe(&line)?;
        new.advance().map_err(unusable)?;
    }
    let end = new.verify().map_err(unusable)?;
    differ.finish(Some(&end))
}

/// The program as it names itself in a comparison.
#[must_use]
pub fn tool() -> Tool {
    Tool {
        name: "driftcheck".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// A comparison under way.
pub struct Differ<'a, R: BufRead> {
    comparer: Comparer<BaselineReader<R>>,
    found: Found<'a>,
    old: State,
    new: State,
}

impl<'a, R: BufRead> Differ<'a, R> {
    /// Begins. The new state's header says what it covers: its sections with their revisions, and its scope.
    pub fn new(
        old: (OsText, BaselineReader<R>),
        new: (OsText, Header),
        sink: &'a mut dyn Sink,
    ) -> Result<Self, Failure> {
        let ((old_place, old), (new_place, new)) = (old, new);
        for (place, header) in [(&old_place, old.header()), (&new_place, &new)] {
            if header.image.source_kind == OVERLAY {
                return Err(Failure::Overlay(place.clone()));
            }
        }
        let found = Found::new(old.header(), &new, sink)?;
        let state = |place: OsText, header: &Header| State {
            place: Some(place),
            image: header.image.clone(),
            ..State::default()
        };
        Ok(Self {
            old: state(old_place, old.header()),
            new: state(new_place, &new),
            comparer: Comparer::new(old, Attributes::All, INFORMATIVE),
            found,
        })
    }

    /// Takes the next entry of the new state, which must come in THE order.
    pub fn observe(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        self.new.entries += 1;
        if self.found.observed(line) {
            let compared = self.comparer.observe(line, &mut self.found);
            compared.map_err(|why| self.unusable(why))?;
        }
        self.found.failure()
    }

    /// Ends the new state, of which `end` is the trailer if it was a baseline.
    pub fn finish(self, end: Option<&End>) -> Result<Diff, Failure> {
        let Self {
            comparer,
            mut found,
            mut old,
            mut new,
        } = self;
        let place = old.place.clone().unwrap_or_default();
        let unusable = |why| Failure::Baseline {
            path: place.clone(),
            why,
        };
        let reader = comparer.finish(&mut found).map_err(unusable)?;
        found.failure()?;
        let old_end = reader
            .end()
            .ok_or(ReadError::Truncated { after: 0 })
            .map_err(unusable)?;
        (old.digest, old.entries) = (Some(old_end.digest.clone()), old_end.entries);
        new.digest = end.map(|end| end.digest.clone());
        let found = found.finish(old_end)?;
        let verdict = diff::verdict(&found.sections, &found.not_compared, &found.summary);
        let statement = diff::statement(&found.sections, &found.not_compared, &found.summary);
        Ok(Diff {
            schema: DIFF_SCHEMA.to_owned(),
            tool: tool(),
            changes: Vec::new(),
            old,
            new,
            sections: found.sections,
            left_out: found.left_out,
            not_compared: found.not_compared,
            not_compared_total: found.not_compared_total,
            summary: found.summary,
            verdict,
            statement,
        })
    }

    fn unusable(&self, why: ReadError) -> Failure {
        Failure::Baseline {
            path: self.old.place.clone().unwrap_or_default(),
            why,
        }
    }
}

impl<R: BufRead> fmt::Debug for Differ<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Differ")
            .field("old", &self.old)
            .field("new", &self.new)
            .finish_non_exhaustive()
    }
}

/// Why two states could not be told apart.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// A baseline cannot be read, is broken, or is not one.
    Baseline {
        /// The file.
        path: OsText,
        /// Why.
        why: ReadError,
    },
    /// An overlay is no state of a system.
    Overlay(OsText),
    /// A glob in a header cannot be used.
    Glob(BadGlob),
    /// The notes cannot be written.
    Output(io::Error),
}

impl From<BadGlob> for Failure {
    fn from(why: BadGlob) -> Self {
        Self::Glob(why)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline { path, why } => write!(f, "{path}: {why}"),
            Self::Overlay(path) => write!(
                f,
                "{path}: it is an overlay, which says only what differs from its base: merge it with its base first"
            ),
            Self::Glob(why) => write!(f, "{why}"),
            Self::Output(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests;
