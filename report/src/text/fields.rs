//! What differs about one entry, in words: each attribute in the form that a person thinks of it in.

use std::collections::BTreeMap;

use baseline_format::report::{ChangeKind, FieldChange};
use baseline_format::{OsText, UNSEEN, Value};

use crate::words::{count, instant, number, padded, plain, quoted, shorten, shorten_pair, width, wrap};

/// Attributes told of one entry; the rest is counted. The host decides how many there are.
const FIELDS: usize = 12;
/// Items told of one list.
const ITEMS: usize = 8;
/// Columns of one item of a list.
const ITEM: usize = 48;
/// Columns of one value of an added or removed entry: enough to know it, not enough to drown the others.
const WHOLE: usize = 60;
/// Lines of one attribute.
const LINES: usize = 3;
/// Hex digits told of a digest.
const DIGITS: usize = 12;

/// One attribute, or one remark.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Something to say that is not of one attribute.
    Remark(String),
    /// An attribute and its value, or what came to a list and what went.
    Is { name: String, value: String },
    /// An attribute and both its values.
    Was { name: String, old: String, new: String },
}

impl Detail {
    /// All of it on one line, however long.
    pub(super) fn line(&self) -> String {
        match self {
            Self::Remark(text) => text.clone(),
            Self::Is { name, value } => format!("{name} {value}"),
            Self::Was { name, old, new } => format!("{name} {old} -> {new}"),
        }
    }

    /// Columns of the attribute's name.
    pub(super) fn name_width(&self) -> usize {
        match self {
            Self::Remark(_) => 0,
            Self::Is { name, .. } | Self::Was { name, .. } => width(name),
        }
    }

    /// All of it on a few lines of at most `columns`, the values in a column of their own.
    pub(super) fn lines(&self, name_columns: usize, columns: usize) -> Vec<String> {
        match self {
            Self::Remark(text) => wrap(&shorten(text, columns * LINES), columns),
            Self::Is { name, value } => {
                let mut lead = lead(name, name_columns);
                let room = columns.saturating_sub(width(&lead));
                let mut lines = wrap(&shorten(value, room * LINES), room);
                for line in &mut lines {
                    line.insert_str(0, &lead);
                    lead = padded("", width(&lead));
                }
                lines
            }
            Self::Was { name, old, new } => {
                const ARROW: &str = "-> ";
                let lead = lead(name, name_columns.max(ARROW.len()));
                let room = columns.saturating_sub(width(&lead));
                if width(old) + 1 + ARROW.len() + width(new) <= room {
                    return vec![format!("{lead}{old} {ARROW}{new}")];
                }
                let (old, new) = shorten_pair(old, new, room);
                let second = padded("", width(&lead) - ARROW.len());
                vec![format!("{lead}{old}"), format!("{second}{ARROW}{new}")]
            }
        }
    }
}

/// What there is to say about a change's attributes; the weightiest first where all are told.
pub(super) fn details(change: ChangeKind, fields: &[FieldChange]) -> Vec<Detail> {
    let mut fields: Vec<&FieldChange> = fields.iter().collect();
    match change {
        ChangeKind::Added | ChangeKind::Removed => fields.sort_by_key(|field| is_bulk(&field.name)),
        ChangeKind::Unseen if fields.iter().any(|field| field.name == UNSEEN) => {
            fields.retain(|field| field.name == UNSEEN);
        }
        ChangeKind::Modified | ChangeKind::Unseen => {}
    }
    let mut details: Vec<Detail> = fields
        .iter()
        .take(FIELDS)
        .map(|field| detail(change, field))
        .collect();
    if fields.len() > FIELDS {
        let more = (fields.len() - FIELDS) as u64;
        details.push(Detail::Remark(format!(
            "and {}",
            count(more, "more attribute", "more attributes")
        )));
    }
    details
}

/// Attributes that say little about an entry that came or went as a whole.
fn is_bulk(name: &str) -> bool {
    matches!(
        name,
        "digest" | "inode" | "md5" | "mtime" | "sha256" | "sha512" | "size"
    )
}

