//! The drifts: takes them as they come, and writes each severity and section once it is complete.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use baseline_format::report::{ChangeKind, Drift, Report, Severity};

use super::TextStyle;
use super::block::{Block, Group, Item};
use super::fields::{Detail, details};
use super::page::{Ink, Margin, Page};
use super::related::Related;
use crate::words::{flow, number, padded, plain, quoted, shorten, width};

/// Lines for the attributes of an added or removed entry.
const WHOLE_LINES: usize = 2;
/// Columns of an attribute's name at most.
const NAME: usize = 20;

pub(super) struct Findings<'a> {
    head: &'a Report,
    style: &'a TextStyle<'a>,
    margin: Margin,
    block: Option<Block>,
    /// The severity and section whose headings were written last.
    under: Option<(Severity, String)>,
    related: Related,
    not_told: NotTold<'a>,
    taken: u64,
}

/// Keys of blind spots that were not listed among the drifts, by section.
pub(super) type NotTold<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

impl<'a> Findings<'a> {
    pub(super) fn new(head: &'a Report, style: &'a TextStyle<'a>, page: &Page<'_>) -> Self {
        let mut not_told = NotTold::new();
        for coverage in &head.coverage {
            let keys = coverage.unseen.iter().map(|unseen| unseen.key.as_str());
            not_told
                .entry(coverage.section.as_str())
                .or_default()
                .extend(keys);
        }
        Self {
            head,
            style,
            margin: Margin::of(&head.coverage, page),
            block: None,
            under: None,
            related: Related::default(),
            not_told,
            taken: 0,
        }
    }

    pub(super) fn take(&mut self, drift: Drift, page: &mut Page<'_>) -> io::Result<()> {
        self.taken += 1;
        let limit = self.style.limit;
        if let Some(block) = self
            .block
            .take_if(|block| !block.holds(&drift) || block.is_full(limit))
        {
            self.write(&block, page)?;
        }
        self.block
            .get_or_insert_with(|| Block::new(drift.severity, drift.section.clone()))
            .take(drift, limit);
        Ok(())
    }

    /// Writes what is left; returns how many drifts there were, and which blind spots were not among them.
    pub(super) fn finish(mut self, page: &mut Page<'_>) -> io::Result<(u64, NotTold<'a>)> {
        if let Some(block) = self.block.take() {
            self.write(&block, page)?;
        }
        Ok((self.taken, self.not_told))
    }

    fn write(&mut self, block: &Block, page: &mut Page<'_>) -> io::Result<()> {
        if self
            .under
            .as_ref()
            .is_none_or(|(severity, _)| *severity != block.severity)
        {
            self.write_severity(block.severity, page)?;
            self.under = None;
        }
        let mut lead = match &self.under {
            Some((_, section)) if *section == block.section => self.margin.rest(),
            _ => self.margin.first(&block.section, page)?,
        };
        for group in block.groups() {
            self.write_group(&group, &lead, page)?;
            lead = self.margin.rest();
        }
        for (change, more) in block.more() {
            let text = format!(
                "... and {} more {}; {}",
                number(more),
                word(change),
                self.style.elsewhere
            );
            page.wrapped(&lead, Ink::Plain, &text)?;
        }
        self.under = Some((block.severity, block.section.clone()));
        Ok(())
    }

    fn write_severity(&self, severity: Severity, page: &mut Page<'_>) -> io::Result<()> {
        let many = self.head.summary.by_severity.get(&severity).copied().unwrap_or(0);
        let title = format!("{} ({})", severity.to_string().to_uppercase(), number(many));
        page.blank()?;
        page.line(&[(Ink::of_severity(severity), &title)])
    }

    fn write_group(&mut self, group: &Group<'_>, lead: &str, page: &mut Page<'_>) -> io::Result<()> {
        let heading = match group.meaning {
            Some(meaning) => format!("{}: {}", word(group.change), plain(meaning)),
            None => word(group.change).to_owned(),
        };
        page.wrapped(lead, Ink::Plain, &heading)?;
        let margin = padded("", width(lead) + 2);
        let room = page.width().saturating_sub(width(&margin));
        let labels: Vec<String> = group.items.iter().map(|item| label(item, room)).collect();
        let aligned = aligned(&labels, room);
        for (item, label) in group.items.iter().zip(&labels) {
            if group.change == ChangeKind::Unseen
                && let Some(keys) = self.not_told.get_mut(item.drift.section.as_str())
            {
                keys.remove(item.drift.key.as_str());
            }
            let hint = join(owner(item), self.related.hint(&item.drift));
            let entry = Entry {
                lead: &margin,
                label,
                aligned,
                details: details(item.drift.change, &item.drift.fields),
                hint,
            };
            match group.change {
                ChangeKind::Added | ChangeKind::Removed => entry.write(Layout::Flowing, page)?,
                ChangeKind::Modified | ChangeKind::Unseen => entry.write(Layout::Listed, page)?,
            }
        }
        Ok(())
    }
}

