//! A comparison for people: the release notes of an image.
//!
//! ```text
//! what was compared with what
//! STANDS OUT            what must not be overlooked, whatever else changed
//! PACKAGES              downgraded, upgraded, rebuilt, added, removed, changed
//! USERS, GROUPS, ...    who may do what, then every other section under its own name
//! FILES                 setid and capabilities, configuration one by one, the rest by directory
//! NOT COMPARED          what only one state covers, and what could not be seen
//! SECTIONS              one line a section: how much was compared
//! VERDICT: the statement
//! ```
//!
//! Notes come in another order than differences, so differences are held until the end: as many as there is room
//! for, the others are counted.

mod coverage;
mod files;
mod kept;
mod packages;

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use baseline_format::report::ChangeKind;

use super::TextStyle;
use super::fields::{Detail, short_digest};
use super::findings::{Entry, Layout, aligned};
use super::page::{Ink, Page};
use crate::diff::{Diff, DiffVerdict, Difference, Sink, State, line};
use crate::json::require_all_differences;
use crate::words::{count, number, padded, plain, quoted, shorten, width};
use files::Files;
use kept::{Budget, Kept};
use packages::Packages;

/// Packages and configuration files are what notes are read for: so many of each kind are listed at least.
const LISTED: usize = 1_000;
/// Columns of the last line at most; it is never broken.
const LAST_LINE: usize = 1_000;
/// Indent of a heading, and of what stands below it.
const HEADING: &str = "  ";
const BELOW: &str = "    ";

/// Writes a comparison for people, in memory that does not grow with the number of differences.
#[derive(Debug)]
pub struct DiffText<'a> {
    style: TextStyle<'a>,
    budget: Budget,
    taken: u64,
    warnings: Kept,
    packages: Packages,
    /// All other sections but `files`.
    sections: BTreeMap<String, Kept>,
    files: Files,
    unseen: Kept,
}

impl<'a> DiffText<'a> {
    /// Nothing taken yet. `style.limit` is for each section and kind of change; packages and configuration files are
    /// listed up to 1,000 if it is less.
    #[must_use]
    pub fn new(style: TextStyle<'a>) -> Self {
        Self {
            budget: Budget::new(limit(&style).max(LISTED)),
            style,
            taken: 0,
            warnings: Kept::default(),
            packages: Packages::default(),
            sections: BTreeMap::new(),
            files: Files::default(),
            unseen: Kept::default(),
        }
    }

    /// Writes the notes. `head` is the comparison without its differences, which have been taken one by one; an error
    /// if it counts others, before anything is written.
    pub fn finish(self, head: &Diff, out: impl Write) -> io::Result<()> {
        require_all_differences(self.taken, &head.changes, head.summary.changes)?;
        let mut out = BufWriter::new(out);
        let mut page = Page::new(&mut out, self.style.width, self.style.colour);
        write_head(head, &mut page)?;
        self.write_warnings(head, &mut page)?;
        self.packages.write(&self.style, &mut page)?;
        for name in self.section_order() {
            if let Some(kept) = self.sections.get(name) {
                self.write_section(name, kept, &mut page)?;
            }
        }
        self.files.write(&self.style, &mut page)?;
        coverage::write_not_compared(head, &self.unseen, &self.style, &mut page)?;
        coverage::write_table(&head.sections, &mut page)?;
        coverage::write_left_out(&head.left_out, &self.style, &mut page)?;
        page.blank()?;
        let ink = match head.verdict {
            DiffVerdict::Equal => Ink::Fine,
            DiffVerdict::Differ => Ink::Strong,
            DiffVerdict::Incomplete | DiffVerdict::DifferAndIncomplete => Ink::Warn,
        };
        page.unbroken(ink, &line(head.verdict, &head.statement), LAST_LINE)?;
        out.flush()
    }

