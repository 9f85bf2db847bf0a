//! Merges a reference with an observed stream and says what differs.
//!
//! Both are in THE order, so one pass and one entry of each side are enough: the reference is pulled, the
//! observed entries are pushed. Most pairs are equal lines and cost one comparison of bytes.

use std::cmp::Ordering;

use crate::entry::{ALL, BELOW, MOUNT, UNSEEN, what_of};
use crate::order::{compare_keys, is_below};
use crate::reader::ReadError;
use crate::report::{Change, ChangeKind, FieldChange};
use crate::{Line, OsText, RawValue};

/// A sorted stream of entries that is pulled: a baseline file, or what packages declare.
pub trait Reference {
    /// The entry that the stream stands on; `None` after the last one.
    fn current(&self) -> Option<Line<'_>>;

    /// Steps to the next entry.
    fn advance(&mut self) -> Result<(), ReadError>;
}

/// What the comparer tells.
pub trait Findings {
    /// A difference, or an entry that could not be compared.
    fn change(&mut self, change: Change);

    /// A part of the key space that one side did not look into; told once it has been passed.
    fn hidden(&mut self, hidden: Hidden);

    /// Whether a reference entry without an observed one lies in what the audit was told to look at. If not,
    /// the implementation counts it as skipped, and no change is told.
    fn in_scope(&mut self, expected: &Line<'_>) -> bool;

    /// A directory that both sides have, and that something is mounted over on (at least) one of them; `mounted` is
    /// that side's entry. The directory itself cannot be compared, only what is mounted there could be seen.
    fn covered(&mut self, mounted: &Line<'_>);

    /// An expected entry was observed. `verified` is false if part of it could not be compared.
    fn met(&mut self, observed: &Line<'_>, verified: bool);
}

/// A part of the key space that one side did not look into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hidden {
    /// The section.
    pub section: String,
    /// The entry that it lies below.
    pub key: OsText,
    /// Why it was not looked into.
    pub why: String,
    /// The type of the file system that is mounted there, if that is the reason.
    pub mount: Option<String>,
    /// Whether it is the rest of the section, and not only what is below the key.
    pub whole_section: bool,
    /// Who did not look.
    pub side: Side,
    /// Entries of the other side below `key`, which therefore could not be compared.
    pub entries: u64,
}

/// One of the two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The baseline.
    Reference,
    /// The host.
    Observed,
}

/// Which attributes take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// All that either side has, but those recorded for information only.
    All,
    /// Those that the reference has: it declares only part of each entry.
    Declared,
}

/// Informative attributes that are told along when the attribute they name differs.
const COMPANIONS: [(&str, &str); 2] = [("group", "gid"), ("user", "uid")];

/// The merge of one reference with one observed stream.
#[derive(Debug)]
pub struct Comparer<R> {
    reference: R,
    attributes: Attributes,
    /// Names of attributes that are never compared, e.g. `mtime`.
    informative: &'static [&'static str],
    hidden: [Option<Hidden>; 2],
}