fn detail(change: ChangeKind, field: &FieldChange) -> Detail {
    let name = shorten(&plain(&field.name), ITEM / 2).into_owned();
    if field.name == UNSEEN
        && let Some(remark) = blindness(field)
    {
        return Detail::Remark(remark);
    }
    match (change, &field.expected, &field.actual) {
        (_, None, None) => Detail::Remark(name),
        (ChangeKind::Added, None, Some(value)) | (ChangeKind::Removed, Some(value), None) => {
            let value = shorten(&shown(&field.name, value), WHOLE).into_owned();
            Detail::Is { name, value }
        }
        (_, Some(Value::List(old)), Some(Value::List(new))) => match list_difference(old, new) {
            Some(value) => Detail::Is { name, value },
            None => Detail::Was {
                name,
                old: items(old),
                new: items(new),
            },
        },
        (_, Some(old), Some(new)) => {
            let (old, new) = shown_apart(&field.name, old, new);
            Detail::Was { name, old, new }
        }
        (_, Some(old), None) => Detail::Was {
            name,
            old: shown(&field.name, old),
            new: ABSENT.to_owned(),
        },
        (_, None, Some(new)) => Detail::Was {
            name,
            old: ABSENT.to_owned(),
            new: shown(&field.name, new),
        },
    }
}

/// Not between quotes, as a text of these letters would be.
const ABSENT: &str = "(absent)";

/// What could not be seen: the notes as they are, or `None` if they are no notes.
fn blindness(field: &FieldChange) -> Option<String> {
    let notes = |value: &Option<Value>| match value {
        Some(Value::List(notes)) => Some(bounded(notes, |note| shorten(note.as_str(), WHOLE).into_owned())),
        _ => None,
    };
    match (notes(&field.expected), notes(&field.actual)) {
        (None, None) => None,
        (Some(recorded), None) => Some(format!("not seen when recorded ({recorded})")),
        (None, Some(observed)) => Some(observed),
        (Some(recorded), Some(observed)) => Some(format!("{observed}; not seen when recorded ({recorded})")),
    }
}

/// Two values that differ, told so that they look different.
fn shown_apart(name: &str, old: &Value, new: &Value) -> (String, String) {
    let short = (shown(name, old), shown(name, new));
    if short.0 != short.1 {
        return short;
    }
    // Two digests that begin alike, or the number 5 and the text `5`.
    let full = (in_full(old), in_full(new));
    if full.0 != full.1 {
        return full;
    }
    (
        format!("{} ({})", full.0, type_of(old)),
        format!("{} ({})", full.1, type_of(new)),
    )
}

/// A value as a person would write it.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Integer(mode) if name == "mode" => format!("{mode:04o}"),
        Value::Integer(seconds) if name == "mtime" => {
            instant(*seconds).unwrap_or_else(|| seconds.to_string())
        }
        Value::Integer(size) if name == "size" => {
            u64::try_from(*size).map_or_else(|_| size.to_string(), number)
        }
        Value::Text(text) => match short_digest(text.as_str()) {
            Some(short) => short,
            None => in_full(value),
        },
        _ => in_full(value),
    }
}

fn in_full(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text.as_str()).into_owned(),
        Value::List(list) => items(list),
        other => plain(&other.to_string()).into_owned(),
    }
}

/// `sha256:9f86d081884c...` for a digest with its algorithm in front, `None` for any other text.
pub(super) fn short_digest(text: &str) -> Option<String> {
    let (algorithm, hex) = text.split_once(':')?;
    let is_digest = hex.len() >= 32
        && hex.bytes().all(|digit| digit.is_ascii_hexdigit())
        && (1..=12).contains(&algorithm.len())
        && algorithm
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == b'-');
    is_digest.then(|| format!("{algorithm}:{}{}", &hex[..DIGITS], crate::words::DOTS))
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "true or false",
        Value::Integer(_) => "number",
        Value::Text(_) => "text",
        Value::List(_) => "list",
        _ => "other",
    }
}

