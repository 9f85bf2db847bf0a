//! One file as rules look at it: its entry, and its content where a rule asks for it.

use std::borrow::Cow;

use baseline_format::{Line, OsText, RawValue, Value};
use regex::bytes::Regex;

use super::rule::Bits;
use crate::sys::Kind;
use crate::tree::{Tree, TreeError};

/// A file's content, read when it is first wanted.
pub(super) struct Content<'a> {
    pub(super) tree: &'a dyn Tree,
    pub(super) path: &'a [u8],
    pub(super) read: Option<(u64, Result<Vec<u8>, TreeError>)>,
}

impl Content<'_> {
    /// The content of a file that is at most `limit` bytes long.
    pub(super) fn up_to(&mut self, limit: u64) -> Result<&[u8], TreeError> {
        let enough = match &self.read {
            Some((_, Ok(_))) => true,
            Some((read, Err(_))) => *read >= limit,
            None => false,
        };
        if !enough {
            self.read = Some((limit, self.tree.read(self.path, limit)));
        }
        match &self.read {
            Some((_, Ok(bytes))) => Ok(bytes),
            Some((_, Err(why))) => Err(why.clone()),
            None => Err(TreeError::NotFound),
        }
    }
}

/// The first line that matches, from 1. A match must lie within one line, whatever the expression says of blanks.
pub(super) fn first_line(expression: &Regex, bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(found) = expression.find_at(bytes, from) {
        let before = bytes.get(..found.start())?;
        let start = before
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        let rest = bytes.get(found.start()..)?;
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let end = found.start() + length;
        if expression.is_match(bytes.get(start..end)?) {
            return Some(before.split(|byte| *byte == b'\n').count());
        }
        from = end + 1;
        if from > bytes.len() {
            break;
        }
    }
    None
}

pub(super) fn wrong_mode(
    file: &File<'_>,
    bits: Bits,
    except: u32,
    user: Option<&str>,
    group: Option<&str>,
) -> Option<String> {
    let mut wrong = Vec::new();
    if let Some(mode) = file.mode.filter(|mode| except == 0 || mode & except != except) {
        match bits {
            Bits::AtMost(most) if mode & !most != 0 => {
                wrong.push(format!("mode is {mode:04o}, at most {most:04o} is allowed"));
            }
            Bits::Exactly(exactly) if mode != exactly => {
                wrong.push(format!("mode is {mode:04o}, must be {exactly:04o}"));
            }
            _ => {}
        }
    }
    let is = |name: &Option<OsText>, id: Option<i64>, wanted: &str| {
        name.as_ref().is_some_and(|name| name.as_str() == wanted)
            || id.is_some_and(|id| id.to_string() == wanted)
    };
    if let Some(wanted) = user.filter(|wanted| !is(&file.user, file.uid, wanted)) {
        wrong.push(format!("user is {}, must be {wanted}", file.owner()));
    }
    if let Some(wanted) = group.filter(|wanted| !is(&file.group, file.gid, wanted)) {
        wrong.push(format!("group is {}, must be {wanted}", file.owning_group()));
    }
    (!wrong.is_empty()).then(|| wrong.join(", "))
}

/// What an entry of `files` says.
pub(super) struct File<'a> {
    pub(super) key: OsText,
    pub(super) path: Cow<'a, [u8]>,
    pub(super) kind: Option<Kind>,
    pub(super) mode: Option<u32>,
    pub(super) size: u64,
    pub(super) uid: Option<i64>,
    pub(super) gid: Option<i64>,
    pub(super) user: Option<OsText>,
    pub(super) group: Option<OsText>,
    pub(super) link: Option<OsText>,
    pub(super) capabilities: Option<OsText>,
}