impl<R: Reference> Comparer<R> {
    /// Compares with `reference`; attributes named in `informative` are not compared.
    pub const fn new(reference: R, attributes: Attributes, informative: &'static [&'static str]) -> Self {
        Self {
            reference,
            attributes,
            informative,
            hidden: [None, None],
        }
    }

    /// The reference.
    pub const fn reference(&self) -> &R {
        &self.reference
    }

    /// Takes the next observed entry.
    pub fn observe(&mut self, observed: &Line<'_>, findings: &mut dyn Findings) -> Result<(), ReadError> {
        while let Some(expected) = self.reference.current() {
            match place_order(&expected, observed) {
                Ordering::Less => {
                    missing(&expected, &mut self.hidden, findings);
                    self.reference.advance()?;
                }
                Ordering::Equal => {
                    leave(&mut self.hidden, observed, findings);
                    if expected.as_str() == observed.as_str() && !may_hide(observed) {
                        findings.met(observed, true);
                    } else {
                        self.pair(&expected, observed, findings);
                        for (line, side) in [(&expected, Side::Reference), (observed, Side::Observed)] {
                            enter(&mut self.hidden, line, side);
                        }
                    }
                    return self.reference.advance();
                }
                Ordering::Greater => break,
            }
        }
        leave(&mut self.hidden, observed, findings);
        if !count_hidden(&mut self.hidden, observed, Side::Reference) {
            findings.change(whole(observed, ChangeKind::Added));
        }
        enter(&mut self.hidden, observed, Side::Observed);
        Ok(())
    }

    /// Passes what the reference has of `section`, which is not looked at; returns how many entries that was.
    pub fn pass(&mut self, section: &str, findings: &mut dyn Findings) -> Result<u64, ReadError> {
        let mut passed = 0;
        while let Some(expected) = self.reference.current() {
            match expected.section().cmp(section) {
                Ordering::Less => missing(&expected, &mut self.hidden, findings),
                Ordering::Equal => passed += 1,
                Ordering::Greater => break,
            }
            self.reference.advance()?;
        }
        Ok(passed)
    }

    /// Ends the observed stream: what is left of the reference was not observed.
    pub fn finish(mut self, findings: &mut dyn Findings) -> Result<R, ReadError> {
        while let Some(expected) = self.reference.current() {
            missing(&expected, &mut self.hidden, findings);
            self.reference.advance()?;
        }
        for hidden in self.hidden.iter_mut().filter_map(Option::take) {
            findings.hidden(hidden);
        }
        Ok(self.reference)
    }

    /// Compares two entries of one place.
    fn pair(&self, expected: &Line<'_>, observed: &Line<'_>, findings: &mut dyn Findings) {
        // What lies under a mount cannot be seen, not even the directory that it covers.
        if observed.get(MOUNT).is_some() || expected.get(MOUNT).is_some() {
            if covers_content(expected, observed) {
                findings.met(observed, false);
                let note = OsText::from("all: something else is mounted over it");
                findings.change(Change {
                    section: observed.section().to_owned(),
                    key: OsText::parse(&observed.key()).unwrap_or_default(),
                    kind: ChangeKind::Unseen,
                    fields: blind_fields(Vec::new(), &[(note, Side::Observed)]),
                });
            } else {
                let mounted = if observed.get(MOUNT).is_some() {
                    observed
                } else {
                    expected
                };
                findings.covered(mounted);
            }
            return;
        }
        let (mut modified, mut unseen, mut aside) = (Vec::new(), Vec::new(), Vec::new());
        let blind: Vec<(OsText, Side)> = expected
            .unseen()
            .into_iter()
            .map(|note| (note, Side::Reference))
            .chain(observed.unseen().into_iter().map(|note| (note, Side::Observed)))
            .filter(|(note, _)| self.attributes == Attributes::All || concerns(note, expected))
            .collect();
        let is_blind = |name: &str| {
            blind
                .iter()
                .map(|(note, _)| what_of(note))
                .any(|what| what == name || what == ALL || (what == EXTENDED && is_extended(name)))
        };
        let (mut left, mut right) = (expected.attributes().peekable(), observed.attributes().peekable());
        loop {
            let order = match (left.peek(), right.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((l, _)), Some((r, _))) => l.as_ref().cmp(r.as_ref()),
            };
            let was = if order.is_le() { left.next() } else { None };
            let is = if order.is_ge() { right.next() } else { None };
            let Some(name) = was.as_ref().or(is.as_ref()).map(|(name, _)| name.as_ref()) else {
                break;
            };
            let undeclared = self.attributes == Attributes::Declared && was.is_none();
            if name == UNSEEN || undeclared {
                continue;
            }
            let (was, is) = (
                was.as_ref().map(|(_, value)| *value),
                is.as_ref().map(|(_, value)| *value),
            );
            if was != is {
                let into = match is_blind(name) {
                    _ if self.informative.contains(&name) => &mut aside,
                    true => &mut unseen,
                    false => &mut modified,
                };
                into.push(field(name, was, is));
            }
        }
        for (name, of) in COMPANIONS {
            if modified.iter().any(|field: &FieldChange| field.name == of) {
                modified.extend(aside.iter().find(|field| field.name == name).cloned());
            }
        }
        let section = observed.section();
        let key = OsText::parse(&observed.key()).unwrap_or_default();
        let own_blindness = blind.iter().any(|(note, _)| what_of(note) != BELOW);
        findings.met(observed, !own_blindness);
        if own_blindness {
            let fields = blind_fields(unseen, &blind);
            findings.change(Change {
                section: section.to_owned(),
                key: key.clone(),
                kind: ChangeKind::Unseen,
                fields,
            });
        }
        if !modified.is_empty() {
            findings.change(Change {
                section: section.to_owned(),
                key,
                kind: ChangeKind::Modified,
                fields: modified,
            });
        }
    }
}

/// In [`UNSEEN`]: the extended attributes could not even be listed.
const EXTENDED: &str = "xattr";

/// Whether an attribute is made of an extended attribute.
fn is_extended(name: &str) -> bool {
    matches!(name, "acl" | "capabilities" | "default-acl" | "selinux") || name.starts_with("xattr:")
}

/// Whether a mount hides an expected entry that is more than a place to mount something at: a file or a link says
/// something by itself, and somebody may have mounted another one over it.
fn covers_content(expected: &Line<'_>, observed: &Line<'_>) -> bool {
    let is_directory = |line: &Line<'_>| {
        line.get("type")
            .is_none_or(|kind| kind.as_json() == "\"directory\"")
    };
    observed.get(MOUNT).is_some() && expected.get(MOUNT).is_none() && !is_directory(expected)
}

