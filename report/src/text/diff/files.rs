//! The files: those with power first, configuration one by one, the rest by directory.

use std::collections::BTreeMap;
use std::io;

use baseline_format::Value;
use baseline_format::order::{compare_keys, is_below};
use baseline_format::report::{ChangeKind, FieldChange};

use super::kept::{Budget, Kept};
use super::{BELOW, HEADING, LISTED, TextStyle, limit, more, title, write_by_kind, write_entries};
use crate::diff::{Difference, Privilege};
use crate::text::fields::{Detail, details};
use crate::text::page::{Ink, Page};
use crate::words::{number, padded, quoted, shorten, width};

/// Where the configuration is.
const CONFIGURATION: &str = "/etc";
/// Directories that are counted apart at once; beyond, whole trees are.
const COUNTED: usize = 4_096;
/// Rows of the table of directories.
const ROWS: usize = 30;
/// Components of the directories that are counted at first.
const DEPTH: usize = 4;

#[derive(Debug, Default)]
pub(super) struct Files {
    gained: Kept,
    lost: Kept,
    configuration: Kept,
    others: Kept,
    directories: Directories,
}

impl Files {
    pub(super) fn take(&mut self, difference: Difference, budget: &mut Budget) {
        let path = difference.key.as_str();
        if let Some(privilege) = difference.privilege {
            match privilege {
                Privilege::Gained => self.gained.take(difference, budget),
                Privilege::Lost => self.lost.take(difference, budget),
            }
        } else if path == CONFIGURATION || is_below(path, CONFIGURATION) {
            self.configuration.take(difference, budget);
        } else {
            self.directories.count(path, difference.change);
            self.others.take(difference, budget);
        }
    }

    pub(super) fn write(&self, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
        let privileged = self.gained.total() + self.lost.total();
        if privileged > 0 {
            title("SETID FILES AND CAPABILITIES", privileged, Ink::Strong, page)?;
            self.write_privileged(style, page)?;
        }
        if self.configuration.total() > 0 {
            title(
                "CONFIGURATION FILES",
                self.configuration.total(),
                Ink::Strong,
                page,
            )?;
            write_by_kind(&self.configuration, limit(style).max(LISTED), style, page)?;
        }
        let others = self.others.total();
        if others == 0 {
            return Ok(());
        }
        title("OTHER FILES", others, Ink::Strong, page)?;
        if others <= limit(style) as u64 {
            return write_by_kind(&self.others, limit(style), style, page);
        }
        self.directories.write(page)?;
        page.wrapped(HEADING, Ink::Plain, style.elsewhere)
    }

    fn write_privileged(&self, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
        for (privilege, kept) in [(Privilege::Gained, &self.gained), (Privilege::Lost, &self.lost)] {
            if kept.total() == 0 {
                continue;
            }
            page.line(&[(Ink::Plain, HEADING), (Ink::Warn, &privilege.to_string())])?;
            let items: Vec<&Difference> = kept.items().take(limit(style).max(LISTED)).collect();
            write_entries(&items, page)?;
            more(kept.total() - items.len() as u64, "", style, page)?;
        }
        Ok(())
    }
}

/// What there is to say of an entry. Of files, that the content is another one, not which digest it has.
pub(super) fn told(item: &Difference) -> Vec<Detail> {
    if item.section != "files" || item.change == ChangeKind::Unseen {
        return details(item.change, &item.fields);
    }
    let field = |name: &str| item.fields.iter().find(|field| field.name == name);
    let mut told = Vec::new();
    if item.change == ChangeKind::Modified
        && let Some(FieldChange {
            expected: Some(_),
            actual: Some(_),
            ..
        }) = field("digest")
    {
        told.push(Detail::Remark(
            match field("size").map(|size| (&size.expected, &size.actual)) {
                Some((Some(Value::Integer(old)), Some(Value::Integer(new)))) => {
                    format!("content, {} -> {} bytes", bytes(*old), bytes(*new))
                }
                _ => "content".to_owned(),
            },
        ));
    }
    let rest: Vec<FieldChange> = item
        .fields
        .iter()
        .filter(|field| weighs(field, item.change, told.is_empty()))
        .cloned()
        .collect();
    told.extend(details(item.change, &rest));
    told
}

/// Whether an attribute of a file is worth a place in notes.
fn weighs(field: &FieldChange, change: ChangeKind, content_untold: bool) -> bool {
    let name = field.name.as_str();
    if change == ChangeKind::Modified {
        return content_untold || !matches!(name, "digest" | "size");
    }
    let ordinary = match field.expected.as_ref().or(field.actual.as_ref()) {
        Some(Value::Integer(id)) => matches!(name, "gid" | "uid") && *id == 0,
        Some(Value::Text(text)) => name == "type" && text.as_str() == "file",
        _ => false,
    };
    !ordinary && !matches!(name, "digest" | "group" | "mtime" | "nlink" | "size" | "user")
}

fn bytes(size: i64) -> String {
    u64::try_from(size).map_or_else(|_| size.to_string(), number)
}

