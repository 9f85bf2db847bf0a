//! All inputs at once, place by place in THE order.

use baseline_format::order::{compare, is_below};
use baseline_format::{Line, OsText, Reference};

use super::plan::Plan;
use super::{Failure, Input, Reader, open};
use crate::inspect::scopes::{LeftOutBy, rule_text};
use crate::inspect::{ABSENT, OVERLAY, PROVENANCE};
use crate::scan::FILES;

/// The inputs, each standing on its next entry.
pub(super) struct Walk<'a> {
    readers: Vec<Reader<'a>>,
    places: Vec<OsText>,
    overlays: Vec<bool>,
    /// Files that leave nothing below them of the inputs before theirs: what is not there, or is no directory.
    covers: Vec<(usize, String)>,
}

/// A place that some inputs have an entry for.
pub(super) struct Place {
    pub(super) section: String,
    pub(super) key: String,
    /// The inputs that have an entry, in their order.
    at: Vec<usize>,
    /// The input whose entry is taken.
    taken: Option<usize>,
    origin: Origin,
}

/// What became of a place, by which input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// It is the base's entry.
    Base,
    Added(usize),
    Replaced(usize),
    Removed(usize),
    /// An overlay removes what was not there.
    Idle,
}

impl Place {
    pub(super) const fn origin(&self) -> Origin {
        self.origin
    }
}