    /// Accounts first, then all others by name.
    fn section_order(&self) -> impl Iterator<Item = &str> {
        let others = self
            .sections
            .keys()
            .map(String::as_str)
            .filter(|name| !ACCOUNTS.iter().any(|(known, _)| known == name));
        ACCOUNTS.iter().map(|(name, _)| *name).chain(others)
    }

    fn write_warnings(&self, head: &Diff, page: &mut Page<'_>) -> io::Result<()> {
        if head.summary.warnings == 0 {
            return Ok(());
        }
        title("STANDS OUT", head.summary.warnings, Ink::Alarm, page)?;
        let mut groups: Vec<(&str, &str, Vec<&Difference>)> = Vec::new();
        for difference in self.warnings.items() {
            let warning = difference.warning.as_deref().unwrap_or_default();
            let section = difference.section.as_str();
            let known = groups
                .iter()
                .position(|(of, why, _)| *of == section && *why == warning);
            match known {
                Some(at) => groups[at].2.push(difference),
                // Their number is foreign, and looking through them costs its square.
                None if groups.len() < GROUPS => groups.push((section, warning, vec![difference])),
                None => {}
            }
        }
        let listed: usize = groups
            .iter()
            .map(|(_, _, items)| items.len().min(limit(&self.style)))
            .sum();
        for (section, warning, items) in groups {
            page.wrapped(
                HEADING,
                Ink::Plain,
                &format!("{}: {}", plain(section), plain(warning)),
            )?;
            let items: Vec<_> = items.into_iter().take(limit(&self.style)).collect();
            write_entries(&items, page)?;
        }
        more(
            head.summary.warnings.saturating_sub(listed as u64),
            "",
            &self.style,
            page,
        )
    }

    fn write_section(&self, name: &str, kept: &Kept, page: &mut Page<'_>) -> io::Result<()> {
        title(&heading(name), kept.total(), Ink::Strong, page)?;
        write_by_kind(kept, limit(&self.style), &self.style, page)
    }
}

impl Sink for DiffText<'_> {
    fn take(&mut self, difference: Difference) -> io::Result<()> {
        self.taken += 1;
        let budget = &mut self.budget;
        if difference.warning.is_some() {
            self.warnings.take_ref(&difference, budget);
        }
        if difference.change == ChangeKind::Unseen {
            self.unseen.take(difference, budget);
        } else if difference.section == "packages" {
            self.packages.take(difference, budget);
        } else if difference.section == "files" {
            self.files.take(difference, budget);
        } else if let Some(kept) = self.sections.get_mut(&difference.section) {
            kept.take(difference, budget);
        } else {
            let mut kept = Kept::default();
            let section = difference.section.clone();
            kept.take(difference, budget);
            self.sections.insert(section, kept);
        }
        Ok(())
    }
}

/// Different warnings told.
const GROUPS: usize = 200;

/// Sections that say who may do what, and how they are called.
const ACCOUNTS: [(&str, &str); 6] = [
    ("users", "USERS"),
    ("groups", "GROUPS"),
    ("shadow", "PASSWORDS"),
    ("sudoers", "SUDO RULES"),
    ("authorized-keys", "SSH KEYS"),
    ("subids", "SUBORDINATE IDS"),
];

/// How a section is called; one that nobody here knows by its own name.
fn heading(section: &str) -> String {
    match ACCOUNTS.iter().find(|(name, _)| *name == section) {
        Some((_, known)) => (*known).to_owned(),
        None => shorten(&plain(section), 40).to_uppercase().replace('-', " "),
    }
}

fn write_head(head: &Diff, page: &mut Page<'_>) -> io::Result<()> {
    let (name, version) = (plain(&head.tool.name), plain(&head.tool.version));
    let (old, new) = (named(&head.old), named(&head.new));
    page.wrapped(
        "",
        Ink::Strong,
        &format!("{name} {version}: changes from {old} to {new}"),
    )?;
    for (lead, state) in [("  old      ", &head.old), ("  new      ", &head.new)] {
        page.wrapped(lead, Ink::Plain, &described(state))?;
    }
    Ok(())
}