/// Whether a note of blindness concerns something that `expected` declares.
fn concerns(note: &OsText, expected: &Line<'_>) -> bool {
    let what = what_of(note);
    what == ALL || what == BELOW || expected.get(what).is_some()
}

/// The order of two lines' places; equal text first, since that is what most pairs are.
fn place_order(left: &Line<'_>, right: &Line<'_>) -> Ordering {
    if left.place() == right.place() {
        return Ordering::Equal;
    }
    left.section()
        .cmp(right.section())
        .then_with(|| compare_keys(&left.key(), &right.key()))
}

/// Whether a line has a look at all to be one that hides what is below it; false for nearly all.
fn may_hide(line: &Line<'_>) -> bool {
    line.as_str().contains("\"unseen\":") || line.as_str().contains("\"mount\":")
}

/// An expected entry that was not observed.
fn missing(expected: &Line<'_>, hidden: &mut [Option<Hidden>; 2], findings: &mut dyn Findings) {
    leave(hidden, expected, findings);
    if !count_hidden(hidden, expected, Side::Observed) && findings.in_scope(expected) {
        findings.change(whole(expected, ChangeKind::Removed));
    }
    enter(hidden, expected, Side::Reference);
}

/// Remembers that `side` did not look below `line`.
fn enter(hidden: &mut [Option<Hidden>; 2], line: &Line<'_>, side: Side) {
    if !may_hide(line) || hidden[side as usize].is_some() {
        return;
    }
    if let Some(why) = line.hides_below() {
        hidden[side as usize] = Some(Hidden {
            section: line.section().to_owned(),
            key: OsText::parse(&line.key()).unwrap_or_default(),
            why,
            mount: line.get(MOUNT).map(|kind| kind.decode().to_string()),
            whole_section: line.hides_section(),
            side,
            entries: 0,
        });
    }
}

impl Hidden {
    fn has(&self, line: &Line<'_>) -> bool {
        self.section == line.section() && (self.whole_section || is_below(&line.key(), self.key.as_str()))
    }
}

/// Tells the hidden parts that `line` is not in.
fn leave(hidden: &mut [Option<Hidden>; 2], line: &Line<'_>, findings: &mut dyn Findings) {
    for slot in hidden {
        if slot.as_ref().is_some_and(|part| !part.has(line))
            && let Some(part) = slot.take()
        {
            findings.hidden(part);
        }
    }
}

/// Counts an entry that the other side (`side`) could not see; whether it was one.
fn count_hidden(hidden: &mut [Option<Hidden>; 2], line: &Line<'_>, side: Side) -> bool {
    match &mut hidden[side as usize] {
        Some(part) if part.has(line) => {
            part.entries += 1;
            true
        }
        _ => false,
    }
}

/// The change of an entry that only one side has: all its attributes.
fn whole(line: &Line<'_>, kind: ChangeKind) -> Change {
    let side = if kind == ChangeKind::Removed {
        Side::Reference
    } else {
        Side::Observed
    };
    // Nor is a note of blindness, which one side has and the other does not, a fact that came or went.
    let kind = if matches!(kind, ChangeKind::Added | ChangeKind::Removed)
        && line.unseen().iter().any(|note| what_of(note) == ALL)
    {
        ChangeKind::Unseen
    } else {
        kind
    };
    let fields = line
        .attributes()
        .map(|(name, value)| match kind {
            _ if side == Side::Reference => field(&name, Some(value), None),
            _ => field(&name, None, Some(value)),
        })
        .collect();
    Change {
        section: line.section().to_owned(),
        key: OsText::parse(&line.key()).unwrap_or_default(),
        kind,
        fields,
    }
}

fn field(name: &str, expected: Option<RawValue<'_>>, actual: Option<RawValue<'_>>) -> FieldChange {
    FieldChange {
        name: name.to_owned(),
        expected: expected.map(|value| value.decode()),
        actual: actual.map(|value| value.decode()),
    }
}

/// The fields of an unseen entry: what was expected of the blind attributes, and why they are blind.
fn blind_fields(mut fields: Vec<FieldChange>, blind: &[(OsText, Side)]) -> Vec<FieldChange> {
    for side in [Side::Reference, Side::Observed] {
        let notes: Vec<OsText> = blind
            .iter()
            .filter(|(_, of)| *of == side)
            .map(|(note, _)| note.clone())
            .collect();
        if notes.is_empty() {
            continue;
        }
        let value = Some(crate::Value::List(notes));
        let (expected, actual) = if side == Side::Reference {
            (value, None)
        } else {
            (None, value)
        };
        fields.push(FieldChange {
            name: UNSEEN.to_owned(),
            expected,
            actual,
        });
    }
    fields
}

#[cfg(test)]
mod tests;
