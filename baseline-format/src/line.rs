//! One canonical line, checked and looked at in place.
//!
//! An entry is the JSON array `["section","key",{"name":value,...}]` without white space. A baseline of a
//! million files is a million such lines, most of which are only compared with a line of the host byte by byte;
//! so a line is checked in one scan and nothing is allocated until a difference must be told.

use std::borrow::Cow;
use std::fmt;
use std::str;

use crate::entry::{BELOW, Entry, MOUNT, UNSEEN};
use crate::os_text::{OsText, is_canonical};
use crate::value::Value;

/// Arrays and objects that a value may have inside one another: a value of an unknown type must not exhaust the
/// stack.
const DEPTH: u32 = 16;

/// A canonical line. Equal lines are equal entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    text: &'a str,
    section_end: usize,
    key_end: usize,
}

impl<'a> Line<'a> {
    /// Checks that `bytes` (without the line end) is one entry in its one spelling.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = str::from_utf8(bytes).map_err(|why| Malformed::at(why.valid_up_to(), "invalid UTF-8"))?;
        let mut scan = Scan { text, at: 0 };
        scan.expect(b"[\"")?;
        let section = scan.section()?;
        scan.expect(b",")?;
        scan.text()?;
        let key_end = scan.at;
        scan.expect(b",")?;
        scan.members(DEPTH)?;
        scan.expect(b"]")?;
        if scan.at != bytes.len() {
            return Err(Malformed::at(scan.at, "text after the entry"));
        }
        Ok(Self {
            text,
            section_end: section,
            key_end,
        })
    }

    /// Takes a line that this process has built itself with [`crate::LineBuilder`] or read through
    /// [`Line::parse`] before: the same places without the checks. `None` if it is no entry at all.
    #[must_use]
    pub fn trusted(text: &'a str) -> Option<Self> {
        let section_end = text.get(2..)?.find('"')? + 2;
        let mut scan = Scan {
            text,
            at: section_end + 2,
        };
        scan.text().ok()?;
        Some(Self {
            text,
            section_end,
            key_end: scan.at,
        })
    }

    /// The whole line, without its line end.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.text
    }

    /// The section's name.
    #[must_use]
    pub fn section(&self) -> &'a str {
        &self.text[2..self.section_end]
    }

    /// The key in its canonical spelling. Borrowed unless it needed JSON escapes.
    #[must_use]
    pub fn key(&self) -> Cow<'a, str> {
        unquote(&self.text[self.section_end + 2..self.key_end])
    }

    /// Section and key as they stand in the line: equal text, equal place.
    #[must_use]
    pub fn place(&self) -> &'a str {
        &self.text[..self.key_end]
    }

    /// The attributes, sorted by name.
    #[must_use]
    pub fn attributes(&self) -> RawAttributes<'a> {
        RawAttributes {
            text: self.text,
            at: self.key_end + 2,
        }
    }

    /// One attribute.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<RawValue<'a>> {
        self.attributes()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// What of the entry was not seen, as `WHAT: WHY` notes.
    #[must_use]
    pub fn unseen(&self) -> Vec<OsText> {
        // The attribute is rare and its name is sorted late: ask the bytes first.
        if !self.text.contains("\"unseen\":") {
            return Vec::new();
        }
        match self.get(UNSEEN).map(|value| value.decode()) {
            Some(Value::List(notes)) => notes,
            _ => Vec::new(),
        }
    }

    /// Why nothing below this entry was looked at, if so: a directory that could not be listed, or a mount.
    #[must_use]
    pub fn hides_below(&self) -> Option<String> {
        if self.text.contains("\"mount\":")
            && let Some(kind) = self.get(MOUNT)
        {
            return Some(format!(
                "another file system ({}) is mounted there",
                kind.decode()
            ));
        }
        if self.hides_section() {
            return self.unseen().first().map(|note| note.as_str().to_owned());
        }
        self.unseen()
            .iter()
            .find_map(|note| Some(note.as_str().strip_prefix(BELOW)?.strip_prefix(": ")?.to_owned()))
    }

    /// Whether this entry says that a source of its section could not be read: a section whose keys are no paths,
    /// such as `users`, tells that by an entry under the file's path. Any fact of the section may have stood there.
    /// Such a path sorts before all other keys.
    #[must_use]
    pub fn hides_section(&self) -> bool {
        let key = self.key();
        let is_line = key
            .rsplit_once(':')
            .is_some_and(|(_, line)| line.bytes().all(|byte| byte.is_ascii_digit()));
        self.section() != "files"
            && key.starts_with('/')
            && !is_line
            && self
                .unseen()
                .iter()
                .any(|note| note.as_str().starts_with("all: "))
    }

    /// The entry as a value.
    #[must_use]
    pub fn to_entry(&self) -> Entry {
        let key = OsText::parse(&self.key()).unwrap_or_default();
        let mut entry = Entry::new(self.section().to_owned(), key);
        for (name, value) in self.attributes() {
            entry.set(name.into_owned(), value.decode());
        }
        entry
    }
}

/// A value as it stands in a line. Equal text, equal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawValue<'a>(&'a str);

