//! How much was compared: what was not, one line a section, and what both states leave out.

use std::io;

use super::kept::Kept;
use super::{BELOW, HEADING, TextStyle, limit, more, title, write_entries};
use crate::diff::{Diff, Difference, LeftOut, NotCompared, SectionDiff, Side};
use crate::text::page::{Ink, Page};
use crate::words::{count, number, padded, plain, quoted, shorten, width};

/// Writes what could not be compared: parts first, then single entries.
pub(super) fn write_not_compared(
    head: &Diff,
    unseen: &Kept,
    style: &TextStyle<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let total = head.not_compared_total.saturating_add(unseen.total());
    if total == 0 {
        return Ok(());
    }
    title("NOT COMPARED", total, Ink::Warn, page)?;
    let listed = head.not_compared.iter().take(limit(style));
    let told = listed.len() as u64;
    for part in listed {
        // Who did not look stands before what was not looked at.
        page.wrapped(
            &format!("{HEADING}{:<4}  ", part.side),
            Ink::Plain,
            &sentence(part),
        )?;
    }
    let more_parts = (head.not_compared.len() as u64).saturating_sub(told);
    more(more_parts, "", style, page)?;
    let counted = head
        .not_compared_total
        .saturating_sub(head.not_compared.len() as u64);
    if counted > 0 {
        let text = format!("... and {} that are only counted", number(counted));
        page.wrapped(BELOW, Ink::Plain, &text)?;
    }
    let mut by_section: Vec<(&str, Vec<&Difference>)> = Vec::new();
    let mut entries = 0_u64;
    for item in unseen.items().take(limit(style)) {
        entries += 1;
        match by_section.last_mut() {
            Some((section, items)) if *section == item.section => items.push(item),
            _ => by_section.push((&item.section, vec![item])),
        }
    }
    for (section, items) in by_section {
        page.line(&[(Ink::Plain, HEADING), (Ink::Plain, section)])?;
        write_entries(&items, page)?;
    }
    more(unseen.total() - entries, "entries", style, page)
}

fn sentence(part: &NotCompared) -> String {
    let key = part.key.as_ref().map_or(String::new(), |key| {
        format!(" {}", shorten(&quoted(key.as_str()), 60))
    });
    let entries = match (part.entries, part.side) {
        (0, _) => String::new(),
        (many, Side::Old) => format!(" ({} of new)", count(many, "entry", "entries")),
        (many, Side::New) => format!(" ({} of old)", count(many, "entry", "entries")),
        (many, Side::Both) => format!(" ({})", count(many, "entry", "entries")),
    };
    format!("{}{key}: {}{entries}", plain(&part.section), plain(&part.why))
}

/// Writes one line a section.
pub(super) fn write_table(sections: &[SectionDiff], page: &mut Page<'_>) -> io::Result<()> {
    page.blank()?;
    page.line(&[(Ink::Strong, "SECTIONS")])?;
    let rows: Vec<(String, [String; 7])> = sections
        .iter()
        .map(|section| (plain(&section.section).into_owned(), numbers(section).map(number)))
        .collect();
    let name = rows
        .iter()
        .map(|(name, _)| width(name))
        .max()
        .unwrap_or(0)
        .clamp(7, 24);
    let columns: [usize; 7] = std::array::from_fn(|at| {
        let widest = rows
            .iter()
            .map(|(_, numbers)| numbers[at].len())
            .max()
            .unwrap_or(0);
        widest.max(TITLES[at].len())
    });
    if 2 + name + columns.iter().map(|column| column + 2).sum::<usize>() > page.width() {
        for (name, numbers) in &rows {
            let words: Vec<String> = numbers
                .iter()
                .zip(TITLES)
                .filter(|(number, title)| *number != "0" || *title == "compared")
                .map(|(number, title)| format!("{title} {number}"))
                .collect();
            page.line(&[(Ink::Plain, HEADING), (Ink::Plain, name)])?;
            page.wrapped(BELOW, Ink::Plain, &words.join(", "))?;
        }
        return Ok(());
    }
    let line = |label: &str, texts: [&str; 7]| {
        let mut line = format!("{HEADING}{}", padded(&shorten(label, name), name));
        for (text, columns) in texts.iter().zip(columns) {
            line.push_str(&padded("", (columns + 2).saturating_sub(text.len())));
            line.push_str(text);
        }
        line
    };
    page.line(&[(Ink::Plain, &line("section", TITLES))])?;
    for (name, numbers) in &rows {
        let texts = std::array::from_fn(|at| numbers[at].as_str());
        page.line(&[(Ink::Plain, &line(name, texts))])?;
    }
    Ok(())
}

const TITLES: [&str; 7] = ["old", "new", "compared", "changed", "added", "removed", "unknown"];

const fn numbers(section: &SectionDiff) -> [u64; 7] {
    [
        section.old,
        section.new,
        section.compared,
        section.modified,
        section.added,
        section.removed,
        section.not_compared,
    ]
}

/// Writes what neither state covers: nothing is known of it.
pub(super) fn write_left_out(
    left_out: &[LeftOut],
    style: &TextStyle<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    if left_out.is_empty() {
        return Ok(());
    }
    page.line(&[(Ink::Plain, "  left out of both")])?;
    for rule in left_out.iter().take(limit(style)) {
        let text = format!(
            "{}: {} ({})",
            plain(&rule.section),
            plain(&rule.rule),
            plain(&rule.why)
        );
        page.wrapped(BELOW, Ink::Plain, &text)?;
    }
    let unlisted = left_out.len().saturating_sub(limit(style)) as u64;
    more(unlisted, "rules", style, page)
}