/// What is told about one entry.
pub(super) struct Entry<'a> {
    /// What stands before the label.
    pub(super) lead: &'a str,
    pub(super) label: &'a str,
    /// Where the attributes start if there is room.
    pub(super) aligned: usize,
    pub(super) details: Vec<Detail>,
    pub(super) hint: Option<String>,
}

/// How attributes are laid out that do not go on the entry's own line.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// One after the other; only the first lines of them.
    Flowing,
    /// One a line.
    Listed,
}

impl Entry<'_> {
    pub(super) fn write(self, layout: Layout, page: &mut Page<'_>) -> io::Result<()> {
        let room = page.width().saturating_sub(width(self.lead));
        let mut inline = self
            .details
            .iter()
            .map(Detail::line)
            .collect::<Vec<_>>()
            .join(", ");
        if let Some(hint) = &self.hint {
            inline = if inline.is_empty() {
                hint.clone()
            } else {
                format!("{inline} {hint}")
            };
        }
        for start in [self.aligned.max(width(self.label)), width(self.label)] {
            if inline.is_empty() || start + 2 + width(&inline) <= room {
                let gap = padded("", start + 2 - width(self.label));
                return page.line(&[
                    (Ink::Plain, self.lead),
                    (Ink::Strong, self.label),
                    (Ink::Plain, &gap),
                    (Ink::Plain, &inline),
                ]);
            }
        }
        page.line(&[(Ink::Plain, self.lead), (Ink::Strong, self.label)])?;
        let margin = padded("", width(self.lead) + 2);
        let room = room.saturating_sub(2);
        let mut lines = match layout {
            Layout::Flowing => flow(self.details.iter().map(Detail::line), room, WHOLE_LINES),
            Layout::Listed => {
                let names = self
                    .details
                    .iter()
                    .map(Detail::name_width)
                    .max()
                    .unwrap_or(0)
                    .min(NAME)
                    .min(room / 3);
                self.details
                    .iter()
                    .flat_map(|detail| detail.lines(names, room))
                    .collect()
            }
        };
        lines.extend(self.hint.map(|hint| shorten(&hint, room).into_owned()));
        for line in lines {
            page.line(&[(Ink::Plain, &margin), (Ink::Plain, &line)])?;
        }
        Ok(())
    }
}

/// Columns after which attributes start: past the longest label that leaves room for them.
pub(super) fn aligned(labels: &[String], room: usize) -> usize {
    labels
        .iter()
        .map(|label| width(label))
        .filter(|label| *label <= room / 2)
        .max()
        .unwrap_or(0)
}

fn label(item: &Item, room: usize) -> String {
    let below = match item.below {
        0 => String::new(),
        below => format!(" and {} below", number(below)),
    };
    let key = quoted(item.drift.key.as_str());
    format!("{}{below}", shorten(&key, room.saturating_sub(width(&below))))
}

/// The package that owns the path, and how many more of its paths the entry stands for.
fn owner(item: &Item) -> Option<String> {
    let package = item.drift.owner_package.as_ref()?;
    let package = quoted(package.as_str());
    Some(match item.of_package {
        0 => format!("({package})"),
        more => format!("({package}, and {} more of it)", number(more)),
    })
}

fn join(first: Option<String>, second: Option<String>) -> Option<String> {
    match (first, second) {
        (Some(first), Some(second)) => Some(format!("{first} {second}")),
        (first, second) => first.or(second),
    }
}

/// A kind of change as a word after "3 more".
const fn word(change: ChangeKind) -> &'static str {
    match change {
        ChangeKind::Modified => "changed",
        ChangeKind::Added => "added",
        ChangeKind::Removed => "removed",
        ChangeKind::Unseen => "not checked",
    }
}
