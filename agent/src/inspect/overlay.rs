//! The overlay that makes one baseline of another: laid over its base by a merge, it gives the target.
//!
//! It has the target's entries that the base does not have like that, and `absent` entries for what the target does
//! not have. What the target could not see is not called absent: there the base's entries stay.

use std::fmt;
use std::io::{BufRead, Write};

use baseline_format::header::{End, FORMAT_VERSION, Header, Image, SectionInfo};
use baseline_format::order::{compare, is_below};
use baseline_format::{
    BaselineReader, BaselineWriter, Entry, Line, OsText, ReadError, Reference as _, WriteError,
};

use super::merge::Settings;
use super::scopes::{is_same, is_same_set};
use super::{ABSENT, OVERLAY, PROVENANCE};
use crate::scan::FILES;

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Counts and digests.
    pub end: End,
    /// Entries that the overlay removes.
    pub removed: u64,
    /// Entries of the base of which the target could not tell whether it has them; the overlay leaves them alone.
    pub unknown: u64,
}

/// Writes the overlay that makes `target` of `base`. Both must cover the same: the same sections in the same
/// revisions, and the same scope. What `settings` does not name is taken over from the target.
pub fn overlay<B: BufRead, T: BufRead, W: Write>(
    base: (OsText, BaselineReader<B>),
    target: (OsText, BaselineReader<T>),
    settings: &Settings,
    out: W,
) -> Result<(W, Written), Failure> {
    let header = header(base.1.header(), target.1.header(), settings)?;
    let mut laying = Laying {
        writer: BaselineWriter::new(&header, out).map_err(Failure::Write)?,
        written: Written {
            end: End {
                sections: Vec::new(),
                entries: 0,
                digest: String::new(),
            },
            removed: 0,
            unknown: 0,
        },
        cover: None,
        hidden: None,
    };
    let ((base_place, mut base), (target_place, mut target)) = (base, target);
    let base_failed = |why| Failure::Baseline {
        path: base_place.clone(),
        why,
    };
    let target_failed = |why| Failure::Baseline {
        path: target_place.clone(),
        why,
    };
    loop {
        let order = match (base.current(), target.current()) {
            (None, None) => break,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(was), Some(is)) => compare((was.section(), &was.key()), (is.section(), &is.key())),
        };
        match (base.current(), target.current()) {
            (Some(was), _) if order.is_lt() => laying.gone(&was)?,
            (was, Some(is)) => laying.there(was.filter(|_| order.is_eq()), is)?,
            _ => {}
        }
        if order.is_le() {
            base.advance().map_err(base_failed)?;
        }
        if order.is_ge() {
            target.advance().map_err(target_failed)?;
        }
    }
    let Laying { writer, written, .. } = laying;
    let (out, end) = writer.finish().map_err(Failure::Write)?;
    Ok((out, Written { end, ..written }))
}

/// The overlay's header; a failure if the two do not cover the same.
fn header(base: &Header, target: &Header, settings: &Settings) -> Result<Header, Failure> {
    for header in [base, target] {
        if header.image.source_kind == OVERLAY {
            return Err(Failure::Overlay);
        }
    }
    let sections = |header: &Header| -> Vec<SectionInfo> {
        let compared = header
            .sections
            .iter()
            .filter(|section| section.name != PROVENANCE);
        compared.cloned().collect()
    };
    if sections(base) != sections(target) {
        return Err(Failure::Sections);
    }
    let (own, other) = (&base.scope, &target.scope);
    let is_same_scope = own.attributes == other.attributes
        && is_same_set(&own.include, &other.include)
        && own
            .exclude
            .iter()
            .all(|rule| other.exclude.iter().any(|known| is_same(rule, known)))
        && other
            .exclude
            .iter()
            .all(|rule| own.exclude.iter().any(|known| is_same(rule, known)));
    if !is_same_scope {
        return Err(Failure::Scope);
    }
    let image = target.image.clone();
    Ok(Header {
        format: FORMAT_VERSION,
        image: Image {
            name: settings.name.clone().or(image.name),
            version: settings.version.clone().or(image.version),
            purpose: settings.purpose.clone().or(image.purpose),
            digest: None,
            source_kind: OVERLAY.to_owned(),
            ..image
        },
        sections: sections(target),
        scope: target.scope.clone(),
    })
}

