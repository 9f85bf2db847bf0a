//! One baseline made of several: a base, and what is laid over it (`base <- cloud <- role`).
//!
//! Of each key the entry of the last input that has one is taken, whole. An overlay can also remove (`absent`). What
//! the merged baseline covers is no more than some input covered, and where their rules contradict each other the
//! merge is refused. Where each entry comes from is told in the section `provenance`, which nobody compares with a
//! host, so that an audit against the merged baseline is the audit of its entries. `docs/overlays.md` has the rules.
//!
//! Every input is read three times: to verify it, to merge it, and to tell the provenance, which stands in the middle
//! of the baseline. That costs time and saves memory; an input that changes meanwhile is refused.

mod plan;
mod walk;

pub(super) use walk::is_no_directory;

use std::fmt;
use std::io::{self, BufRead, Write};

use baseline_format::header::End;
use baseline_format::{BaselineReader, BaselineWriter, Entry, Line, OsText, ReadError, WriteError};

use super::{INPUTS, PROVENANCE};
use crate::scan::BadGlob;
use plan::Plan;
use walk::{Origin, Place, Walk};

/// A baseline that can be read several times.
pub struct Input<'a> {
    /// Where it is, as given.
    pub place: OsText,
    /// Opens it at its beginning.
    pub open: Box<dyn Fn() -> io::Result<Box<dyn BufRead + 'a>> + 'a>,
}

/// What the merged baseline is called. What is not given is taken over from the last input that has a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What hosts of it are for.
    pub purpose: Option<String>,
}

/// What was merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Counts and digests.
    pub end: End,
    /// What each input is called in `provenance`, in their order.
    pub labels: Vec<OsText>,
    /// Entries that only came with an overlay.
    pub added: u64,
    /// Entries that an overlay replaced.
    pub replaced: u64,
    /// Entries that an overlay removed.
    pub removed: u64,
    /// Removals of entries that were not there.
    pub idle: u64,
    /// What somebody may not expect, in sentences: e.g. that the merged baseline leaves out what only one input did.
    pub remarks: Vec<String>,
}

/// Most inputs of one merge.
pub const MOST: usize = 64;

/// Merges `inputs`, the base first, and writes the result. The same inputs give the same bytes. What stands in `out`
/// before an error is no baseline.
pub fn merge<W: Write>(inputs: &[Input<'_>], settings: &Settings, out: W) -> Result<(W, Merged), Failure> {
    let plan = Plan::of(inputs, settings)?;
    let mut writer = BaselineWriter::new(&plan.header, out).map_err(Failure::Write)?;
    let mut merged = Merged {
        end: plan.ends[0].clone(),
        labels: plan.labels.clone(),
        added: 0,
        replaced: 0,
        removed: 0,
        idle: 0,
        remarks: plan.remarks.clone(),
    };
    let mut told = false;
    let mut walk = Walk::open(inputs, &plan)?;
    while let Some(place) = walk.next_place()? {
        if !told && place.section.as_str() > PROVENANCE {
            tell_provenance(inputs, &plan, &mut writer)?;
            told = true;
        }
        walk.refuse_contradiction(&place, &plan)?;
        match place.origin() {
            Origin::Base => {}
            Origin::Added(_) => merged.added += 1,
            Origin::Replaced(_) => merged.replaced += 1,
            Origin::Removed(_) => merged.removed += 1,
            Origin::Idle => merged.idle += 1,
        }
        if let Some(line) = walk.line(&place) {
            writer.push(line).map_err(Failure::Write)?;
        }
        walk.advance(&place)?;
    }
    walk.refuse_changed(&plan)?;
    if !told {
        tell_provenance(inputs, &plan, &mut writer)?;
    }
    let (out, end) = writer.finish().map_err(Failure::Write)?;
    merged.end = end;
    Ok((out, merged))
}

/// Writes the section `provenance`: the inputs, and what an overlay did to which entry.
fn tell_provenance<W: Write>(
    inputs: &[Input<'_>],
    plan: &Plan,
    writer: &mut BaselineWriter<W>,
) -> Result<(), Failure> {
    for (at, ((header, end), label)) in plan.headers.iter().zip(&plan.ends).zip(&plan.labels).enumerate() {
        let entry = Entry::new(PROVENANCE, format!("{INPUTS}{:02}", at + 1))
            .with("digest", end.digest.as_str())
            .with("label", label.clone())
            .with("source-kind", header.image.source_kind.as_str())
            .with_some("image-digest", header.image.digest.as_deref())
            .with_some("name", header.image.name.as_deref())
            .with_some("version", header.image.version.as_deref());
        push(&entry, writer)?;
    }
    let mut walk = Walk::open(inputs, plan)?;
    while let Some(place) = walk.next_place()? {
        let (did, input) = match place.origin() {
            Origin::Added(input) => ("added", input),
            Origin::Replaced(input) => ("replaced", input),
            Origin::Removed(input) => ("removed", input),
            Origin::Base | Origin::Idle => {
                walk.advance(&place)?;
                continue;
            }
        };
        push(&provenance(&place, did, plan, input), writer)?;
        walk.advance(&place)?;
    }
    walk.refuse_changed(plan)
}

/// What an input did to the entry of a place. The section's name has no `/`, so section and key can be told apart.
fn provenance(place: &Place, did: &'static str, plan: &Plan, input: usize) -> Entry {
    let key = OsText::parse(&format!("{}/{}", place.section, place.key)).unwrap_or_default();
    Entry::new(PROVENANCE, key)
        .with("did", did)
        .with("from", plan.labels.get(input).cloned().unwrap_or_default())
}

fn push<W: Write>(entry: &Entry, writer: &mut BaselineWriter<W>) -> Result<(), Failure> {
    let bytes = entry.to_line();
    match std::str::from_utf8(&bytes).ok().and_then(Line::trusted) {
        Some(line) => writer.push(line).map_err(Failure::Write),
        None => Ok(()),
    }
}

/// An input, opened.
type Reader<'a> = BaselineReader<Box<dyn BufRead + 'a>>;

fn open<'a>(input: &Input<'a>) -> Result<Reader<'a>, Failure> {
    let unusable = |why| Failure::Baseline {
        path: input.place.clone(),
        why,
    };
    let bytes = (input.open)().map_err(|why| unusable(ReadError::Io(why)))?;
    BaselineReader::open(bytes).map_err(unusable)
}

impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Input")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// Why nothing was merged.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// An input cannot be read, is broken, or is no baseline.
    Baseline {
        /// The input.
        path: OsText,
        /// Why.
        why: ReadError,
    },
    /// None, or more than [`MOST`].
    Inputs(usize),
    /// The first input only makes sense laid over another one.
    NoBase(OsText),
    /// An input's header says something that this release cannot merge.
    Member {
        /// The input.
        path: OsText,
        /// The member's name.
        member: String,
    },
    /// Two inputs recorded a section in different revisions.
    Revision {
        /// The section.
        section: String,
        /// An input and its revision.
        one: (OsText, u32),
        /// Another input and its revision.
        other: (OsText, u32),
    },
    /// An input has an entry where another one's rules look away.
    Contradiction {
        /// The input with the entry.
        path: OsText,
        /// The entry.
        key: OsText,
        /// The rule.
        rule: String,
        /// The input with the rule.
        other: OsText,
    },
    /// An input that is no overlay removes an entry.
    Absent {
        /// The input.
        path: OsText,
        /// The entry.
        key: OsText,
    },
    /// The first one states only some attributes (a list that others made), the second one all of them.
    Declared(OsText, OsText),
    /// An input was not the same when it was read again.
    Changed(OsText),
    /// A glob in a header cannot be used.
    Glob(BadGlob),
    /// The result cannot be written.
    Write(WriteError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline { path, why } => write!(f, "{path}: {why}"),
            Self::Inputs(many) => write!(f, "{many} baselines cannot be merged: give from 1 to {MOST}"),
            Self::NoBase(path) => write!(
                f,
                "{path}: it is an overlay, which says only what differs from its base: name its base before it"
            ),
            Self::Member { path, member } => write!(
                f,
                "{path}: its header has a member `{member}` that this release does not know how to merge: use a newer \
                 driftcheck"
            ),
            Self::Revision {
                section,
                one: (one, own),
                other: (other, revision),
            } => write!(
                f,
                "section `{section}` is of revision {own} in {one} and of revision {revision} in {other}: record the \
                 older one again"
            ),
            Self::Contradiction {
                path,
                key,
                rule,
                other,
            } => write!(
                f,
                "{path} has `{key}`, where {other} looks away ({rule}): nobody would ever compare it; record both with \
                 the same --include and --exclude"
            ),
            Self::Absent { path, key } => write!(
                f,
                "{path}: it removes `{key}`, but it is no overlay: its header does not say so"
            ),
            Self::Declared(some, all) => write!(
                f,
                "{some} states only some attributes and {all} all of them: merged, an attribute that is not there would \
                 mean nothing or something by chance; record both in the same way"
            ),
            Self::Changed(path) => write!(f, "{path}: it changed while it was merged: try again"),
            Self::Glob(why) => write!(f, "{why}"),
            Self::Write(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests;