/// Changes counted by directory: as deep as their number allows.
#[derive(Debug)]
struct Directories {
    /// By directory: changed, added, removed.
    counts: BTreeMap<String, [u64; 3]>,
    depth: usize,
}

impl Default for Directories {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            depth: DEPTH,
        }
    }
}

impl Directories {
    fn count(&mut self, path: &str, change: ChangeKind) {
        let at = match change {
            ChangeKind::Modified => 0,
            ChangeKind::Added => 1,
            ChangeKind::Removed => 2,
            ChangeKind::Unseen => return,
        };
        let directory = directory_of(path, self.depth);
        if let Some(counts) = self.counts.get_mut(directory) {
            counts[at] += 1;
        } else {
            let mut counts = [0; 3];
            counts[at] = 1;
            self.counts.insert(directory.to_owned(), counts);
        }
        while self.counts.len() > COUNTED && self.depth > 0 {
            self.depth -= 1;
            self.counts = folded(&self.counts, self.depth);
        }
    }

    fn write(&self, page: &mut Page<'_>) -> io::Result<()> {
        let mut rows = self.counts.clone();
        for depth in (0..self.depth).rev() {
            if rows.len() <= ROWS {
                break;
            }
            rows = folded(&rows, depth);
        }
        let mut rows: Vec<(String, [u64; 3])> = rows.into_iter().collect();
        rows.sort_by(|(l, _), (r, _)| compare_keys(l, r));
        let columns = 2 + COLUMN;
        let room = page.width().saturating_sub(BELOW.len() + TITLES.len() * columns);
        let name = rows
            .iter()
            .map(|(directory, _)| width(&quoted(directory)))
            .max()
            .unwrap_or(0)
            .clamp("below".len(), room.max("below".len()));
        if room < NARROWEST {
            return rows.iter().try_for_each(|(directory, counts)| {
                let words: Vec<String> = TITLES
                    .iter()
                    .zip(counts)
                    .filter(|(_, count)| **count > 0)
                    .map(|(title, count)| format!("{} {title}", number(*count)))
                    .collect();
                page.wrapped(BELOW, Ink::Plain, &quoted(directory))?;
                page.wrapped("      ", Ink::Plain, &words.join(", "))
            });
        }
        let line = |label: &str, texts: [&str; 3]| {
            let mut line = format!("{BELOW}{}", padded(&shorten(label, name), name));
            for text in texts {
                line.push_str(&padded("", columns.saturating_sub(text.len())));
                line.push_str(text);
            }
            line
        };
        page.line(&[(Ink::Plain, &line("below", TITLES))])?;
        for (directory, counts) in &rows {
            let counts = counts.map(number);
            let texts = std::array::from_fn(|at| counts[at].as_str());
            page.line(&[(Ink::Plain, &line(&quoted(directory), texts))])?;
        }
        Ok(())
    }
}

/// What is counted of a directory.
const TITLES: [&str; 3] = ["changed", "added", "removed"];
/// Columns of a number.
const COLUMN: usize = 9;
/// Columns that names of directories need to be worth a table.
const NARROWEST: usize = 16;

/// The same counts of directories with fewer components.
fn folded(counts: &BTreeMap<String, [u64; 3]>, depth: usize) -> BTreeMap<String, [u64; 3]> {
    let mut fewer: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for (directory, counts) in counts {
        let sums = fewer.entry(cut(directory, depth).to_owned()).or_default();
        for (sum, count) in sums.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    fewer
}

/// The directory that holds `path`, of at most `depth` components.
fn directory_of(path: &str, depth: usize) -> &str {
    let parent = path.rfind('/').map_or("", |slash| &path[..slash]);
    cut(parent, depth)
}

/// The first components of a directory; `/` for none.
fn cut(directory: &str, depth: usize) -> &str {
    let end = directory
        .match_indices('/')
        .map(|(at, _)| at)
        .nth(depth)
        .unwrap_or(directory.len());
    let first = &directory[..end];
    if first.is_empty() { "/" } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_fold_until_they_fit() {
        assert_eq!(directory_of("/usr/lib/x/y/z/file", 4), "/usr/lib/x/y");
        assert_eq!(directory_of("/usr", 4), "/");
        assert_eq!(directory_of("/usr/x", 0), "/");
        assert_eq!(cut("/", 3), "/");
        let mut directories = Directories::default();
        for number in 0..100_000 {
            directories.count(&format!("/srv/{number}/x/y/z"), ChangeKind::Added);
        }
        assert!(directories.counts.len() <= COUNTED);
        assert_eq!(
            directories.counts.values().map(|counts| counts[1]).sum::<u64>(),
            100_000
        );
        assert_eq!(directories.counts.keys().collect::<Vec<_>>(), ["/srv"]);
        // A root with a million directories of its own is one row.
        for number in 0..10_000 {
            directories.count(&format!("/{number}/x"), ChangeKind::Removed);
        }
        assert_eq!(directories.counts.len(), 1);
        assert_eq!(directories.counts["/"], [0, 100_000, 10_000]);
    }
}
