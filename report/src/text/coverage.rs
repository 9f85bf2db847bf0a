//! What was looked at: blind spots, counts by section, and the rules that left something out.

use std::io;

use baseline_format::report::{Coverage, Report};

use super::TextStyle;
use super::fields::Detail;
use super::findings::{Entry, Layout, NotTold, aligned};
use super::page::{Ink, Margin, Page};
use crate::statement::{skipped, unseen};
use crate::words::{count, number, padded, plain, quoted, shorten, width};

/// Columns that the last column of the table needs to be worth having.
const HOW: usize = 14;
/// Methods told a section; the reports of ours have fewer.
const METHODS: usize = 8;

/// Writes the blind spots that are not among the drifts, and counts those that are.
pub(super) fn write_unseen(
    head: &Report,
    not_told: &NotTold<'_>,
    style: &TextStyle<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let sections: Vec<Unseen<'_>> = head
        .coverage
        .iter()
        .map(|coverage| Unseen::of(coverage, not_told))
        .collect();
    let total = sections
        .iter()
        .map(|section| section.total)
        .fold(0, u64::saturating_add);
    if total == 0 {
        return Ok(());
    }
    let told = sections
        .iter()
        .map(|section| section.told)
        .fold(0, u64::saturating_add);
    let above = if told > 0 {
        format!(", {} of them above", number(told))
    } else {
        String::new()
    };
    page.blank()?;
    page.line(&[(Ink::Warn, &format!("NOT SEEN ({}{above})", number(total)))])?;
    let margin = Margin::of(&head.coverage, page);
    for section in sections {
        section.write(&margin, style, page)?;
    }
    Ok(())
}

/// The blind spots of one section.
struct Unseen<'a> {
    section: &'a str,
    total: u64,
    /// Those listed among the drifts.
    told: u64,
    listed: Vec<&'a baseline_format::report::Unseen>,
}

impl<'a> Unseen<'a> {
    fn of(coverage: &'a Coverage, not_told: &NotTold<'_>) -> Self {
        let open = not_told.get(coverage.section.as_str());
        let is_open = |key: &str| open.is_some_and(|open| open.contains(key));
        let listed: Vec<_> = coverage
            .unseen
            .iter()
            .filter(|unseen| is_open(unseen.key.as_str()))
            .collect();
        Self {
            section: &coverage.section,
            total: unseen(coverage),
            told: (coverage.unseen.len() - listed.len()) as u64,
            listed,
        }
    }

    fn write(&self, margin: &Margin, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
        if self.total == self.told {
            return Ok(());
        }
        let mut lead = margin.first(self.section, page)?;
        let blank = margin.rest();
        let room = page.width().saturating_sub(width(&lead));
        let most = if style.limit == 0 { usize::MAX } else { style.limit };
        let label = |key: &str| shorten(&quoted(key), room).into_owned();
        let labels: Vec<String> = self
            .listed
            .iter()
            .take(most)
            .map(|unseen| label(unseen.key.as_str()))
            .collect();
        let aligned = aligned(&labels, room);
        for (unseen, label) in self.listed.iter().zip(&labels) {
            let details = vec![Detail::Remark(unseen.why.to_string())];
            Entry {
                lead: &lead,
                label,
                aligned,
                details,
                hint: None,
            }
            .write(Layout::Listed, page)?;
            lead.clone_from(&blank);
        }
        // The record lists only so many; beyond those there is nothing to be seen elsewhere either.
        let recorded = (self.listed.len() - labels.len()) as u64;
        let unlisted = self
            .total
            .saturating_sub(self.told)
            .saturating_sub(self.listed.len() as u64);
        if recorded > 0 {
            page.wrapped(
                &lead,
                Ink::Plain,
                &format!("... and {} more; {}", number(recorded), style.elsewhere),
            )?;
            lead = blank;
        }
        if unlisted > 0 {
            page.wrapped(
                &lead,
                Ink::Plain,
                &format!("... and {} that the report only counts", number(unlisted)),
            )?;
        }
        Ok(())
    }
}