impl<'a> Walk<'a> {
    pub(super) fn open(inputs: &[Input<'a>], plan: &Plan) -> Result<Self, Failure> {
        let mut walk = Self {
            readers: inputs.iter().map(open).collect::<Result<_, _>>()?,
            places: inputs.iter().map(|input| input.place.clone()).collect(),
            overlays: plan
                .headers
                .iter()
                .map(|header| header.image.source_kind == OVERLAY)
                .collect(),
            covers: Vec::new(),
        };
        for at in 0..walk.readers.len() {
            walk.skip_provenance(at)?;
        }
        Ok(walk)
    }

    /// The next place, and what the inputs make of it.
    pub(super) fn next_place(&mut self) -> Result<Option<Place>, Failure> {
        let mut at: Vec<usize> = Vec::new();
        let mut least: Option<(&str, std::borrow::Cow<'_, str>)> = None;
        for (input, reader) in self.readers.iter().enumerate() {
            let Some(line) = reader.current() else { continue };
            let (section, key) = (line.section(), line.key());
            let order = match &least {
                Some((least, least_key)) => compare((section, &key), (least, least_key)),
                None => std::cmp::Ordering::Less,
            };
            if order.is_lt() {
                at.clear();
                least = Some((section, key));
            }
            if order.is_le() {
                at.push(input);
            }
        }
        let Some((section, key)) = least else {
            return Ok(None);
        };
        let (section, key) = (section.to_owned(), key.into_owned());
        self.covers
            .retain(|(_, above)| section == FILES && is_below(&key, above));
        let (taken, origin) = self.settle(&section, &key, &at)?;
        Ok(Some(Place {
            section,
            key,
            at,
            taken,
            origin,
        }))
    }

    /// The entry that is taken at a place.
    pub(super) fn line(&self, place: &Place) -> Option<Line<'_>> {
        self.readers.get(place.taken?)?.current()
    }

    /// Refuses an entry where the merged baseline looks away although the entry's own input did not.
    pub(super) fn refuse_contradiction(&self, place: &Place, plan: &Plan) -> Result<(), Failure> {
        if place.section != FILES || plan.outlook.is_everything() {
            return Ok(());
        }
        let Some((input, line)) = place.taken.zip(self.line(place)) else {
            return Ok(());
        };
        let Some(rule) = plan.outlook.leaves_out(&line) else {
            return Ok(());
        };
        let own = plan.outlooks.get(input);
        if own.is_some_and(|own| own.has(rule, plan.outlook.recorded())) {
            return Ok(());
        }
        let (rule, other) = match rule {
            LeftOutBy::Include => ("only what was asked for".to_owned(), None),
            LeftOutBy::Exclusion(rule) => {
                let has = |outlook: &crate::inspect::scopes::Outlook| {
                    outlook.has(LeftOutBy::Exclusion(rule), plan.outlook.recorded())
                };
                (rule_text(rule), plan.outlooks.iter().position(has))
            }
        };
        let place_of = |at: usize| self.places.get(at).cloned().unwrap_or_default();
        Err(Failure::Contradiction {
            path: place_of(input),
            key: OsText::parse(&place.key).unwrap_or_default(),
            rule,
            other: place_of(other.unwrap_or(0)),
        })
    }

    /// Passes a place.
    pub(super) fn advance(&mut self, place: &Place) -> Result<(), Failure> {
        for &input in &place.at {
            self.step(input)?;
            self.skip_provenance(input)?;
        }
        Ok(())
    }

    /// Refuses an input that is not the one that was verified; at the end.
    pub(super) fn refuse_changed(&self, plan: &Plan) -> Result<(), Failure> {
        for ((reader, verified), place) in self.readers.iter().zip(&plan.ends).zip(&self.places) {
            if reader.end() != Some(verified) {
                return Err(Failure::Changed(place.clone()));
            }
        }
        Ok(())
    }

    /// Lays the entries of one place over one another.
    fn settle(&mut self, section: &str, key: &str, at: &[usize]) -> Result<(Option<usize>, Origin), Failure> {
        let cover = self.covers.iter().map(|(input, _)| *input).max();
        let mut taken: Option<(usize, &str)> = None;
        let mut origin = Origin::Idle;
        let mut was_there = false;
        let mut covers = Vec::new();
        for &input in at {
            let Some(line) = self.readers.get(input).and_then(Reference::current) else {
                continue;
            };
            let is_absent = self.is_absent(input, &line)?;
            if let Some(cover) = cover.filter(|cover| input < *cover) {
                if !is_absent {
                    (origin, was_there) = (Origin::Removed(cover), true);
                }
                continue;
            }
            if is_absent {
                if taken.take().is_some() {
                    origin = Origin::Removed(input);
                }
            } else if taken.is_none_or(|(_, text)| text != line.as_str()) {
                origin = match (input, was_there) {
                    (0, _) => Origin::Base,
                    (_, true) => Origin::Replaced(input),
                    (_, false) => Origin::Added(input),
                };
                taken = Some((input, line.as_str()));
                was_there = true;
            }
            if input > 0 && section == FILES && (is_absent || is_no_directory(&line)) {
                covers.push((input, key.to_owned()));
            }
        }
        let taken = taken.map(|(input, _)| input);
        self.covers.extend(covers);
        Ok((taken, origin))
    }

    /// Whether an overlay says that the entry must not be there.
    fn is_absent(&self, input: usize, line: &Line<'_>) -> Result<bool, Failure> {
        if !line.as_str().contains("\"absent\":") {
            return Ok(false);
        }
        match line.get(ABSENT) {
            Some(value) if value.as_json() == "true" => {}
            _ => return Ok(false),
        }
        if self.overlays.get(input) == Some(&true) {
            return Ok(true);
        }
        Err(Failure::Absent {
            path: self.places.get(input).cloned().unwrap_or_default(),
            key: OsText::parse(&line.key()).unwrap_or_default(),
        })
    }

    /// The provenance of an input that was merged itself is not carried on: it can be read there.
    fn skip_provenance(&mut self, input: usize) -> Result<(), Failure> {
        while self
            .readers
            .get(input)
            .and_then(Reference::current)
            .is_some_and(|line| line.section() == PROVENANCE)
        {
            self.step(input)?;
        }
        Ok(())
    }

    fn step(&mut self, input: usize) -> Result<(), Failure> {
        match self.readers.get_mut(input) {
            Some(reader) => reader.advance().map_err(|why| Failure::Baseline {
                path: self.places.get(input).cloned().unwrap_or_default(),
                why,
            }),
            None => Ok(()),
        }
    }
}

/// Whether an entry is known to be something that nothing can be below.
pub(in crate::inspect) fn is_no_directory(line: &Line<'_>) -> bool {
    line.get("type")
        .is_some_and(|kind| kind.as_json() != "\"directory\"")
}
