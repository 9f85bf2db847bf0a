//! Entries as values, and the builder that writes one as its canonical line.

use std::borrow::Cow;

use crate::os_text::OsText;
use crate::value::{Value, push_integer, push_json_text};

/// Attribute that says what of an entry could not be seen: a list of `WHAT: WHY`, where WHAT is an attribute's
/// name, [`ALL`] or [`BELOW`].
pub const UNSEEN: &str = "unseen";
/// In [`UNSEEN`]: nothing of the entry was seen beyond its existence.
pub const ALL: &str = "all";
/// In [`UNSEEN`]: what lies below the entry was not seen (a directory that could not be listed).
pub const BELOW: &str = "below";
/// What of an entry a note of [`UNSEEN`] concerns: the part before the first `: `.
pub(crate) fn what_of(note: &OsText) -> &str {
    note.as_str().split_once(": ").map_or("", |(what, _)| what)
}

/// Attribute of a directory that another file system is mounted on: the type of that file system. Neither the
/// covered directory's own attributes nor anything below it was looked at.
pub const MOUNT: &str = "mount";

/// One fact of one section: a key and named, typed attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The kind of fact: `files`, `packages`, `users`, ... Lower-case letters, digits and hyphens.
    pub section: Cow<'static, str>,
    /// What the fact is about; unique in its section. For `files` the path from the root, starting with `/`.
    pub key: OsText,
    /// Sorted by name, each name once.
    attributes: Vec<(Cow<'static, str>, Value)>,
}

impl Entry {
    /// An entry without attributes.
    pub fn new(section: impl Into<Cow<'static, str>>, key: impl Into<OsText>) -> Self {
        Self {
            section: section.into(),
            key: key.into(),
            attributes: Vec::new(),
        }
    }

    /// Adds or replaces one attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Adds an attribute if there is a value for it.
    #[must_use]
    pub fn with_some(self, name: impl Into<Cow<'static, str>>, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Adds or replaces one attribute.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (name, value) = (name.into(), value.into());
        match self.attributes.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(at) => self.attributes[at].1 = value,
            Err(at) => self.attributes.insert(at, (name, value)),
        }
    }

    /// An entry of which part could not be seen. `what` is an attribute's name, [`ALL`] or [`BELOW`].
    #[must_use]
    pub fn unseen(mut self, what: &str, why: &str) -> Self {
        // An attribute's name is spelled already; spelling it again would name another attribute.
        let what = OsText::parse(what).unwrap_or_else(|| OsText::from(what));
        let note = OsText::joined(&what, ": ", &OsText::from(why));
        let mut notes = match self.get(UNSEEN) {
            Some(Value::List(notes)) => notes.clone(),
            _ => Vec::new(),
        };
        notes.push(note);
        notes.sort_unstable();
        notes.dedup();
        self.set(UNSEEN, Value::List(notes));
        self
    }

    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let at = self
            .attributes
            .binary_search_by(|(known, _)| known.as_ref().cmp(name))
            .ok()?;
        Some(&self.attributes[at].1)
    }

    /// All attributes, sorted by name.
    pub fn attributes(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.attributes.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// Appends the canonical line, without its line end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut line = LineBuilder::begin(&self.section, &self.key, out);
        for (name, value) in &self.attributes {
            line.value(name, value);
        }
        line.end();
    }

    /// The canonical line, without its line end.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        self.encode(&mut out);
        out
    }
}

/// Writes one entry's canonical line piece by piece, for the walk, which makes millions of them and should not
/// build a value for each. Attributes must come sorted by name; [`crate::Line::parse`] refuses anything else.
#[derive(Debug)]
pub struct LineBuilder<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> LineBuilder<'a> {
    /// Starts a line: section and key.
    pub fn begin(section: &str, key: &OsText, out: &'a mut Vec<u8>) -> Self {
        out.push(b'[');
        push_json_text(section, out);
        out.push(b',');
        push_json_text(key.as_str(), out);
        out.extend_from_slice(b",{");
        Self { out, first: true }
    }

    /// Starts a line whose key is given as bytes.
    pub fn begin_bytes(section: &str, key: &[u8], out: &'a mut Vec<u8>) -> Self {
        out.push(b'[');
        push_json_text(section, out);
        out.push(b',');
        push_json_bytes(key, out);
        out.extend_from_slice(b",{");
        Self { out, first: true }
    }

    /// Adds a whole number.
    pub fn integer(&mut self, name: &str, value: i64) {
        self.name(name);
        push_integer(value, self.out);
    }

    /// Adds a text given as bytes.
    pub fn text(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        push_json_bytes(value, self.out);
    }

    /// Adds a digest: its algorithm's label and its bytes.
    pub fn digest(&mut self, name: &str, label: &str, bytes: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(label.as_bytes());
        self.out.push(b':');
        push_hex(bytes, self.out);
        self.out.push(b'"');
    }

    /// Adds any value.
    pub fn value(&mut self, name: &str, value: &Value) {
        self.name(name);
        value.encode(self.out);
    }

    /// Ends the line.
    pub fn end(self) {
        self.out.extend_from_slice(b"}]");
    }

    fn name(&mut self, name: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        push_json_text(name, self.out);
        self.out.push(b':');
    }
}

/// Appends lower-case hexadecimal digits.
pub fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

fn push_json_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes
        .iter()
        .all(|byte| matches!(byte, 0x20..=0x7e) && !matches!(byte, b'"' | b'\\'))
    {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        push_json_text(OsText::new(bytes).as_str(), out);
    }
}