/// The image's name and version, or the place where nobody named it.
fn named(state: &State) -> String {
    let words: Vec<String> = [&state.image.name, &state.image.version]
        .into_iter()
        .flatten()
        .map(|word| quoted(&plain(word)).into_owned())
        .collect();
    match &state.place {
        Some(place) if words.is_empty() => quoted(place.as_str()).into_owned(),
        _ if words.is_empty() => "(no name)".to_owned(),
        _ => words.join(" "),
    }
}

fn described(state: &State) -> String {
    let mut words = vec![plain(&state.image.source_kind).into_owned()];
    if let Some(digest) = &state.image.digest {
        words.push(format!("image {}", digest_text(digest)));
    }
    if let Some(digest) = &state.digest {
        words.push(format!("baseline {}", digest_text(digest)));
    }
    words.push(count(state.entries, "entry", "entries"));
    if let Some(place) = &state.place {
        words.push(format!("from {}", quoted(place.as_str())));
    }
    words.join(", ")
}

fn digest_text(digest: &str) -> String {
    short_digest(digest).unwrap_or_else(|| shorten(&plain(digest), 32).into_owned())
}

/// A heading and how many it counts.
fn title(text: &str, many: u64, ink: Ink, page: &mut Page<'_>) -> io::Result<()> {
    page.blank()?;
    page.line(&[(ink, &format!("{text} ({})", number(many)))])
}

/// How many are listed.
const fn limit(style: &TextStyle<'_>) -> usize {
    if style.limit == 0 { usize::MAX } else { style.limit }
}

/// Lists what changed, came and went, each under its heading.
fn write_by_kind(kept: &Kept, limit: usize, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
    for (kind, word) in [
        (ChangeKind::Modified, "changed"),
        (ChangeKind::Added, "added"),
        (ChangeKind::Removed, "removed"),
    ] {
        let total = kept.of_kind(kind);
        if total == 0 {
            continue;
        }
        page.line(&[
            (Ink::Plain, HEADING),
            (Ink::Plain, &format!("{word} ({})", number(total))),
        ])?;
        let items: Vec<&Difference> = kept
            .items()
            .filter(|item| item.change == kind)
            .take(limit)
            .collect();
        write_entries(&items, page)?;
        more(total - items.len() as u64, "", style, page)?;
    }
    Ok(())
}

/// Lists entries with what differs about them.
fn write_entries(items: &[&Difference], page: &mut Page<'_>) -> io::Result<()> {
    let room = page.width().saturating_sub(width(BELOW));
    let labels: Vec<String> = items
        .iter()
        .map(|item| shorten(&quoted(item.key.as_str()), room).into_owned())
        .collect();
    write_labelled(
        &labels,
        items.iter().map(|item| (item.change, files::told(item))),
        page,
    )
}

/// Lists labels with their details, which start in one column where there is room.
fn write_labelled(
    labels: &[String],
    details: impl Iterator<Item = (ChangeKind, Vec<Detail>)>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let aligned = aligned(labels, page.width().saturating_sub(width(BELOW)));
    for (label, (change, details)) in labels.iter().zip(details) {
        let entry = Entry {
            lead: BELOW,
            label,
            aligned,
            details,
            hint: None,
        };
        let layout = match change {
            ChangeKind::Added | ChangeKind::Removed => Layout::Flowing,
            ChangeKind::Modified | ChangeKind::Unseen => Layout::Listed,
        };
        entry.write(layout, page)?;
    }
    Ok(())
}

/// Says how many are not listed.
fn more(many: u64, what: &str, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
    if many == 0 {
        return Ok(());
    }
    let what = if what.is_empty() {
        String::new()
    } else {
        format!(" {what}")
    };
    let text = format!("... and {} more{what}; {}", number(many), style.elsewhere);
    page.wrapped(&padded("", BELOW.len()), Ink::Plain, &text)
}