impl<'a> RawValue<'a> {
    /// The canonical JSON.
    #[must_use]
    pub const fn as_json(&self) -> &'a str {
        self.0
    }

    /// The typed value.
    #[must_use]
    pub fn decode(&self) -> Value {
        match serde_json::from_str(self.0) {
            Ok(json) => Value::from_json(json),
            // Not reachable for a checked line; shown rather than lost all the same.
            Err(_) => Value::Text(OsText::from(self.0)),
        }
    }
}

/// Iterator over a checked line's attributes.
#[derive(Clone, Debug)]
pub struct RawAttributes<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Iterator for RawAttributes<'a> {
    type Item = (Cow<'a, str>, RawValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut scan = Scan {
            text: self.text,
            at: self.at,
        };
        if scan.peek() == Some(b',') {
            scan.at += 1;
        }
        let start = scan.at;
        scan.text().ok()?;
        let name = unquote(&self.text[start..scan.at]);
        scan.expect(b":").ok()?;
        let start = scan.at;
        scan.value(DEPTH).ok()?;
        self.at = scan.at;
        Some((name, RawValue(&self.text[start..scan.at])))
    }
}

/// Why and where in a line the spelling is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset in the line, from 0.
    pub offset: usize,
    /// A lower-case fragment.
    pub why: &'static str,
}

impl Malformed {
    const fn at(offset: usize, why: &'static str) -> Self {
        Self { offset, why }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.why, self.offset)
    }
}

impl std::error::Error for Malformed {}

/// The characters between the quotes of a checked JSON string.
fn unquote(quoted: &str) -> Cow<'_, str> {
    let inner = quoted.get(1..quoted.len() - 1).unwrap_or_default();
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' {
            characters.next().unwrap_or('\\')
        } else {
            character
        });
    }
    Cow::Owned(text)
}