/// The overlay under way.
struct Laying<W: Write> {
    writer: BaselineWriter<W>,
    written: Written,
    /// A file below which a merge takes nothing from the base, so that all of the target must be here.
    cover: Option<OsText>,
    /// A part of the target that nobody looked into: section, key, and whether it is the whole section.
    hidden: Option<(String, String, bool)>,
}

impl<W: Write> Laying<W> {
    /// An entry that only the base has.
    fn gone(&mut self, was: &Line<'_>) -> Result<(), Failure> {
        if was.section() == PROVENANCE {
            return Ok(());
        }
        let key = was.key();
        let is_hidden = self.hidden.as_ref().is_some_and(|(section, above, whole)| {
            section == was.section() && (*whole || is_below(&key, above))
        });
        if is_hidden {
            self.written.unknown += 1;
            return Ok(());
        }
        if self.is_covered(was.section(), &key) {
            return Ok(());
        }
        let key = OsText::parse(&key).unwrap_or_default();
        let bytes = Entry::new(was.section().to_owned(), key.clone())
            .with(ABSENT, true)
            .to_line();
        if let Some(line) = std::str::from_utf8(&bytes).ok().and_then(Line::trusted) {
            self.writer.push(line).map_err(Failure::Write)?;
            self.written.removed += 1;
        }
        if was.section() == FILES {
            self.cover = Some(key);
        }
        Ok(())
    }

    /// An entry that the target has; `was` is the base's, if there is one.
    fn there(&mut self, was: Option<Line<'_>>, is: Line<'_>) -> Result<(), Failure> {
        if is.section() == PROVENANCE {
            return Ok(());
        }
        if let Some(ABSENT_VALUE) = is.get(ABSENT).map(|value| value.as_json()) {
            return Err(Failure::Absent(OsText::parse(&is.key()).unwrap_or_default()));
        }
        let key = is.key();
        let is_covered = self.is_covered(is.section(), &key);
        if is_covered || was.is_none_or(|was| was.as_str() != is.as_str()) {
            self.writer.push(is).map_err(Failure::Write)?;
            if !is_covered && is.section() == FILES && super::merge::is_no_directory(&is) {
                self.cover = OsText::parse(&key);
            }
        }
        if is.hides_below().is_some() {
            let hidden = (is.section().to_owned(), key.into_owned(), is.hides_section());
            let is_within = self.hidden.as_ref().is_some_and(|(section, above, whole)| {
                *section == hidden.0 && (*whole || is_below(&hidden.1, above))
            });
            if !is_within {
                self.hidden = Some(hidden);
            }
        }
        Ok(())
    }

    fn is_covered(&self, section: &str, key: &str) -> bool {
        section == FILES
            && self
                .cover
                .as_ref()
                .is_some_and(|cover| is_below(key, cover.as_str()))
    }
}

/// What an entry that must not be there says.
const ABSENT_VALUE: &str = "true";

/// Why there is no overlay.
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
    /// One of the two is an overlay itself.
    Overlay,
    /// An entry of the target has the attribute that removes it.
    Absent(OsText),
    /// They have different sections.
    Sections,
    /// They leave out different things.
    Scope,
    /// The overlay cannot be written.
    Write(WriteError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Baseline { path, why } => write!(f, "{path}: {why}"),
            Self::Overlay => f.write_str("an overlay cannot be made of an overlay: merge it with its base first"),
            Self::Absent(key) => write!(f, "`{key}` of the target has the attribute `{ABSENT}`, which overlays have"),
            Self::Sections => f.write_str(
                "the two baselines have different sections or revisions: what only one recorded is not known to differ",
            ),
            Self::Scope => f.write_str(
                "the two baselines leave out different things: what only one looked at is not known to differ; record \
                 both with the same --include and --exclude",
            ),
            Self::Write(why) => write!(f, "{why}"),
        }
    }
}

impl std::error::Error for Failure {}