/// Writes one line a section: what was expected, and what became of it.
pub(super) fn write_table(coverage: &[Coverage], page: &mut Page<'_>) -> io::Result<()> {
    page.blank()?;
    page.line(&[(Ink::Strong, "COVERAGE")])?;
    if coverage.is_empty() {
        return page.line(&[(Ink::Warn, "  no section was looked at")]);
    }
    let mut rows: Vec<Row> = coverage.iter().map(Row::of).collect();
    if rows.len() > 1 {
        rows.push(Row::sum(coverage));
    }
    let name = rows
        .iter()
        .map(|row| width(&row.name))
        .max()
        .unwrap_or(0)
        .clamp(7, 24);
    let columns: [usize; 5] = std::array::from_fn(|column| {
        let widest = rows
            .iter()
            .map(|row| row.numbers[column].len())
            .max()
            .unwrap_or(0);
        widest.max(TITLES[column].len())
    });
    let fixed = 2 + name + columns.iter().map(|column| column + 2).sum::<usize>() + 2;
    if fixed + HOW > page.width() {
        return rows.iter().try_for_each(|row| row.write_sentence(page));
    }
    let line = |name_text: &str, numbers: [&str; 5]| {
        let mut line = format!("  {}", padded(&shorten(name_text, name), name));
        for (number, column) in numbers.iter().zip(columns) {
            line.push_str(&padded("", column + 2 - number.len()));
            line.push_str(number);
        }
        line.push_str("  ");
        line
    };
    page.line(&[(Ink::Plain, &line("section", TITLES)), (Ink::Plain, "how")])?;
    for row in &rows {
        let numbers = std::array::from_fn(|column| row.numbers[column].as_str());
        let lead = line(&row.name, numbers);
        if row.how.is_empty() {
            page.line(&[(Ink::Plain, &lead)])?;
        }
        page.wrapped(&lead, Ink::Plain, &row.how)?;
    }
    Ok(())
}

const TITLES: [&str; 5] = ["expected", "verified", "skipped", "unseen", "raced"];

/// One line of the table.
struct Row {
    name: String,
    /// As in [`TITLES`].
    numbers: [String; 5],
    how: String,
}

impl Row {
    fn of(coverage: &Coverage) -> Self {
        let mut methods: Vec<(&String, &u64)> = coverage.methods.iter().collect();
        methods.sort_by_key(|(_, many)| std::cmp::Reverse(**many));
        let mut how: Vec<String> = methods
            .iter()
            .take(METHODS)
            .map(|(method, many)| format!("{} {}", plain(method), number(**many)))
            .collect();
        if methods.len() > METHODS {
            how.push(format!("and {} more", number((methods.len() - METHODS) as u64)));
        }
        Self {
            name: plain(&coverage.section).into_owned(),
            numbers: numbers(coverage).map(number),
            how: how.join(", "),
        }
    }

    fn sum(coverage: &[Coverage]) -> Self {
        let mut sums = [0_u64; 5];
        for section in coverage {
            for (sum, number) in sums.iter_mut().zip(numbers(section)) {
                *sum = sum.saturating_add(number);
            }
        }
        Self {
            name: "all".to_owned(),
            numbers: sums.map(number),
            how: String::new(),
        }
    }

    /// The same in words, for a page too narrow for the table.
    fn write_sentence(&self, page: &mut Page<'_>) -> io::Result<()> {
        let [expected, verified, others @ ..] = &self.numbers;
        let mut words = vec![format!("{verified} of {expected} verified")];
        let others = others
            .iter()
            .zip(&TITLES[2..])
            .filter(|(number, _)| *number != "0");
        words.extend(others.map(|(number, title)| format!("{number} {title}")));
        let how = if self.how.is_empty() {
            String::new()
        } else {
            format!(" ({})", self.how)
        };
        let text = format!("{}{how}", words.join(", "));
        page.line(&[(Ink::Plain, "  "), (Ink::Plain, &self.name)])?;
        page.wrapped("    ", Ink::Plain, &text)
    }
}

fn numbers(coverage: &Coverage) -> [u64; 5] {
    [
        coverage.expected,
        coverage.verified,
        skipped(coverage),
        unseen(coverage),
        coverage.raced,
    ]
}

/// Writes the rules that left something out: what is not looked at on purpose can hide something all the same.
pub(super) fn write_skipped(
    coverage: &[Coverage],
    style: &TextStyle<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    if coverage.iter().all(|section| section.skipped.is_empty()) {
        return Ok(());
    }
    let most = if style.limit == 0 { usize::MAX } else { style.limit };
    page.line(&[(Ink::Plain, "  skipped by rule")])?;
    for section in coverage.iter().filter(|section| !section.skipped.is_empty()) {
        let name = plain(&section.section);
        for skipped in section.skipped.iter().take(most) {
            let entries = count(skipped.entries, "entry", "entries");
            let text = format!(
                "{name}: {}, {entries} ({})",
                plain(&skipped.rule),
                plain(&skipped.why)
            );
            page.wrapped("    ", Ink::Plain, &text)?;
        }
        let more = section.skipped.len().saturating_sub(most) as u64;
        if more > 0 {
            let more = count(more, "more rule", "more rules");
            page.wrapped(
                "    ",
                Ink::Plain,
                &format!("{name}: ... and {more}; {}", style.elsewhere),
            )?;
        }
    }
    Ok(())
}