/// A scan over canonical JSON. It knows no white space, no escapes but `\"` and `\\`, and no number but whole ones.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expect(&mut self, wanted: &[u8]) -> Result<(), Malformed> {
        let bytes = self.text.as_bytes();
        if bytes[self.at.min(bytes.len())..].starts_with(wanted) {
            self.at += wanted.len();
            Ok(())
        } else {
            Err(Malformed::at(self.at, "not the canonical form of an entry"))
        }
    }

    /// The rest of a section's name after its opening quote; returns where the name ends.
    fn section(&mut self) -> Result<usize, Malformed> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
        {
            self.at += 1;
        }
        let end = self.at;
        if end == start {
            return Err(Malformed::at(
                start,
                "section name is empty or has a character other than a-z, 0-9, -",
            ));
        }
        self.expect(b"\"")?;
        Ok(end)
    }

    /// A string whose content is in the one spelling of bytes.
    fn text(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        self.expect(b"\"")?;
        let mut plain = true;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    plain = false;
                    match self.text.as_bytes().get(self.at + 1) {
                        Some(b'"' | b'\\') => self.at += 2,
                        _ => return Err(Malformed::at(self.at, "unknown escape in a text")),
                    }
                }
                Some(byte) => {
                    plain &= matches!(byte, 0x20..=0x7e);
                    self.at += 1;
                }
                None => return Err(Malformed::at(start, "text without an end")),
            }
        }
        self.at += 1;
        if !plain && !is_canonical(&unquote(&self.text[start..self.at])) {
            return Err(Malformed::at(start, "text is not in its one spelling"));
        }
        Ok(())
    }

    /// A value. Those of a type that a newer release has added are of the same few pieces, so that their one
    /// spelling needs no rules of its own. `depth` bounds the nesting.
    fn value(&mut self, depth: u32) -> Result<(), Malformed> {
        match self.peek() {
            Some(b'"') => self.text(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.expect(b"true"),
            Some(b'f') => self.expect(b"false"),
            Some(b'n') => self.expect(b"null"),
            Some(b'[') => self.items(self.deeper(depth)?),
            Some(b'{') => self.members(self.deeper(depth)?),
            _ => Err(Malformed::at(self.at, "not a value")),
        }
    }

    fn deeper(&self, depth: u32) -> Result<u32, Malformed> {
        depth
            .checked_sub(1)
            .ok_or(Malformed::at(self.at, "arrays and objects are nested too deep"))
    }

    /// The largest whole numbers of 64 bits have 19 digits; anything longer would not survive.
    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let leading_zero =
            self.text.as_bytes().get(digits) == Some(&b'0') && (self.at > digits + 1 || digits > start);
        if self.at == digits || leading_zero {
            return Err(Malformed::at(start, "number is not in its one spelling"));
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return Err(Malformed::at(start, "number is not a whole one"));
        }
        if self.at - digits >= 19 && self.text[start..self.at].parse::<i64>().is_err() {
            return Err(Malformed::at(start, "number does not fit into 64 bits"));
        }
        Ok(())
    }

    fn items(&mut self, depth: u32) -> Result<(), Malformed> {
        self.expect(b"[")?;
        if self.peek() != Some(b']') {
            loop {
                self.value(depth)?;
                if self.peek() != Some(b',') {
                    break;
                }
                self.at += 1;
            }
        }
        self.expect(b"]")
    }

    /// An object: names sorted, each once.
    fn members(&mut self, depth: u32) -> Result<(), Malformed> {
        self.expect(b"{")?;
        let mut last: Option<(usize, usize)> = None;
        while self.peek() != Some(b'}') {
            if last.is_some() {
                self.expect(b",")?;
            }
            let start = self.at;
            self.text()?;
            let end = self.at;
            if last.is_some_and(|(from, to)| unquote(&self.text[from..to]) >= unquote(&self.text[start..end]))
            {
                return Err(Malformed::at(start, "attributes out of order"));
            }
            last = Some((start, end));
            self.expect(b":")?;
            self.value(depth)?;
        }
        self.expect(b"}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Integer),
            any::<Vec<u8>>().prop_map(|bytes| Value::bytes(&bytes)),
            prop::collection::vec(any::<Vec<u8>>().prop_map(|bytes| OsText::new(&bytes)), 0..4)
                .prop_map(Value::List),
            Just(Value::Other(
                serde_json::json!({"later": [1, null, {"b": "x", "a": []}]})
            )),
            Just(Value::Other(serde_json::Value::Null)),
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let attributes = prop::collection::vec((any::<Vec<u8>>(), value()), 0..6);
        ("[a-z][a-z0-9-]{0,8}", any::<Vec<u8>>(), attributes).prop_map(|(section, key, attributes)| {
            let mut entry = Entry::new(section, OsText::new(&key));
            for (name, value) in attributes {
                entry.set(OsText::new(&name).as_str().to_owned(), value);
            }
            entry
        })
    }

    proptest! {
        #[test]
        fn entries_round_trip(entry in entry()) {
            let bytes = entry.to_line();
            let line = Line::parse(&bytes).unwrap();
            prop_assert_eq!(line.section(), entry.section.as_ref());
            prop_assert_eq!(line.to_entry(), entry);
            prop_assert_eq!(Line::trusted(line.as_str()), Some(line));
        }

        #[test]
        fn one_spelling(entry in entry(), at: prop::sample::Index, byte: u8) {
            let mut bytes = entry.to_line();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(line) = Line::parse(&bytes) {
                prop_assert_eq!(line.to_entry().to_line(), bytes);
            }
        }

        #[test]
        fn any_bytes_are_safe(bytes: Vec<u8>) {
            if let Ok(line) = Line::parse(&bytes) {
                prop_assert_eq!(line.to_entry().to_line(), bytes);
            }
        }
    }

    #[test]
    fn refuses_second_spellings() {
        for text in [
            r#"["files","/a", {}]"#,
            r#"["files","/a",{"b":1,"a":2}]"#,
            r#"["files","/a",{"a":1,"a":2}]"#,
            r#"["files","/a",{"a":01}]"#,
            r#"["files","/a",{"a":-0}]"#,
            r#"["files","/\u0061",{}]"#,
            r#"["files","/a\\x61",{}]"#,
            r#"["Files","/a",{}]"#,
            r#"["files","/a",{}] "#,
            r#"["files","/a",{"a":1,}]"#,
            r#"["files","/a",{,"a":1}]"#,
            r#"["files","/a",{"a":[1, 2]}]"#,
            r#"["files","/a",{"a":[1,]}]"#,
            r#"["files","/a",{"a":1.0}]"#,
            r#"["files","/a",{"a":1e2}]"#,
            r#"["files","/a",{"a":9223372036854775808}]"#,
            r#"["files","/a",{"a":-9223372036854775809}]"#,
            r#"["files","/a",{"a":{"z":1,"y":1}}]"#,
            r#"["files","/a",{"a":{"z":1,"z":1}}]"#,
            r#"["files","/a",{"a":["\n",1]}]"#,
            r#"["files","/a",{"a":["\\x61",1]}]"#,
        ] {
            assert!(Line::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn keeps_unknown_types() {
        let text = r#"["later","k",{"a":null,"b":{"x":[1,2],"y":{}},"c":[],"d":["s",1],"e":[["\\x00"]]}]"#;
        let line = Line::parse(text.as_bytes()).unwrap();
        assert_eq!(line.to_entry().to_line(), text.as_bytes());
    }

    #[test]
    fn numbers_and_nesting_have_limits() {
        let with = |value: &str| format!(r#"["later","k",{{"a":{value}}}]"#);
        for number in [i64::MIN, i64::MIN + 1, 0, i64::MAX] {
            let text = with(&number.to_string());
            let line = Line::parse(text.as_bytes()).unwrap();
            assert_eq!(line.get("a").unwrap().decode(), Value::Integer(number));
        }
        let nested = |depth: usize| with(&format!("{}null{}", "[".repeat(depth), "]".repeat(depth)));
        assert!(Line::parse(nested(16).as_bytes()).is_ok());
        assert!(Line::parse(nested(17).as_bytes()).is_err());
        assert!(Line::parse(nested(100_000).as_bytes()).is_err());
    }
}