impl<'a> File<'a> {
    pub(super) fn of(line: &Line<'a>) -> Self {
        let key = OsText::parse(&line.key()).unwrap_or_default();
        let mut file = Self {
            path: Cow::Owned(key.to_bytes().into_owned()),
            key,
            kind: None,
            mode: None,
            size: 0,
            uid: None,
            gid: None,
            user: None,
            group: None,
            link: None,
            capabilities: None,
        };
        for (name, value) in line.attributes() {
            match name.as_ref() {
                "capabilities" => file.capabilities = text(value),
                "gid" => file.gid = integer(value),
                "group" => file.group = text(value),
                "link" => file.link = text(value),
                "mode" => file.mode = text(value).and_then(|mode| u32::from_str_radix(mode.as_str(), 8).ok()),
                "size" => {
                    file.size = integer(value)
                        .and_then(|size| u64::try_from(size).ok())
                        .unwrap_or(0);
                }
                "type" => file.kind = text(value).and_then(|name| kind_of(name.as_str())),
                "uid" => file.uid = integer(value),
                "user" => file.user = text(value),
                _ => {}
            }
        }
        file
    }

    pub(super) fn is_one_of(&self, kinds: &[Kind]) -> bool {
        // What could not be seen is not of any wanted type, and has been told.
        kinds.is_empty() || self.kind.is_some_and(|kind| kinds.contains(&kind))
    }

    pub(super) fn is_among(&self, globs: &globset::GlobSet) -> bool {
        globs.is_match(crate::host::as_path(&self.path))
    }

    pub(super) fn owner(&self) -> String {
        named(self.user.as_ref(), self.uid)
    }

    pub(super) fn owning_group(&self) -> String {
        named(self.group.as_ref(), self.gid)
    }

    /// What it is, in a few words.
    pub(super) fn words(&self) -> String {
        match (self.kind, &self.link) {
            (Some(Kind::File), _) => format!("file, {} bytes", self.size),
            (Some(Kind::Link), Some(link)) => format!("symlink to {link}"),
            (Some(kind), _) => kind.name().to_owned(),
            (None, _) => "of an unknown type".to_owned(),
        }
    }
}

fn named(name: Option<&OsText>, id: Option<i64>) -> String {
    match (name, id) {
        (Some(name), _) => name.to_string(),
        (None, Some(id)) => id.to_string(),
        (None, None) => "unknown".to_owned(),
    }
}

fn text(value: RawValue<'_>) -> Option<OsText> {
    match value.decode() {
        Value::Text(text) => Some(text),
        Value::List(items) => Some(OsText::from(Value::List(items).to_string())),
        _ => None,
    }
}

fn integer(value: RawValue<'_>) -> Option<i64> {
    value.as_json().parse().ok()
}

fn kind_of(name: &str) -> Option<Kind> {
    [
        Kind::File,
        Kind::Directory,
        Kind::Link,
        Kind::BlockDevice,
        Kind::CharDevice,
        Kind::Fifo,
        Kind::Socket,
    ]
    .into_iter()
    .find(|kind| kind.name() == name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn expression(text: &str) -> Regex {
        regex::bytes::RegexBuilder::new(text)
            .multi_line(true)
            .unicode(false)
            .build()
            .unwrap()
    }

    #[test]
    fn a_match_lies_within_a_line() {
        for (text, content, wanted) in [
            ("^key$", &b"a\nkey\nb"[..], Some(2)),
            (r"password\s*=\s*\S", b"password =\nx\n", None),
            (r"password\s*=\s*\S", b"password =\npassword = x", Some(2)),
            ("a", b"", None),
            ("x*", b"\n\n", Some(1)),
            (r"\n", b"a\nb", None),
            ("^$", b"a\n", Some(2)),
        ] {
            assert_eq!(first_line(&expression(text), content), wanted, "{text}");
        }
    }

    const EXPRESSIONS: &[&str] = &[
        "a", "=b", r"a\s*=", "^a", "b$", r"\s=", "a*", "^$", r"[^a]b", r"(?s)a.b",
    ];

    proptest! {
        #[test]
        fn lines_are_found_as_one_by_one(content in "([ab\n=]{0,30})", text in prop::sample::select(EXPRESSIONS)) {
            let expression = expression(text);
            let plain = content.split('\n').position(|line| expression.is_match(line.as_bytes()));
            prop_assert_eq!(first_line(&expression, content.as_bytes()), plain.map(|at| at + 1));
        }
    }
}