/// What came to a list and what went, `+new -old`; `None` if only the order changed.
fn list_difference(old: &[OsText], new: &[OsText]) -> Option<String> {
    let mut balance: BTreeMap<&OsText, i64> = BTreeMap::new();
    for item in new {
        *balance.entry(item).or_default() += 1;
    }
    for item in old {
        *balance.entry(item).or_default() -= 1;
    }
    let mut words = Vec::new();
    let mut more = 0;
    for (sign, wanted) in [('+', 1), ('-', -1)] {
        let changed = balance.iter().filter(|(_, many)| many.signum() == wanted);
        for (index, (item, _)) in changed.enumerate() {
            if index < ITEMS {
                words.push(format!("{sign}{}", item_text(item)));
            } else {
                more += 1;
            }
        }
    }
    if more > 0 {
        words.push(format!("and {} more", number(more)));
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// A list's items, as many as are told.
fn items(list: &[OsText]) -> String {
    bounded(list, item_text)
}

fn item_text(item: &OsText) -> String {
    shorten(&quoted(item.as_str()), ITEM).into_owned()
}

fn bounded(list: &[OsText], text: impl Fn(&OsText) -> String) -> String {
    if list.is_empty() {
        return "(none)".to_owned();
    }
    let mut words: Vec<String> = list.iter().take(ITEMS).map(text).collect();
    if list.len() > ITEMS {
        words.push(format!("and {} more", number((list.len() - ITEMS) as u64)));
    }
    words.join(", ")
}

/// The name, blanks up to its column, and two more.
fn lead(name: &str, columns: usize) -> String {
    let name = shorten(name, columns);
    format!("{}  ", padded(&name, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(name: &str, old: impl Into<Value>, new: impl Into<Value>) -> String {
        let field = FieldChange {
            name: name.to_owned(),
            expected: Some(old.into()),
            actual: Some(new.into()),
        };
        detail(ChangeKind::Modified, &field).line()
    }

    #[test]
    fn attributes_in_their_own_form() {
        let digest = |end: &str| format!("sha256:{}{end}", "ab".repeat(31));
        for (line, expected) in [
            (changed("mode", 0o644_i64, 0o4755_i64), "mode 0644 -> 4755"),
            (changed("mode", "0644", "0666"), "mode 0644 -> 0666"),
            (
                changed("mtime", 0_i64, i64::MAX),
                "mtime 1970-01-01T00:00:00Z -> 9223372036854775807",
            ),
            (changed("size", 1_234_i64, -1_i64), "size 1,234 -> -1"),
            (changed("uid", 1_000_i64, 0_i64), "uid 1000 -> 0"),
            (changed("port", 5_i64, "5"), "port 5 (number) -> 5 (text)"),
            (changed("name", "a, b", ""), "name \"a, b\" -> \"\""),
            (
                changed("groups", Value::list(["a", "b"]), Value::list(["b", "c d"])),
                "groups +\"c d\" -a",
            ),
            (
                changed("order", Value::list(["a", "b"]), Value::list(["b", "a"])),
                "order a, b -> b, a",
            ),
            (
                changed("twice", Value::list(["a"]), Value::list(["a", "a"])),
                "twice +a",
            ),
            (
                changed("digest", digest("00"), format!("sha256:{}", "cd".repeat(32))),
                "digest sha256:abababababab... -> sha256:cdcdcdcdcdcd...",
            ),
            // An attacker can choose a digest's beginning; it must not look like the old one.
            (
                changed("digest", digest("00"), digest("01")),
                &format!("digest {} -> {}", digest("00"), digest("01")),
            ),
        ] {
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn long_lists_are_counted() {
        let many: Vec<String> = (0..100).map(|n| format!("m{n:02}")).collect();
        assert_eq!(
            changed("members", Value::List(vec![]), Value::list(many)),
            "members +m00 +m01 +m02 +m03 +m04 +m05 +m06 +m07 and 92 more"
        );
    }

    #[test]
    fn long_values_show_their_difference_on_two_lines() {
        let same = "quiet ".repeat(20);
        let was = Detail::Was {
            name: "cmdline".into(),
            old: format!("{same}ro"),
            new: format!("{same}rw"),
        };
        assert_eq!(
            was.lines(7, 40),
            [
                "cmdline  ...t quiet quiet quiet quiet ro",
                "      -> ...t quiet quiet quiet quiet rw"
            ]
            .map(String::from)
        );
    }
}
